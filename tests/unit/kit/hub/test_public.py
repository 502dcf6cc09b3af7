"""The public page: a pure function of the log's files; the same bytes wherever they are drawn, nothing beside the log."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.public import model
from fairwitness.kit.public.books import Books, PublicError, place_of
from fairwitness.kit.public.compare import compare
from fairwitness.kit.public.site import Site
from tests.unit.kit.hub.public_world import DAY, act, eventful, suspend, write

STATES = {1: "withdrawn", 2: "resolved", 3: "removed", 4: "expired", 5: "open", 6: "open", 7: "open", 99: "refused"}


@pytest.fixture(scope="module")
def world():
    return eventful()


@pytest.fixture(scope="module")
def copy(world, tmp_path_factory):
    return write(world, tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def pages(copy, tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "pages"
    Site(Books(place_of(copy)), out).draw()
    return out


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.claim("SG07")
def test_every_request_ever_is_there_in_its_state(pages):
    found = {int(one["id"], 16): one for one in json.loads((pages / "requests.json").read_bytes())["requests"]}
    assert {number: one["state"] for number, one in found.items()} == STATES
    assert "msg" not in found[99]
    assert found[99]["rule"] == "text.address"
    assert found[2]["outcome"] == "solved_with_footage"
    assert found[2]["words"] == "Thank you all."
    assert found[5]["extended"]
    assert found[6]["emergency"]
    assert found[6]["reviewed"]
    # What an agency's console signed, where an officer must, changed nothing.
    summary = json.loads((pages / "summary.json").read_bytes())
    assert [fault["rule"] for fault in summary["faults"]] == ["entry.signers"]
    assert summary["unknown"] == {"from_the_future v3": 1}
    assert summary["ticks"]["missing"] > 0
    for number, state in STATES.items():
        page = (pages / "requests" / f"{number:032x}.html").read_text()
        assert state in page.lower()
        assert f"{number:032x}.html" in (pages / "requests.html").read_text()


@pytest.mark.claim("SG07")
def test_the_same_bytes_in_any_place_language_zone_and_order_of_hashes(copy, pages, tmp_path):
    elsewhere = tmp_path / "another" / "copy"
    shutil.copytree(copy, elsewhere)
    environment = {
        "PATH": os.environ["PATH"], "PYTHONHASHSEED": "4711", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "HOME": str(tmp_path),
    }  # fmt: skip
    out = tmp_path / "pages"
    command = [sys.executable, "-m", "fairwitness", "public", str(elsewhere), str(out)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bytes_of(out) == bytes_of(pages)


@pytest.mark.claim("SG07")
def test_pages_that_were_drawn_step_by_step_are_those_that_are_drawn_at_once(tmp_path):
    world = eventful()
    last = world.next_tick - 1
    out = tmp_path / "steps" / "pages"
    books = Books(place_of(write(world, tmp_path / "copy")))
    site = Site(books, out)
    for tick in sorted(world.containers):
        site.draw(tick)
    suspend(world)
    world.publish(world.request(50, at=world.now, expires=world.now + DAY))
    act(world, 50, "approved")
    world.tick()
    write(world, tmp_path / "copy")
    assert site.draw() > 0
    # A process that begins again goes on with what lies there.
    again = Site(Books(place_of(tmp_path / "copy")), out)
    assert again.draw() == 0
    whole = tmp_path / "whole" / "pages"
    Site(Books(place_of(tmp_path / "copy")), whole).draw()
    assert bytes_of(out) == bytes_of(whole)
    earlier = Site(Books(place_of(tmp_path / "copy")), tmp_path / "earlier" / "pages")
    earlier.draw(last)
    assert json.loads(earlier.manifest())["tick"] == last


@pytest.mark.claim("SG07")
@pytest.mark.parametrize(
    "change",
    [
        ("requests.json", b'"state":"refused"', b'"state":"expired"'),
        ("index.html", b"Withdrawn", b"Resolved!"),
        ("agencies.json", b'"refused":1', b'"refused":0'),
    ],
)
def test_one_altered_row_is_found(copy, pages, tmp_path, change):
    name, old, new = change
    shown = tmp_path / "pages"
    shutil.copytree(pages, shown)
    assert compare(copy, str(shown)).same
    data = (shown / name).read_bytes()
    assert old in data
    (shown / name).write_bytes(data.replace(old, new, 1))
    # A liar lists what it shows.
    listed = json.loads((shown / "public.json").read_bytes())
    listed["files"][name] = hashlib.sha256((shown / name).read_bytes()).hexdigest()
    (shown / "public.json").write_text(json.dumps(listed))
    found = compare(copy, str(shown))
    assert not found.same
    assert found.differ == (name,)


def test_a_page_left_out_or_made_up_is_found(copy, pages, tmp_path):
    shown = tmp_path / "pages"
    shutil.copytree(pages, shown)
    gone = f"requests/{99:032x}.html"
    (shown / gone).unlink()
    listed = json.loads((shown / "public.json").read_bytes())
    listed["files"]["requests/made-up.html"] = "0" * 64
    (shown / "public.json").write_text(json.dumps(listed))
    found = compare(copy, str(shown))
    assert (found.missing, found.extra) == ((gone,), ("requests/made-up.html",))


@pytest.mark.claim("SG07")
@pytest.mark.parametrize("path", ["log/p/tile/entries", "log/p/tile/0", "feed/v1/all"])
def test_one_altered_byte_of_the_log_is_refused(copy, tmp_path, path):
    """Entries are covered by the head, tiles by each proof, the newest tick's file by its own head."""
    forged = tmp_path / "copy"
    shutil.copytree(copy, forged)
    target = max((one for one in (forged / "site" / path).rglob("*") if one.is_file()), key=lambda one: one.name)
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)
    with pytest.raises(ProtocolError):
        Site(Books(place_of(forged)), None).draw()


