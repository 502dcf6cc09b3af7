"""The core's tests reach no network: nothing in the core may."""

import socket

import pytest


def _refuse(*_: object) -> None:
    raise RuntimeError("a test of the core tried to reach a network; mark it `network` if it serves itself on loopback")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("network") is None:
        monkeypatch.setattr(socket.socket, "connect", _refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", _refuse)
