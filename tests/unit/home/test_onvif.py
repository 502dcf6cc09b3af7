"""ONVIF cameras: what is asked, what is chosen, what is believed of a device's words, and what is refused."""
# ruff: noqa: PLC0415, PLR0917, PT017 - Django's modules are loaded once its settings are

import ipaddress
import ssl
import time
from datetime import UTC, datetime

import pytest
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

from fairwitness.home.adapters import onvif, onvif_again, onvif_digest, onvif_discovery, onvif_soap
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.onvif_discovery import Place
from fairwitness.home.adapters.onvif_soap import Device
from fairwitness.home.models import Recorder
from fairwitness.home.services import onvif as service
from fairwitness.home.services import recorders
from fairwitness.kit.errors import Refused
from tests import testdata
from tests.harness.onvif import ENTITIES, Answering, FakeOnvif, envelope, fault, probe_match

pytestmark = pytest.mark.network
HERE = Place("127.0.0.1", ipaddress.IPv4Network("127.0.0.0/8"))


@pytest.fixture
def cam():
    found = FakeOnvif()
    yield found
    found.close()


@pytest.fixture
def eye(home, cam):
    """A camera that goes by the home's clock."""
    cam.now = lambda: home.now
    cam.stream = "rtsp://0.0.0.0:8554/main?channel=1"
    return cam


def device(cam, **more):
    return Device(**({"address": cam.address, "user": cam.user, "password": cam.password, "call_s": 2.0} | more))


def code(act):
    with pytest.raises(SourceProblem) as caught:
        act()
    return caught.value.code


# ---------------------------------------------------------------- discovery


def discover(*datagrams, seconds=0.6):
    answering = Answering(lambda number: [one(number) if callable(one) else one for one in datagrams])
    try:
        return onvif_discovery.discover(seconds, where=[HERE], target=answering.target), answering
    finally:
        answering.close()


def test_a_camera_that_answers_is_listed_once():
    found, answering = discover(lambda n: probe_match(n, "http://127.0.0.1:8080/onvif/device_service"))
    (one,) = found
    assert (one.address, one.host) == ("http://127.0.0.1:8080/onvif/device_service", "127.0.0.1")
    assert (one.name, one.hardware) == ("Front door", "Eye-2")
    assert len(answering.probes) == 3
    assert b"NetworkVideoTransmitter" in answering.probes[0]


@pytest.mark.parametrize(
    "addresses",
    [
        "http://203.0.113.9/onvif/device_service",  # elsewhere: the password would go there
        "http://10.1.2.3/onvif/device_service",  # private, but none of this machine's networks
        "http://camera.example/onvif/device_service",
        "http://127.0.0.1@203.0.113.9/onvif",
        "https://[::1]/onvif",
        "ftp://127.0.0.1/onvif",
        "http://127.0.0.1:0/onvif",
        "http://127.0.0.1:99999/onvif",
        "http://0.0.0.0/onvif",
        "http://127.0.0.1/onvif?to=http://203.0.113.9",
        "http://[",
        "",
    ],
)
def test_an_answer_that_leads_elsewhere_is_dropped(addresses):
    asked = ["urn:uuid:1"]
    assert onvif_discovery.read(probe_match(asked[0], addresses), "127.0.0.1", HERE, asked) == []


def test_only_answers_to_our_own_question_from_our_own_network_count():
    good = probe_match("urn:uuid:1", "http://127.0.0.1/x")
    assert onvif_discovery.read(good, "127.0.0.1", HERE, ["urn:uuid:1"])
    assert not onvif_discovery.read(good, "203.0.113.9", HERE, ["urn:uuid:1"])
    assert not onvif_discovery.read(good, "127.0.0.1", HERE, ["urn:uuid:2"])
    assert not onvif_discovery.read(good + b" " * 40_000, "127.0.0.1", HERE, ["urn:uuid:1"])
    assert not onvif_discovery.read(ENTITIES.encode(), "127.0.0.1", HERE, ["urn:uuid:1"])
    deep = b"<a>" * 10_000 + b"</a>" * 10_000
    assert not onvif_discovery.read(deep, "127.0.0.1", HERE, ["urn:uuid:1"])


def test_of_several_addresses_the_one_that_answered_is_taken():
    asked = ["urn:uuid:1"]
    both = "http://203.0.113.9/x http://127.9.9.9/x http://127.0.0.1:81/x"
    (one,) = onvif_discovery.read(probe_match(asked[0], both), "127.0.0.1", HERE, asked)
    assert one.address == "http://127.0.0.1:81/x"


