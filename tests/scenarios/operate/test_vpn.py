"""The owner's own tunnel, as docs/operate/home-vpn.md sets it up, between two network namespaces."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security import seen

PAGE = (Path(__file__).parents[3] / "docs" / "operate" / "home-vpn.md").read_text("utf-8")
BLOCKS = {kind: re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for kind in ("shell", "sh", "nft")}
HOME, PHONE = "192.0.2.1", "192.0.2.2"
INSIDE = "10.66.0.1"
LOOK = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
print(urllib.request.urlopen(sys.argv[1], context=context, timeout=float(sys.argv[3])).status)
"""
pytestmark = [pytest.mark.slow, pytest.mark.network]


def missing():
    if not shutil.which("wg") or not shutil.which("wg-quick"):
        return "WireGuard's tools are not installed (Debian: wireguard-tools)"
    if seen.can_make_namespaces():
        return seen.can_make_namespaces()
    made = subprocess.run(["ip", "link", "add", "fwprobe", "type", "wireguard"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", "fwprobe"], capture_output=True, check=False)
    if made.returncode and not shutil.which("wireguard-go"):
        return "this kernel has no WireGuard (Debian: wireguard-go does without)"
    return ""


def test_the_page_has_what_this_runs():
    """Also where no tunnel can be made: the two files say the same of each other, and open no more than the home."""
    written, up = BLOCKS["shell"]
    assert up.strip() == "wg-quick up ./fairwitness.conf"
    home, phone = re.findall(r"<<END\n(.*?)^END$", written, re.MULTILINE | re.DOTALL)
    assert f"Address = {INSIDE}/24" in home
    assert f"AllowedIPs = {INSIDE}/32" in phone
    assert re.search(r"^Address = (.*)$", phone, re.MULTILINE)[1] == re.search(r"^AllowedIPs = (.*)$", home, re.MULTILINE)[1]
    assert re.search(r"ListenPort = (\d+)", home)[1] == re.search(r"Endpoint = .*:(\d+)", phone)[1] == "51820"
    assert f"home lan ./home --address {INSIDE}" in BLOCKS["sh"][0]
    assert len(BLOCKS["nft"]) == 1


def run(*words, space="", check=True, **more):
    inside = ["ip", "netns", "exec", space] if space else []
    done = subprocess.run([*inside, *words], capture_output=True, text=True, check=False, **more)
    assert not check or done.returncode == 0, (words, done.stdout, done.stderr)
    return done


@contextlib.contextmanager
def wire():
    home, phone = (f"fw{os.getpid()}{name}" for name in ("home", "phone"))
    try:
        for space in (home, phone):
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", home, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", phone)
        for space, address in ((home, HOME), (phone, PHONE)):
            run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "wire")
            run("ip", "-n", space, "link", "set", "wire", "up")
        yield home, phone
    finally:
        for space in (home, phone):
            pids = run("ip", "netns", "pids", space, check=False).stdout.split()
            for pid in pids:  # wireguard-go, started by wg-quick in these namespaces alone
                subprocess.run(["kill", pid], capture_output=True, check=False)
            run("ip", "netns", "del", space, check=False)


def test_the_page_is_reached_through_the_tunnel_alone(tmp_path):
    why = missing()
    if why:
        pytest.skip(why)
    given = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_", "PYTEST"))}
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "fairwitness").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fairwitness "$@"\n')
    (tools / "fairwitness").chmod(0o700)
    given |= {"PATH": f"{tools}:{given['PATH']}", "ENDPOINT": HOME}
    with wire() as (home, phone):
        script = "set -eu\n" + "\n".join([*BLOCKS["shell"], *BLOCKS["sh"]])
        run("/bin/sh", "-c", script, space=home, cwd=tmp_path, env=given)
        assert not list(tmp_path.glob("*.key"))
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.glob("*.conf"))
        run("wg-quick", "up", "./phone.conf", space=phone, cwd=tmp_path, env=given)
        node = subprocess.Popen(
            ["ip", "netns", "exec", home, sys.executable, "-m", "fairwitness", "home", "run", str(tmp_path / "home")],
            env=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert f"https://{INSIDE}:8443" in node.stdout.readline()
            trusted = str(tmp_path / "home" / "lan" / "ca.crt")

            def look(url, seconds="60"):
                return run(sys.executable, "-c", LOOK, url, trusted, seconds, space=phone, check=False).stdout.strip()

            assert look(f"https://{INSIDE}:8443/pair") == "200"
            assert look(f"https://{HOME}:8443/pair", "3") == "", "outside the tunnel nothing listens"
            if shutil.which("nft"):
                (tmp_path / "fairwitness.nft").write_text(BLOCKS["nft"][0])
                run("nft", "-f", str(tmp_path / "fairwitness.nft"), space=home)
                assert look(f"https://{INSIDE}:8443/pair") == "200"
                # Somebody on the same wire who sends to the tunnel's address without a tunnel.
                run("wg-quick", "down", "./phone.conf", space=phone, cwd=tmp_path, env=given)
                run("ip", "-n", phone, "route", "add", INSIDE, "via", HOME)
                assert look(f"https://{INSIDE}:8443/pair", "3") == ""
        finally:
            node.terminate()
            node.stdout.close()
            node.wait(30)
            run("wg-quick", "down", "./fairwitness.conf", space=home, cwd=tmp_path, env=given, check=False)