def test_a_log_without_its_witnesses_is_refused(tmp_path):
    world = eventful()
    world.tick(names=world.witnesses[:1])
    with pytest.raises(ProtocolError, match="too few witnesses"):
        Site(Books(place_of(write(world, tmp_path))), None).draw()


def test_what_is_missing_is_said(tmp_path, copy):
    with pytest.raises(PublicError, match="fairwitness mirror"):
        place_of(tmp_path)
    part = tmp_path / "part"
    shutil.copytree(copy, part)
    newest = int((part / "site/feed/v1/latest").read_bytes())
    (part / "site/feed/v1/all" / str(newest)).unlink()
    with pytest.raises(PublicError, match="is not here"):
        Site(Books(place_of(part)), None).draw()


def test_each_request_has_its_signed_entry_and_a_proof_that_holds(world, pages):
    from fairwitness_core.tlog.policy import Policy  # noqa: PLC0415
    from fairwitness_core.tlog.proof import TlogProof  # noqa: PLC0415

    policy = Policy.parse(world.join.policy.encode())
    for number in STATES:
        entry = (pages / "requests" / f"{number:032x}.envelope.json").read_bytes()
        proof = TlogProof.parse((pages / "requests" / f"{number:032x}.tlog-proof").read_bytes())
        assert world.log.entries[proof.verify(policy, entry).index] == entry


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.inline = [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values[name] for name in ("href", "src", "worker") if values.get(name)]
        self.inline += [tag] if tag == "style" or "style" in values or any(name.startswith("on") for name in values) else []
        if tag == "script" and "src" not in values and values.get("type") != "application/json":
            self.inline.append(tag)


def test_pages_lead_only_to_files_beside_them(pages):
    files = set(bytes_of(pages))
    for name in sorted(files):
        if not name.endswith(".html"):
            continue
        parser = Links()
        parser.feed((pages / name).read_text())
        assert not parser.inline, name
        for link in parser.links:
            if link.startswith("#"):
                continue
            target = os.path.normpath((Path(name).parent / link.split("#")[0]).as_posix())
            assert not re.match(r"[a-z]+:|//", link), (name, link)
            assert target in files, (name, link)


def test_both_languages_have_every_page(pages):
    names = {name for name in bytes_of(pages) if name.endswith(".html")}
    assert {f"es/{name}" for name in names if not name.startswith("es/")} == {name for name in names if name.startswith("es/")}
    assert '<html lang="es">' in (pages / "es/index.html").read_text()


def test_words_of_a_request_that_homes_refuse_are_not_shown(tmp_path):
    world = eventful()
    world.publish(
        world.request(60, at=world.now, expires=world.now + DAY, msg="See https://example.com/ about the burglary of a van.")
    )
    world.publish(world.request(61, at=world.now, expires=world.now + DAY), world.officers[0])
    world.tick()
    out = tmp_path / "o" / "pages"
    Site(Books(place_of(write(world, tmp_path / "copy"))), out).draw()
    for number, rule in ((60, "text.link"), (61, "signers")):
        page = (out / "requests" / f"{number:032x}.html").read_text()
        row = next(one for one in json.loads((out / "requests.json").read_bytes())["requests"] if one["id"] == f"{number:032x}")
        assert rule in row["fault"]
        assert "example.com" not in page
        assert "Homes do not show it" in page


def test_what_is_typed_into_the_log_is_text(tmp_path):
    world = eventful()
    world.publish(world.authorized(agency="us-ca-evil", name="<script>alert(1)</script> & Sons", vouched=("</script><b>x",)))
    world.tick()
    out = tmp_path / "o" / "pages"
    Site(Books(place_of(write(world, tmp_path / "copy"))), out).draw()
    for path in out.rglob("*"):
        if path.suffix in (".html", ".atom"):
            assert "<script>alert" not in path.read_text()
            assert "<b>x" not in path.read_text()


def test_lists_are_cut_into_pages_whose_older_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "PAGE", 10)
    world = eventful()
    for number in range(1000, 1025):
        world.publish(world.request(number, at=world.now, expires=world.now + 2 * DAY))
    world.tick()
    copy = write(world, tmp_path / "copy")
    out = tmp_path / "o" / "pages"
    site = Site(Books(place_of(copy)), out)
    site.draw()
    before = (out / "requests/all.1.html").read_bytes()
    assert (out / "requests/open.1.html").exists()
    world.publish(world.request(2000, at=world.now, expires=world.now + DAY))
    world.next_tick += 3 * DAY // world.tick_seconds
    world.tick()
    write(world, copy)
    site.draw()
    # Lists got shorter: what a first drawing would not make is gone.
    assert not (out / "requests/open.1.html").exists()
    whole = tmp_path / "w" / "pages"
    Site(Books(place_of(copy)), whole).draw()
    assert bytes_of(out) == bytes_of(whole)
    assert before != b""