def test_names_are_made_fit_to_be_shown():
    asked = ["urn:uuid:1"]
    data = probe_match(asked[0], "http://127.0.0.1/x", name="%1b%5b31mred%0a" + "a" * 200)
    (one,) = onvif_discovery.read(data, "127.0.0.1", HERE, asked)
    assert one.name == "[31mred" + "a" * 57


def test_a_flood_of_answers_ends():
    flood = [lambda n, k=k: probe_match(n, f"http://127.0.0.1:{k + 1}/x") for k in range(200)]
    began = time.monotonic()
    found, _answering = discover(*flood, seconds=2.0)
    assert len(found) <= onvif_discovery.MAX_DEVICES
    assert time.monotonic() - began < 3.0


@given(st.binary(max_size=400))
def test_any_datagram_is_survived(data):
    assert onvif_discovery.read(data, "127.0.0.1", HERE, ["x"]) == []


def test_this_machines_networks_are_private_ones():
    assert all(one.network.is_private and not one.network.is_loopback for one in onvif_discovery.places())


@pytest.mark.testdata
def test_a_real_cameras_answer_is_read():
    text = testdata.files("onvif/Probe.xml")[0].read_text()
    text = text.replace("RELATES_TO", "urn:uuid:1").replace("SERVICE_URI", "http://127.0.0.1/onvif/device_service")
    (one,) = onvif_discovery.read(text.encode(), "127.0.0.1", HERE, ["urn:uuid:1"])
    assert (one.name, one.hardware) == ("PREDATOR", "HD_PREDATOR")


def test_the_owners_list_says_which_are_recorded(home, eye, monkeypatch):
    recorders.add_rtsp(home.porch.pk, "rtsp://127.0.0.1:8554/x")
    answering = Answering(lambda n: [probe_match(n, "http://127.0.0.1/onvif"), probe_match(n, "http://127.0.0.2/onvif", "b")])
    real = onvif_discovery.discover
    monkeypatch.setattr(onvif_discovery, "discover", lambda s: real(s, where=[HERE], target=answering.target))
    found = service.discover(0.5)
    answering.close()
    assert [(one.address, one.known) for one in found] == [
        ("http://127.0.0.1/onvif", (home.porch.pk,)),
        ("http://127.0.0.2/onvif", ()),
    ]
    with pytest.raises(Refused):
        service.discover(31)
    monkeypatch.setattr(onvif_discovery, "discover", lambda _s: real(0.2, where=[]))
    with pytest.raises(Refused, match="network"):
        service.discover(0.5)


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.20", "http://192.168.1.20/onvif/device_service"),
        ("192.168.1.20:8000", "http://192.168.1.20:8000/onvif/device_service"),
        ("porch.lan", "http://porch.lan/onvif/device_service"),
        ("https://cam.example:8443", "https://cam.example:8443/onvif/device_service"),
        ("http://10.0.0.9/onvif/services", "http://10.0.0.9/onvif/services"),
        ("http://[fd00::1]:81", "http://[fd00::1]:81/onvif/device_service"),
    ],
)
def test_addresses(text, address):
    assert onvif.check_address(text) == address


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "onvif.address"),
        ("a b", "onvif.address"),
        ("ftp://10.0.0.9", "onvif.address"),
        ("http://10.0.0.9/?x=1", "onvif.address"),
        ("10.0.0.9:0", "onvif.address"),
        ("http://u:p@10.0.0.9", "onvif.credentials"),
        ("http://8.8.8.8", "onvif.public"),
        ("cam.example", "onvif.public"),
    ],
)
def test_addresses_that_are_refused(text, code):
    with pytest.raises(ProtocolError) as caught:
        onvif.check_address(text)
    assert caught.value.code == code


