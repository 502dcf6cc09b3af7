"""The command: exit codes, what it says where it cannot begin, the disk's traps, and that it needs the core alone."""

import dataclasses
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fairwitness_core.tlog import merkle, tiles
from fairwitness_core.verify import cli, layout
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire.errors import ProtocolError

from core.tests.verify.bagworld import T0, World

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
BAG = VECTORS / "bag" / "export"
TRUST = VECTORS / "bag" / "trust.json"


def copy(folder):
    for path in BAG.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(BAG)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return folder


@pytest.mark.claim("P16")
def test_exit_codes(tmp_path, capsys):
    forged = tmp_path / "forged.json"
    forged.write_bytes(World("forged").trust.encode())
    for arguments, code in (
        ([str(BAG), "--trust", str(TRUST)], 0),
        ([str(BAG / "bag"), "--trust", str(VECTORS / "bag" / "join.json")], 0),
        (["bag", str(BAG), "--trust", str(TRUST)], 0),
        ([str(BAG)], 3),
        ([str(BAG), "--trust", str(forged)], 1),
        ([], 2),
        ([str(BAG), "--bogus"], 2),
        ([str(tmp_path / "nowhere")], 2),
        ([str(tmp_path)], 2),
        ([str(BAG), "--trust", str(tmp_path / "nowhere")], 2),
        ([str(BAG), "--trust", str(BAG / "bag" / "bagit.txt")], 2),
        ([str(BAG), "--trust", str(TRUST), "--html", str(tmp_path / "no" / "x.html")], 2),
        (["--help"], 0),
        (["log", str(tmp_path)], 2),
        (["log", str(tmp_path / "nowhere")], 2),
        (["log", "file:///etc"], 2),
    ):
        assert cli.main(arguments) == code, arguments
    assert "name the folder that the agency exported" in capsys.readouterr().err


def test_json_and_html(tmp_path, capsys):
    page = tmp_path / "report.html"
    assert cli.main([str(BAG), "--trust", str(TRUST), "--json", "--html", str(page)]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["verdict"], value["exit"], len(value["checks"])) == ("verified", 0, 10)
    text = page.read_text()
    assert "VERIFIED" in text
    for banned in ("<script", "http://", "https://", "src=", "@import", "url("):
        assert banned not in text


@pytest.mark.claim("P16")
def test_links_pipes_and_foreign_names_are_found_and_not_followed(tmp_path, capsys):
    clip = next(BAG.rglob("clip-01.mp4")).relative_to(BAG)
    cases = {
        "link": lambda f: ((f / clip).unlink(), (f / clip).symlink_to(BAG / clip)),
        "folder link": lambda f: (f / "bag" / "certificate2").symlink_to(BAG, target_is_directory=True),
        "pipe": lambda f: ((f / clip).unlink(), os.mkfifo(f / clip)),
        "bytes": lambda f: Path(os.fsdecode(os.fsencode(f) + b"/bag/\xff\x1b")).write_bytes(b""),
        "unreadable": lambda f: ((f / clip).unlink(), (f / clip).mkdir()),
    }
    for name, spoil in cases.items():
        folder = copy(tmp_path / name)
        spoil(folder)
        assert cli.main([str(folder), "--trust", str(TRUST)]) == 1, name
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "check 1" in out.splitlines()[-1] or "check 1" in out, name


def test_a_provider_opens_only_plain_files(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "l").symlink_to(tmp_path / "a")
    files = cli.FolderFiles(tmp_path)
    assert sorted(files.list()) == ["a", "l"]
    with pytest.raises(ProtocolError, match="link"):
        files.open("l")
    with pytest.raises(ProtocolError, match="plain file"):
        files.open("")
    with pytest.raises(FileNotFoundError):
        files.open("b")


def test_trust_files_are_read_strictly():
    good = World().trust
    assert TrustPolicy.read(good.encode() + b"\n") == TrustPolicy.read(World().join.encode()) == good
    for bad in (
        b"", b"\n", b"{}", b"[]", good.encode() + b"\n\n", good.encode() + b" ", b" " + good.encode(),
        good.encode().replace(b'"v":1', b'"v":2'), good.encode().replace(b'"type":"trust"', b'"type":"other"'),
        good.encode().replace(b"quorum quorum-group", b"quorum none"), good.encode().replace(b"witness-2 ", b"witness-1 ", 1),
        good.encode().replace(b'"genesis":', b'"extra":1,"genesis":'),
    ):  # fmt: skip
        with pytest.raises(ProtocolError):
            TrustPolicy.read(bad)
    world = World()
    lines = [line for line in world.join.policy.splitlines() if "log/s" not in line]
    with pytest.raises(ProtocolError, match="does not list"):
        TrustPolicy.from_join(dataclasses.replace(world.join, policy="\n".join(lines) + "\n"))


