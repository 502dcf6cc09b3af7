"""A hub is stopped while browsers hold idle connections and a home uploads: the part is answered, then nobody waits."""

import os
import secrets
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from fairwitness_core.model import response as documents

from tests.scenarios.load import crowd

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    town = crowd.open_town(tmp_path_factory.mktemp("town"))
    try:
        yield town
    finally:
        town.stop()


def connect(town):
    return socket.create_connection(("127.0.0.1", town.ports[3]), timeout=30)


def kept(town, line):
    """Have one answer on a connection and keep it."""
    line.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost:{town.ports[3]}\r\n\r\n".encode())
    assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")


def hang(town, line):
    """Begin a body and send no more of it: the hub waits ten seconds for the rest."""
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: localhost:{town.ports[3]}\r\nContent-Length: 100000\r\n\r\nabc"
    line.sendall(head.encode())
    time.sleep(0.5)


def take(town):
    return town.processes.running.pop("hub")


def closed(town):
    try:
        connect(town).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_part_under_way_is_answered_and_idle_connections_hold_nothing_up(town):
    ((key, token, hub_key),) = crowd.gather(town, 1)
    home = crowd.Home(town, secrets.token_bytes(documents.PART_SIZE), token, key, hub_key)
    told, answered, begun = threading.Event(), [], threading.Event()

    def slowly(_home, sent):
        if begun.is_set() and sent:
            time.sleep(0.04)
            if sent >= documents.PART_SIZE // 2 and not told.is_set():
                told.set()
                os.kill(process.pid, signal.SIGTERM)
        return False

    ask = home.insist

    def insist(method, path, body, seconds=240):
        if method == "PUT":
            begun.set()
            answered.append(home.call(method, path, body))
            answered.append(time.monotonic())
            return answered[0]
        return (200, {"promise": ""}) if path.endswith("finalize") else ask(method, path, body, seconds)

    home.cut, home.insist, home.finalize = slowly, insist, lambda: None
    with ExitStack() as open_lines:
        for number in range(5):
            line = open_lines.enter_context(connect(town))
            if number < 3:
                kept(town, line)
        process = take(town)
        home.upload()
        (status, value), at = answered
        assert told.is_set()
        process.wait(10)
        waited = time.monotonic() - at
    assert (status, value["parts_have"]) == (200, [0])
    assert process.returncode == 0
    assert waited < 5, waited
    town.start_hub(town.hub)
    del home.insist, home.finalize
    home.cut = lambda _home, _sent: False
    status, value = home.insist("GET", f"/v1/uploads/{home.rid}", b"")
    assert (status, value["parts_have"]) == (200, [0]), "what was answered is there"
    assert home.finalize().response_id == home.rid


def test_told_twice_it_kills_at_once(town):
    with connect(town) as line:
        hang(town, line)
        process = take(town)
        below = crowd.processes(process.pid)
        process.terminate()
        time.sleep(1)
        assert process.poll() is None, "a request is under way"
        began = time.monotonic()
        process.terminate()
        process.wait(10)
        assert time.monotonic() - began < 2
    assert len(below) >= 5
    assert not [number for number in below if Path(f"/proc/{number}").exists()]
    assert closed(town)
    town.start_hub(town.hub)


def test_what_hangs_is_killed_after_stop_seconds(town):
    process = take(town)
    began = time.monotonic()
    process.terminate()
    process.wait(10)
    assert time.monotonic() - began < 5, "some workers were still starting"
    file = town.hub / "config.toml"
    file.write_text("stop_seconds = 2\n" + file.read_text())
    town.start_hub(town.hub)
    with connect(town) as line:
        hang(town, line)
        process = town.processes.running["hub"]
        below = crowd.processes(process.pid)
        began = time.monotonic()
        process.terminate()
        process.wait(10)
        assert 1.9 < time.monotonic() - began < 5
    assert not [number for number in below if Path(f"/proc/{number}").exists()]
    assert closed(town)
    take(town)