@given(st.text(max_size=60))
def test_any_address_is_taken_or_refused(text):
    try:
        assert onvif.check_address(text).startswith(("http://", "https://"))
    except ProtocolError as error:
        assert error.code.startswith("onvif.")


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("rtsp://192.168.1.20:8554/a?b=1", "rtsp://192.168.1.20:8554/a?b=1"),
        ("rtsp://0.0.0.0/a", "rtsp://192.168.1.20/a"),
        ("rtsp://127.0.0.1:554/a", "rtsp://192.168.1.20:554/a"),
        ("rtsp://169.254.3.4/a", "rtsp://192.168.1.20/a"),
        ("rtsp://admin:secret@192.168.1.20/a", "rtsp://192.168.1.20/a"),
    ],
)
def test_a_streams_address_is_put_to_the_named_host(said, taken):
    assert onvif.own_address(said, Device("http://192.168.1.20/x", "u", "hidden-word")) == taken


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("rtsp://192.168.1.21/a", "other_host"),
        ("rtsp://evil.example/a", "other_host"),
        ("rtsp://192.168.1.20@evil.example/a", "other_host"),
        ("http://192.168.1.20/a", "answer"),
        ("rtsp://192.168.1.20/a b", "answer"),
        ("rtsp://192.168.1.20:0/a", "answer"),
        ("rtsp://192.168.1.20:x/a", "answer"),
        ("", "answer"),
        ("rtsp://192.168.1.20/user=admin&password=x&channel=1", "secret"),
        ("rtsp://192.168.1.20/a?token=hidden%2Dword", "secret"),
        ("rtsp://192.168.1.20/" + "a" * 1000, "answer"),
    ],
)
def test_a_streams_address_that_is_refused(said, code):
    asked = Device("http://192.168.1.20/x", "u", "hidden-word")
    with pytest.raises(SourceProblem, match=f"^{code}$"):
        onvif.own_address(said, asked)


# ---------------------------------------------------------------- calls


def test_the_password_itself_is_never_sent(cam, monkeypatch):
    sent = []
    real = onvif_soap.SocketTransport.send

    def send(self, method, url, headers, body, timeout):
        sent.append(repr(headers).encode() + body)
        return real(self, method, url, headers, body, timeout)

    monkeypatch.setattr(onvif_soap.SocketTransport, "send", send)
    assert onvif.about(device(cam)).model == "Eye 2"
    cam.login = "digest"
    asked = device(cam)
    assert onvif.about(asked).serial == "SN-0001"
    assert [one.token for one in onvif.profiles(asked)] == ["main", "sub"]
    assert cam.calls.count("GetProfiles") == 1  # the challenge is answered in advance from the second call on
    assert sent
    assert not any(cam.password.encode() in data for data in sent)
    assert cam.password not in repr(asked)


@pytest.mark.parametrize("login", ["wss", "digest"])
def test_a_wrong_password_is_said_plainly(cam, login):
    cam.login = login
    assert code(lambda: onvif.about(device(cam, password="nope"))) == "refused"


def test_a_clock_that_is_wrong_is_told_from_a_wrong_password(cam):
    cam.ahead = -3600.0
    asked = device(cam)
    assert onvif.about(asked).model == "Eye 2"
    assert asked.skewed
    assert abs(asked.ahead + 3600) < 1.5
    assert code(lambda: onvif.about(device(cam, password="nope"))) == "refused"
    cam.ahead = 0.0
    fine = device(cam)
    onvif.about(fine)
    assert not fine.skewed
    assert abs(fine.clock()) < 1.5


def test_a_device_without_a_time_has_none(cam):
    for said in (b"<a/>", envelope("<UTCDateTime><Date><Year>99999</Year><Month>1</Month><Day>1</Day></Date></UTCDateTime>")):
        cam.answers["GetSystemDateAndTime"] = said
        assert device(cam).clock() is None


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (ENTITIES.encode(), "answer"),
        (b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "http://203.0.113.9/x.dtd"><a>&b;</a>', "answer"),
        (b"<html>", "answer"),
        (b"\xff\xfe\0", "answer"),
        (b"", "answer"),
        (b"<a>" + b"x" * (1 << 20) + b"</a>", "too_large"),
        ((302, b"", {"location": "http://203.0.113.9/"}), "redirect"),
        ((401, b"", {"www-authenticate": 'Basic realm="x"'}), "refused"),
        ((404, b"gone", {}), "missing"),
        ((500, b"<a/>", {}), "answer"),
        ((500, fault("Receiver", "out of order"), {}), "fault"),
        ((400, fault("NotAuthorized"), {}), "refused"),
        ((500, fault("ActionNotSupported", "Optional Action Not Implemented"), {}), "missing"),
    ],
)
def test_answers_that_are_none(cam, answer, word):
    cam.answers["GetDeviceInformation"] = answer
    assert code(lambda: onvif.about(device(cam))) == word


def test_a_device_that_drips_is_given_up(cam, monkeypatch):
    def drip():
        while True:
            time.sleep(0.05)
            yield b" "

    class Slow:
        def send(self, *_a):
            from fairwitness.kit.http import Answer

            return Answer(200, {}, drip())

    assert code(lambda: onvif.about(device(cam, transport=Slow(), call_s=0.3))) == "slow"


