"""An owner finds an ONVIF camera, adds it with four words and a password file, and `fairwitness home run` records it."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import pytest

from core.tests.rules.feed_world import CENTRE
from fairwitness.demo.footage import make_clip
from fairwitness.home.adapters import onvif_discovery
from tests.harness.onvif import FakeOnvif, probe_match
from tests.harness.rtsp import RtspCamera, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.network]
SECRET = "S3cret-of-the-porch"
COMMAND = (sys.executable, "-m", "fairwitness", "home")


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_", "PYTEST_"))}


def cli(*words, code=0, given=""):
    done = subprocess.run(
        [*COMMAND, *map(str, words)], input=given, capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    assert SECRET not in done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def camera(tmp_path):
    footage = tmp_path / "made.mp4"
    make_clip(footage, seed=3, seconds=30, start=1_780_000_000, place=CENTRE, width=320, height=180, fps=10, audio=False)
    stream = RtspCamera(footage, tmp_path / "served").start()
    device = FakeOnvif(user="viewer", password=SECRET)
    device.ahead = 900.0
    device.stream = stream.address.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - what a camera says of itself
    yield device
    stream.stop()
    device.close()


def commands_of(pid):
    """What anybody on this machine can read of a process and of all that it started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    ours = {pid}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    found = b""
    for one in ours:
        with contextlib.suppress(OSError):
            found += b"".join(Path(f"/proc/{one}/{name}").read_bytes() for name in ("cmdline", "environ"))
    return found


def test_found_added_recorded(camera, tmp_path):
    home, secret = tmp_path / "home", tmp_path / "pw.txt"
    secret.write_text(SECRET + "\n")
    cli("init", home, "--name", "Elm Street", "--port", free_port())
    cli("camera", "add", home, "--name", "Porch", "--lat", CENTRE[0], "--lon", CENTRE[1])
    asked = ("camera", "onvif", home, "--camera", 1, "--address", f"127.0.0.1:{camera.port}", "--user", "viewer")
    login = ("--password-file", secret)
    (tmp_path / "wrong").write_text("another")
    said = cli(*asked, "--password-file", tmp_path / "wrong", code=1)
    assert "onvif.refused" in said
    seen = json.loads(cli(*asked, *login, "--list"))
    assert ([p["token"] for p in seen["profiles"]], seen["profile"], seen["skewed"]) == (["main", "sub"], "main", True)
    assert json.loads(cli("camera", "recorders", home)) == []
    made = json.loads(cli(*asked, *login))
    secret.unlink()
    assert (made["profile"], made["address"]) == ("main", camera.stream.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104

    def recorder():
        (found,) = json.loads(cli("camera", "recorders", home))
        return found

    begun = time.time()
    node = subprocess.Popen([*COMMAND, "run", str(home)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until(lambda: recorder()["state"] == "recording", 60)
        seen = commands_of(node.pid)
        assert b"adapters.recorder" in seen
        assert SECRET.encode() not in seen
        time.sleep(4)
    finally:
        node.send_signal(signal.SIGTERM)
        lines, _none = node.communicate(timeout=30)
    assert SECRET.encode() not in lines
    cli("scan", home)
    shown = recorder()
    assert shown["recordings"] >= 1
    assert abs(shown["options"]["onvif"]["ahead_ms"] - 900_000) < 5000
    files = sorted(Path(made["folder"]).glob("*/*.mp4"))
    assert files
    with av.open(str(files[0])) as clip:
        assert sum(1 for _ in clip.decode(video=0)) >= 20
    (gaps,) = [json.loads(cli("camera", "gaps", home, 1, int(begun), int(time.time())))]
    assert gaps == []
    assert "All recordings" in cli("camera", "chain", home, 1)
    assert not [path for path in home.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_discovery_over_the_real_network(tmp_path):
    """Multicast on this machine's own network, where it has one."""
    places = onvif_discovery.places()
    if not places:
        pytest.skip("this machine is part of no private network that carries multicast")
    place = places[0]
    group, port = onvif_discovery.GROUP
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((group, port))
        listening.setsockopt(
            socket.IPPROTO_IP,
            socket.IP_ADD_MEMBERSHIP,
            struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(place.address)),
        )
    except OSError:
        listening.close()
        pytest.skip("this machine takes part in no multicast group")
    listening.settimeout(60)

    def serve():
        import re  # noqa: PLC0415

        with listening:
            try:
                data, sender = listening.recvfrom(65_535)
            except TimeoutError:
                return
            number = re.search(rb"MessageID>([^<]+)<", data)[1].decode()
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            own.bind((place.address, 0))
            own.sendto(probe_match(number, f"http://{place.address}:8080/onvif/device_service"), sender)
            own.sendto(probe_match(number, "http://203.0.113.9/onvif/device_service", name="evil"), sender)
            own.close()

    home = tmp_path / "home"
    cli("init", home, "--name", "Elm Street", "--port", free_port())
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    found = json.loads(cli("camera", "discover", home, "--seconds", 4, "--json"))
    thread.join(60)
    assert {one["address"] for one in found} == {f"http://{place.address}:8080/onvif/device_service"}
    assert "Front door" in {one["name"] for one in found}