def serve_log(folder, log, at):
    """Write a log as its hub would serve it."""
    folder.mkdir(parents=True)
    (folder / "checkpoint").write_bytes(log.head(at).encode())
    size = len(log.leaves)
    assert size < tiles.WIDTH
    hashes = b"".join(merkle.leaf_hash(leaf) for leaf in log.leaves)
    for path, data in ((tiles.entries_path(0, size), tiles.encode_bundle(log.leaves)), (tiles.tile_path(0, 0, size), hashes)):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


@pytest.mark.claim("P12")
def test_log_command(tmp_path, capsys):
    world = World()
    hub = tmp_path / "hub"
    serve_log(hub / "log" / "p", world.public, T0 + 10**6)
    serve_log(hub / "log" / "s" / "public", world.sealed, T0 + 10**6)
    for arguments, code in (
        ([str(hub), "--trust", str(TRUST)], 0),
        ([str(hub / "log" / "p"), "--trust", str(TRUST)], 0),
        ([str(hub / "log"), "--trust", str(TRUST), "--ledger", "sealed"], 0),
        ([str(hub)], 3),
        ([str(hub), "--ledger", "sealed"], 3),
    ):
        assert cli.main(["log", *arguments]) == code, arguments
    capsys.readouterr()
    assert cli.main(["log", str(hub), "--trust", str(TRUST), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["size"] == len(world.public.leaves)
    assert value["checks"][-1]["title"].startswith("it begins with the pinned genesis")
    assert value["entries"]["request_published v1"] == 1
    # A log of another hub under the same name, and a changed entry.
    forged = World("forged")
    serve_log(tmp_path / "forged", forged.public, T0 + 10**6)
    assert cli.main(["log", str(tmp_path / "forged"), "--trust", str(TRUST)]) == 1
    assert cli.main(["log", str(tmp_path / "forged")]) == 3
    bundle = next((hub / "log" / "p" / "tile" / "entries").rglob("*.p/*"))
    data = bundle.read_bytes()
    bundle.write_bytes(data[:900] + bytes([data[900] ^ 1]) + data[901:])
    assert cli.main(["log", str(hub), "--trust", str(TRUST)]) == 1
    assert "FAILED" in capsys.readouterr().out.splitlines()[-1]


def test_a_log_that_begins_with_another_genesis_is_refused(tmp_path, capsys):
    world = World()
    trust = tmp_path / "trust.json"
    trust.write_bytes(TrustPolicy(hub_key=world.trust.hub_key, policy=world.trust.policy, genesis="00" * 32).encode())
    serve_log(tmp_path / "p", world.public, T0 + 10**6)
    assert cli.main(["log", str(tmp_path / "p"), "--trust", str(trust)]) == 1
    assert "genesis.other" in capsys.readouterr().out


@pytest.mark.network
def test_a_log_by_its_address(tmp_path):
    world = World()
    serve_log(tmp_path / "log" / "p", world.public, T0 + 10**6)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, directory=str(tmp_path), **named)

        def do_GET(self):
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", "http://elsewhere.invalid/")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_):
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            base = f"http://127.0.0.1:{server.server_port}"
            assert cli.main(["log", base, "--trust", str(TRUST)]) == 0
            assert cli.main(["log", f"{base}/log/p/", "--trust", str(TRUST)]) == 0
            assert cli.main(["log", f"{base}/moved", "--trust", str(TRUST)]) == 2
            assert cli.main(["log", f"{base}/nothing", "--trust", str(TRUST)]) == 2
        finally:
            server.shutdown()
            thread.join()
    assert cli.main(["log", base, "--trust", str(TRUST)]) == 2


@pytest.mark.claim("P16")
def test_the_core_verifies_alone():
    """Only the core's own dependencies may be loaded, and no socket is opened for a bag."""
    code = f"""
import sys
sys.path = [p for p in sys.path if p != {str(Path.cwd())!r}]
class Banned:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"fairwitness", "django", "httpx", "av", "numpy", "structlog", "shapely"}}:
            raise ImportError(f"{{name}} is no dependency of the core")
sys.meta_path.insert(0, Banned())
from fairwitness_core.verify.cli import main
code = main([{str(BAG)!r}, "--trust", {str(TRUST)!r}, "--json"])
assert "urllib.request" not in sys.modules and "fairwitness_core.verify.remote" not in sys.modules
sys.exit(code)
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "verified"


def test_the_golden_bag_is_small_and_its_lists_are_true():
    files = [path for path in BAG.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    listed = layout.parse_sums((BAG / layout.TAGMANIFEST).read_bytes())
    for name, digest in listed.items():
        assert hashlib.sha256((BAG / "bag" / name).read_bytes()).hexdigest() == digest