def test_nobody_there(cam):
    cam.close()
    assert code(lambda: onvif.about(device(cam))) == "unreachable"


def test_a_devices_own_addresses_for_its_services_are_not_followed(cam):
    asked = device(cam)
    assert asked.services()["media"] == f"http://127.0.0.1:{cam.port}/onvif/media"
    cam.answers["GetServices"] = fault("ActionNotSupported")
    cam.answers["GetCapabilities"] = envelope(
        "<C><Media><XAddr>http://evil.example/m</XAddr></Media><PTZ><XAddr>http://127.0.0.1/p q</XAddr></PTZ></C>"
    )
    assert code(device(cam).services) == "answer"


@pytest.mark.parametrize(
    "text",
    [
        'Digest realm="r", nonce="n"',
        'Basic realm="x", Digest realm="r", qop="auth,auth-int", nonce="n", algorithm=SHA-256',
        'Digest realm="r", nonce="n", algorithm=MD5-sess, Digest realm="r", nonce="n", algorithm=MD5',
    ],
)
def test_challenges_that_are_answered(text):
    found = onvif_digest.parse(text)
    assert (found.realm, found.nonce) == ("r", "n")


@pytest.mark.parametrize(
    "text", ["", "Basic realm=x", "Digest realm=r", 'Digest nonce="n", qop="auth-int"', "Digest nonce=n\r\nX: y", "x" * 5000]
)
def test_challenges_that_are_not(text):
    assert onvif_digest.parse(text) is None


def test_the_digest_is_that_of_the_standard():
    """RFC 7616 section 3.9.1, both of its algorithms."""
    for algorithm, response in (
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ):
        challenge = onvif_digest.Challenge(
            "http-auth@example.org",
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
            algorithm,
            "auth",
        )
        said = onvif_digest.answer(
            challenge, user="Mufasa", password="Circle of Life", method="GET", uri="/dir/index.html",
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )  # fmt: skip
        assert f'response="{response}"' in said


# ---------------------------------------------------------------- profiles


def some(*rows):
    return [onvif.Profile(f"p{n}", "", *row) for n, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([("h264", 640, 360, 15), ("h264", 1920, 1080, 15)], 1),
        ([("hevc", 1920, 1080, 15), ("h264", 1920, 1080, 15)], 1),
        ([("hevc", 2560, 1440, 15), ("h264", 1920, 1080, 15)], 0),
        ([("h264", 1920, 1080, 15), ("h264", 1920, 1080, 30)], 1),
        ([("h264", 1920, 1080, 15), ("h264", 1920, 1080, 15)], 0),
        ([("mjpeg", 1920, 1080, 15), ("mpeg4", 1920, 1080, 5)], 1),
        ([("", 4000, 3000, 15), ("h264", 640, 360, 5)], 1),
    ],
)
def test_the_best_profile(rows, best):
    found = some(*rows)
    chosen, why = onvif.choose(found)
    assert chosen is found[best]
    assert why


def test_h264_for_h265_only_where_the_pictures_are_as_large_and_it_is_said():
    assert "H.264" in onvif.choose(some(("hevc", 10, 10, 5), ("h264", 10, 10, 5)))[1]
    assert "H.264" not in onvif.choose(some(("hevc", 20, 10, 5), ("h264", 10, 10, 5)))[1]
    for found, token in (([], ""), (some(("", 1, 1, 1)), ""), (some(("h264", 1, 1, 1)), "x"), (some(("", 1, 1, 1)), "p0")):
        with pytest.raises(SourceProblem, match="no_profile"):
            onvif.choose(found, token)
    assert onvif.choose(some(("h264", 1, 1, 1), ("hevc", 9, 9, 1)), "p0")[0].token == "p0"


def test_odd_profiles_are_left_out_and_endless_ones_refused(cam):
    cam.profiles = [("ok", "H265", 10, 10, 5), ("", "H264", 1, 1, 1), ("x" * 200, "H264", 1, 1, 1), ("big", "H264", 10**9, 1, 1)]
    assert [one.token for one in onvif.profiles(device(cam))] == ["ok"]
    cam.profiles = [(f"p{n}", "H264", 1, 1, 1) for n in range(65)]
    assert code(lambda: onvif.profiles(device(cam))) == "too_many"
    cam.services = ["device"]
    assert code(lambda: onvif.profiles(device(cam))) == "missing"


