import threading

import pytest

from fairwitness.kit import notify
from fairwitness.kit.notify import Channel, Reach, classify


@pytest.mark.parametrize(
    "url",
    [
        "json://192.168.1.5/hook",
        "ntfy://10.0.0.2/topic",
        "ntfys://nas.local/topic",
        "gotify://[fd00::1]/token",
        "mqtt://broker.home.arpa/door",
        "json://127.0.0.1:8000/",
        "json://localhost/",
        "mailto://user:pw@192.168.1.2",
        "dbus://",
        "json://[::ffff:192.168.0.3]/",
    ],
)
def test_own_network_is_local(url):
    assert classify(url) is Reach.LOCAL


@pytest.mark.parametrize(
    "url",
    [
        "ntfy://topic",
        "ntfys://ntfy.sh/topic",
        "json://8.8.8.8/",
        "json://nas.example.com/",
        "json://nas/",
        "json://local.evil.com/",
        "json://192.168.1.5.evil.com/",
        "json://0.0.0.0/",
        "json://[::ffff:8.8.8.8]/",
        "mailto://user:pw@gmail.com",
        "mailto://user:pw@192.168.1.2?smtp=smtp.gmail.com",
        "tgram://bottoken/ChatID",
        "discord://192.168.1.5/token",
        "pover://user@token",
        "slack://a/b/c",
        "",
        "nonsense",
    ],
)
def test_everything_else_is_a_third_party(url):
    assert classify(url) is Reach.THIRD_PARTY


def test_send_goes_through_the_sender_and_never_raises():
    sent = []
    notify.set_sender(lambda *message: not sent.append(message))
    try:
        assert notify.send(Channel("json://nas.local/"), "t", "b")
        assert sent == [("json://nas.local/", "t", "b")]

        def breaks(*_message):
            raise RuntimeError

        notify.set_sender(breaks)
        assert not notify.send(Channel("json://nas.local/"), "t", "b")
        held = threading.Event()
        notify.set_sender(lambda *_message: held.wait(10))
        assert not notify.send(Channel("json://nas.local/"), "t", "b", timeout=0.01)
        held.set()
    finally:
        notify.set_sender(None)


def test_channel_hides_its_secret():
    assert "pw" not in repr(Channel("mailto://user:pw@nas.local"))
    assert notify.valid("json://nas.local/")
    assert not notify.valid("nonsense")
