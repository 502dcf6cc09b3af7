import io

import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.wire import frames
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

SECRET, RECIPIENT = seal.new_identity()
WRONG_SUM = RECIPIENT[:-1] + ("q" if RECIPIENT[-1] != "q" else "p")


def code(call, *args):
    with pytest.raises(ProtocolError) as caught:
        call(*args)
    return caught.value.code


def test_a_new_identity_has_the_published_form():
    assert len(RECIPIENT) == 62
    assert seal.check_recipient(RECIPIENT) == RECIPIENT
    assert seal.recipient_of(SECRET) == RECIPIENT
    assert seal.new_identity()[0] != SECRET


@pytest.mark.parametrize(
    "text",
    [
        "",
        RECIPIENT.upper(),
        RECIPIENT + "\n",
        " " + RECIPIENT,
        RECIPIENT[:-1],
        WRONG_SUM,
        SECRET,
        None,
        "age1pq1" + RECIPIENT[7:],
    ],
)
def test_anything_but_one_recipient_is_refused(text):
    assert code(seal.check_recipient, text) == "seal.recipient"


def test_a_wrong_identity_is_refused_without_being_quoted():
    with pytest.raises(ProtocolError) as caught:
        seal.recipient_of(SECRET[:-1] + "B")
    assert SECRET[20:40] not in str(caught.value) + caught.value.evidence


@given(st.binary(max_size=200_000))
@settings(max_examples=20, deadline=None)
def test_round_trip(data):
    other, other_recipient = seal.new_identity()
    sealed = seal.seal_bytes(data, [RECIPIENT, other_recipient])
    assert seal.open_bytes(sealed, [SECRET]) == data
    assert seal.open_bytes(sealed, [other]) == data


SEALED = seal.seal_bytes(b"a clip" * 20, [RECIPIENT])


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_any_changed_byte_is_refused(at, flip):
    data = bytearray(SEALED)
    data[at] ^= flip
    assert code(seal.open_bytes, bytes(data), [SECRET]).startswith("seal.")


@given(st.integers(0, len(SEALED) - 1))
@settings(max_examples=60, deadline=None)
def test_any_truncation_is_refused(at):
    assert code(seal.open_bytes, SEALED[:at], [SECRET]) == "seal.open"


def test_trailing_bytes_foreign_keys_and_nobody():
    assert code(seal.open_bytes, SEALED + b"x", [SECRET]) == "seal.open"
    assert code(seal.open_bytes, SEALED, [seal.new_identity()[0]]) == "seal.open"
    assert code(seal.open_bytes, SEALED, []) == "seal.identity"
    assert code(seal.seal_bytes, b"x", []) == "seal.recipient"
    assert code(seal.seal_bytes, bytes(seal.MAX_SMALL + 1), [RECIPIENT]) == "seal.size"
    assert code(seal.open_bytes, bytes(seal.MAX_SMALL + 70000), [SECRET]) == "seal.size"


class Failing:
    def __init__(self, after, data=b"x" * 70000):
        self.after = after
        self.data = data

    def step(self):
        self.after -= 1
        if self.after < 0:
            raise OSError(28, "disk full")

    def read(self, size):
        self.step()
        return self.data[:size]

    def write(self, data):
        self.step()


def test_what_source_and_sink_raise_passes_through():
    with pytest.raises(OSError, match="disk full"):
        seal.seal_stream(Failing(3), io.BytesIO(), [RECIPIENT])
    with pytest.raises(OSError, match="disk full"):
        seal.seal_stream(io.BytesIO(bytes(300_000)), Failing(1), [RECIPIENT])
    sealed = seal.seal_bytes(bytes(300_000), [RECIPIENT])
    with pytest.raises(OSError, match="disk full"):
        seal.open_stream(io.BytesIO(sealed), Failing(1), [SECRET])

    def refuse(_digests):
        raise ProtocolError("test.refused", "no manifest")

    with pytest.raises(ProtocolError, match="no manifest"):
        seal.seal_stream(frames.FrameSource([], refuse), io.BytesIO(), [RECIPIENT])


def test_a_response_streams_through():
    clips = [("clip-01.mp4", (bytes([i]) * 100_000 for i in range(5)))]
    sealed, plain = io.BytesIO(), {}

    class Sink:
        def __init__(self, name):
            plain[name] = self
            self.size = 0

        def write(self, data):
            self.size += len(data)

        def close(self, digest):
            self.digest = digest

    seal.seal_stream(frames.FrameSource(clips, lambda d: b"manifest %d" % len(d)), sealed, [RECIPIENT])
    reader = frames.FrameReader(Sink)
    seal.open_stream(io.BytesIO(sealed.getvalue()), reader, [SECRET])
    assert reader.finish().manifest == b"manifest 1"
    assert plain["clip-01.mp4"].size == 500_000


def test_a_sink_that_fails_is_not_asked_again_and_its_own_error_comes_out():
    secret, recipient = seal.new_identity()
    sealed = io.BytesIO()
    seal.seal_stream(io.BytesIO(bytes(300_000)), sealed, [recipient])

    class Full:
        calls = 0

        def write(self, data):
            self.calls += 1
            raise OSError(28, "full") if self.calls == 1 else ValueError("asked again")

    for act in (
        lambda sink: seal.open_stream(io.BytesIO(sealed.getvalue()), sink, [secret]),
        lambda sink: seal.seal_stream(io.BytesIO(bytes(300_000)), sink, [recipient]),
    ):
        sink = Full()
        with pytest.raises(OSError, match="full"):
            act(sink)
        assert sink.calls == 1