@pytest.mark.testdata
def test_a_real_cameras_answers_are_understood(cam):
    names = ("GetServices", "GetProfiles", "GetStreamUri", "GetDeviceInformation", "GetSystemDateAndTime")
    cam.real = {name: testdata.files(f"onvif/{name}.xml")[0].read_bytes() for name in names}
    cam.answers["GetSystemDateAndTime"] = cam.real["GetSystemDateAndTime"]
    asked = device(cam)
    assert asked.services()["media"] == f"http://127.0.0.1:{cam.port}/onvif/services"
    assert onvif.about(asked).maker == "Mockup Manufacturer"
    found = onvif.profiles(asked)
    best, _why = onvif.choose(found)
    assert (best.token, best.codec, best.width, best.height, best.rate) == ("main", "h264", 1920, 1080, 5.0)
    assert code(lambda: onvif.stream_address(asked, best.token)) == "other_host"
    there = Device("http://192.168.68.111/onvif/services", "u", "password-of-it")
    assert onvif.own_address("rtsp://192.168.68.111/h264main", there) == "rtsp://192.168.68.111/h264main"
    assert asked.clock() < -86_400 * 365
    cam.real = {"GetServices": b"nothing", "GetCapabilities": testdata.files("onvif/GetCapabilities.xml")[0].read_bytes()}
    cam.answers["GetServices"] = fault("ActionNotSupported")
    assert "media" in device(cam).services()
    cam.answers["GetDeviceInformation"] = testdata.files("onvif/Error.xml")[0].read_bytes()
    assert code(lambda: onvif.about(device(cam))) == "answer"  # it is not well-formed


# ---------------------------------------------------------------- recording a camera


def add(home, eye, **more):
    values = {"user": eye.user, "password": eye.password} | more
    return service.add(home.porch.pk, eye.address, **values)


def test_a_camera_is_recorded_by_its_best_stream(home, eye):
    seen = service.look(eye.address, user=eye.user, password=eye.password)
    assert (seen.maker, seen.profile, seen.skewed) == ("Acme", "main", False)
    assert [one.token for one in seen.profiles] == ["main", "sub"]
    assert not Recorder.objects.exists()
    row = add(home, eye, sound=True)
    assert (row.kind, row.address) == ("rtsp", "rtsp://127.0.0.1:8554/main?channel=1")
    shown = recorders.view(row)
    assert shown.options["onvif"]["profile"] == "main"
    assert shown.options["sound"] is True
    assert abs(shown.camera_ahead_ms) <= 1000  # nothing was received yet, so the camera's own word
    assert eye.password not in repr(shown)
    assert eye.password.encode() not in bytes(Recorder.objects.get().secret)


@pytest.mark.parametrize(
    ("bend", "word"),
    [
        ({"password": "nope"}, "onvif.refused"),
        ({"stream": "rtsp://203.0.113.9/x"}, "onvif.other_host"),
        ({"stream": "rtsp://0.0.0.0/x?password=abc"}, "onvif.secret"),
        ({"profiles": []}, "onvif.no_profile"),
        ({"services": ["device"]}, "onvif.missing"),
    ],
)
def test_what_cannot_be_recorded_is_said_and_not_stored(home, eye, bend, word):
    password = bend.pop("password", eye.password)
    for name, value in bend.items():
        setattr(eye, name, value)
    with pytest.raises(Refused) as caught:
        add(home, eye, password=password)
    assert caught.value.code == word
    assert password not in repr(caught.value) + caught.value.message
    assert not Recorder.objects.exists()


def test_a_skewed_clock_is_remembered_and_shown(home, eye):
    eye.ahead = 7200.0
    row = add(home, eye)
    assert row.options["onvif"]["skewed"]
    assert abs(recorders.view(row).camera_ahead_ms - 7_200_000) <= 1000
    # It is used at once the next time: no call is made twice.
    eye.calls.clear()
    onvif.about(onvif_again.device(row.options["onvif"], {"user": eye.user, "password": eye.password}))
    assert eye.calls == ["GetDeviceInformation"]


def step(row, now, **status):
    """One beat, with the recorder's process left out: `status` is what it would have said."""
    import json

    path = recorders.chain(row).root / "status.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(status))
    recorders.keep(now)
    row.refresh_from_db()


@pytest.fixture
def idle(monkeypatch):
    monkeypatch.setattr(type(recorders._keeper), "step", lambda *_a: None)


@pytest.mark.usefixtures("idle")
def test_a_stream_that_moved_is_looked_up_again(home, eye):
    row = add(home, eye)
    mark = recorders._mark(row)
    later = home.now + 400
    eye.stream = "rtsp://0.0.0.0:9554/other"
    step(row, later, state="recording", at=later, since=home.now)
    assert row.address.endswith(":8554/main?channel=1")
    assert recorders._mark(row) == mark
    step(row, later, state="not_found", since=home.now)
    assert row.address == "rtsp://127.0.0.1:9554/other"
    assert recorders._mark(row) != mark  # so that the recorder is started with it
    # Not more often than every few minutes, however often the beat comes.
    eye.calls.clear()
    eye.stream = "rtsp://0.0.0.0:7554/third"
    step(row, later + 60, state="not_found", since=home.now)
    assert eye.calls == []
    step(row, later + 301, state="not_found", since=home.now)
    assert row.address == "rtsp://127.0.0.1:7554/third"


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bend", "problem"),
    [
        ({"serial": "SN-0002"}, "other_device"),
        ({"stream": "rtsp://203.0.113.9/x"}, "other_host"),
        ({"stream": "rtsp://0.0.0.0/x?pwd=abcdef"}, "secret"),
        ({"password": "changed"}, "refused"),
    ],
)
def test_a_stream_that_leads_elsewhere_is_not_taken(home, eye, bend, problem):
    row = add(home, eye)
    address = row.address
    for name, value in bend.items():
        setattr(eye, name, value)
    step(row, home.now + 400, state="refused", since=home.now)
    assert (row.address, row.problem) == (address, problem)


@pytest.mark.usefixtures("idle")
def test_the_clock_is_asked_for_now_and_then(home, eye):
    row = add(home, eye)
    eye.ahead = 4.0
    eye.calls.clear()
    later = home.now + onvif_again.CLOCK_S
    step(row, later, state="recording", at=later, since=home.now)
    assert eye.calls == ["GetSystemDateAndTime"]
    assert abs(recorders.view(row).camera_ahead_ms - 4000) <= 1000
    eye.close()
    step(row, later * 2, state="recording", at=later * 2, since=home.now)
    assert row.problem == ""


# ---------------------------------------------------------------- TLS


def test_a_certificate_is_pinned(tmp_path, monkeypatch):
    with pytest.raises(ProtocolError, match="64 hex"):
        onvif.certificate("https://10.0.0.9/x", "abc")
    with pytest.raises(ProtocolError, match="https"):
        onvif.certificate("http://10.0.0.9/x", "0" * 64)
    pem = ssl.DER_cert_to_PEM_cert(b"any")
    monkeypatch.setattr(ssl, "get_server_certificate", lambda *_a, **_k: pem)
    assert code(lambda: onvif.certificate("https://10.0.0.9/x", "0" * 64)) == "fingerprint"
    import hashlib

    right = hashlib.sha256(b"any").hexdigest()
    assert onvif.certificate("https://10.0.0.9/x", ":".join(right[n : n + 2] for n in range(0, 64, 2)).upper()) == pem
    assert Device("https://10.0.0.9/x", "u", "p", pem).certificate == pem


def own_certificate(folder, name):
    """A certificate as a camera signs its own; returns its file (with the key) and its SHA-256."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    day = datetime(2020, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), day, day.replace(year=2090))
    made = made.sign(key, hashes.SHA256())
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain) + made.public_bytes(serialization.Encoding.PEM))
    return path, made.fingerprint(hashes.SHA256()).hex()


def test_the_pinned_certificate_is_the_only_one_taken(cam, tmp_path):
    right, fingerprint = own_certificate(tmp_path, "camera")
    wrong, other = own_certificate(tmp_path, "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(right)
    cam.server.socket = context.wrap_socket(cam.server.socket, server_side=True)
    address = f"https://127.0.0.1:{cam.port}/onvif/device_service"
    pinned = onvif.certificate(address, fingerprint)
    assert onvif.about(device(cam, address=address, certificate=pinned)).model == "Eye 2"
    assert code(lambda: onvif.certificate(address, other)) == "fingerprint"
    foreign = wrong.read_text()
    foreign = foreign[foreign.index("-----BEGIN CERT") :]
    assert code(lambda: onvif.about(device(cam, address=address, certificate=foreign))) == "unreachable"
    assert code(lambda: onvif.about(device(cam, address=address))) == "unreachable"
    assert "GetDeviceInformation" in cam.calls
    assert cam.calls.count("GetDeviceInformation") == 1
