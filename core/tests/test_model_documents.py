"""Every wire document, from the golden vectors: what is accepted, and that every departure is refused with its code."""

import copy
import json
import zlib
from pathlib import Path

import pytest
from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model import agency, call, custody, directory, feed, hub, recording, request, response
from fairwitness_core.model.document import Document, UnknownKind, kind_of
from fairwitness_core.verify import layout, trust
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

GOLDEN = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "golden.json").read_text())
MODULES = (agency, call, custody, directory, feed, hub, recording, request, response, layout, trust)


def kinds(base=Document):
    for kind in base.__subclasses__():
        yield from kinds(kind)
        # A dataclass with slots leaves the class that it was made from behind: only the one in the module counts.
        if kind.TYPE and any(getattr(module, kind.__name__, None) is kind for module in MODULES):
            yield kind


KINDS = {kind.TYPE: kind for kind in kinds()}
ROWS = {row["type"]: row for row in GOLDEN["documents"]}
ALL = pytest.mark.parametrize("name", sorted(KINDS))
OPEN = {("call", ("body",))}  # an object whose fields are the operation's own


def value_of(name):
    return json.loads(ROWS[name]["document"])


def parse(name, value):
    return KINDS[name].parse(canonical.encode(value))


def code(function, *arguments):
    with pytest.raises(ProtocolError) as caught:
        function(*arguments)
    return caught.value.code


def outcome(name, value):
    """Return the document that is read, or None, and the code of the refusal."""
    try:
        return parse(name, value), ""
    except ProtocolError as error:
        return None, error.code


def objects(value, path=()):
    """Yield the path of every object in a document."""
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            yield from objects(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, (*path, index))


def at(value, path):
    for step in path:
        value = value[step]
    return value


def closed(name, value):
    return [path for path in objects(value) if (name, path) not in OPEN]


def test_every_kind_has_a_golden_vector_and_a_name_of_its_own():
    assert set(ROWS) == set(KINDS)
    assert len({kind.TYPE for kind in kinds()}) == len(list(kinds()))


@ALL
def test_golden_bytes_are_read_and_written_back(name):
    data = ROWS[name]["document"].encode()
    document = KINDS[name].parse(data)
    assert document.encode() == data
    assert KINDS[name].parse(document.encode()) == document
    assert kind_of(canonical.decode(data)) == (name, 1)


@ALL
def test_unknown_fields_are_refused_at_every_level(name):
    for path in closed(name, value_of(name)):
        value = value_of(name)
        at(value, path)["zz"] = 1
        assert code(parse, name, value) == "document.unknown_field", path


@ALL
def test_missing_fields_are_refused_at_every_level(name):
    for path in closed(name, value_of(name)):
        for field in list(at(value_of(name), path)):
            value = value_of(name)
            del at(value, path)[field]
            document, refused = outcome(name, value)
            if document is None:
                # An optional field may still be needed by a rule between fields.
                assert refused in {"document.missing_field", "document.shape", "response.identity"}, (path, field)
            else:
                assert document.to_json() == value, (path, field)


@ALL
def test_null_and_other_types_are_refused_at_every_level(name):
    for path in closed(name, value_of(name)):
        for field in list(at(value_of(name), path)):
            for wrong in (None, [], {}, "", -1, True, [None], "\u0131", [[]], 2**53 - 1):
                value = value_of(name)
                if at(value, path)[field] == wrong or ((name, (*path, field)) in OPEN and isinstance(wrong, dict)):
                    continue
                at(value, path)[field] = wrong
                document, refused = outcome(name, value)
                if wrong is None and (path or field not in {"type", "v"}):
                    assert refused == "document.null", (path, field)
                if document is not None:
                    # Only a value that the field truly allows may pass, and it stays what it was.
                    assert document.to_json() == value, (path, field, wrong)
                    assert type(wrong) is type(at(value_of(name), path)[field]), (path, field, wrong)


@ALL
def test_duplicates_and_other_spellings_are_refused(name):
    data = ROWS[name]["document"].encode()
    assert code(KINDS[name].parse, b'{"type":"x",' + data[1:]) == "json.duplicate_key"
    assert code(KINDS[name].parse, data.replace(b":", b": ", 1)) == "json.not_canonical"
    assert code(KINDS[name].parse, data + b"\n") == "json.not_canonical"
    reversed_keys = json.dumps(dict(reversed(list(value_of(name).items()))), separators=(",", ":"), ensure_ascii=False)
    assert code(KINDS[name].parse, reversed_keys.encode()) == "json.not_canonical"


@ALL
def test_newer_versions_and_other_types_are_unknown_not_broken(name):
    for changes in ({"v": 2}, {"v": 2, "new": {"field": 1}}, {"type": "other"}):
        with pytest.raises(UnknownKind):
            parse(name, value_of(name) | changes)
    for changes in ({"v": True}, {"v": "1"}, {"type": 1}):
        with pytest.raises(ProtocolError) as caught:
            parse(name, value_of(name) | changes)
        assert caught.value.code == "document.shape"
        assert not isinstance(caught.value, UnknownKind)
    assert code(KINDS[name].parse, b"[]") == "document.shape"


@ALL
def test_a_document_made_in_python_is_held_to_the_same_rules(name):
    document = KINDS[name].parse(ROWS[name]["document"].encode())
    arguments = {field: getattr(document, field) for field in document.__dataclass_fields__ if field not in {"TYPE", "VERSION"}}
    assert KINDS[name](**arguments) == document
    for field in arguments:
        with pytest.raises((ProtocolError, TypeError, AttributeError)):
            KINDS[name](**arguments | {field: object()})


@settings(max_examples=40)
@given(st.data())
@ALL
def test_mutated_bytes_are_refused_or_read_as_they_are(name, data):
    raw = bytearray(ROWS[name]["document"].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        spot = data.draw(st.integers(0, len(raw) - 1))
        raw[spot : spot + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        document = KINDS[name].parse(bytes(raw))
    except ProtocolError:
        return
    assert document.encode() == bytes(raw)


WORDS = st.text(st.characters(categories=("L", "N", "P", "Zs"), max_codepoint=0x24FF), min_size=1, max_size=40)


@given(WORDS, WORDS, st.integers(0, 2**37), st.integers(1, 2**30), st.booleans())
def test_requests_round_trip(msg, reason, start, length, emergency):
    value = value_of("request_published") | {
        "msg": msg, "wide_reason": reason, "from": start, "to": start + length, "at": start, "expires": start + length,
        "emergency": emergency,
    }  # fmt: skip
    try:
        data = canonical.encode(value)
    except ProtocolError:
        return  # not in normal form
    document = request.Request.parse(data)
    assert document.encode() == data
    assert (document.msg, document.from_, document.emergency) == (msg, start, emergency)


# ---------------------------------------------------------------- rules between fields


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("request_published", {"from": 5, "to": 5}, "request.window"),
        ("request_published", {"expires": 5, "at": 5}, "request.expires"),
        ("request_published", {"area": ["89283082837ffff", "89283082833ffff"]}, "field.invalid"),
        ("request_published", {"modes": ["identified", "anonymous"]}, "field.invalid"),
        ("request_published", {"key": "age1" + "b" * 58}, "field.invalid"),
        ("agency_authorized", {"federal": True}, "agency.federal"),
        ("agency_authorized", {"state": "US"}, "agency.federal"),
        ("key_rotated", {"add": [], "remove": []}, "agency.rotation"),
        ("policy_changed", {"text": "everyone"}, "policy.standing"),
        ("policy_changed", {"text": '{"us-nv-renopd":1}'}, "policy.standing"),
        ("policy_changed", {"text": '["us-nv-renopd", "us-ut-provopd"]'}, "policy.standing"),
        ("policy_changed", {"text": '["us-ut-provopd","us-nv-renopd"]'}, "policy.standing"),
        ("policy_changed", {"text": '["us-nv-renopd","us-nv-renopd"]'}, "policy.standing"),
        ("policy_changed", {"text": "[1]"}, "policy.standing"),
        ("policy_changed", {"text": '["Reno"]'}, "policy.standing"),
        ("policy_changed", {"text": "[]\n"}, "policy.standing"),
        ("upload_open", {"parts": 3}, "upload.parts"),
        ("upload_open", {"response_id": "00" * 32}, "response.id"),
        ("withdraw", {"response_id": "00" * 32}, "response.id"),
        ("response", {"mode": "anonymous"}, "response.identity"),
        ("response", {"clips": [], "statement": " \n"}, "response.empty"),
        ("trust", {"policy": "nonsense\n"}, "policy.line"),
        ("trust", {"hub_key": dsse.b64(bytes(32))}, "key.small_order"),
        ("seal", {"responses": []}, "field.invalid"),
    ],
)
def test_rules_between_fields(name, changes, expected):
    assert code(parse, name, value_of(name) | changes) == expected


def test_more_rules_between_fields():
    value = value_of("agency_authorized")
    value["keys"].append(value["keys"][0])
    assert code(parse, "agency_authorized", value) == "agency.keys"
    value = value_of("agency_authorized")
    value["keys"][0]["kid"] = value["keys"][1]["kid"]
    assert code(parse, "agency_authorized", value) == "key.kid"
    value = value_of("response")
    value["clips"][0]["name"] = "clip-02.mp4"
    assert code(parse, "response", value) == "response.clips"
    value = value_of("policy_changed")
    for text in ("[]", '["us-nv-renopd","us-ut-provopd"]'):
        assert parse("policy_changed", value | {"text": text}).text == text
    assert parse("policy_changed", value | {"kind": "moderation", "text": "everyone"}).kind == "moderation"


# ---------------------------------------------------------------- containers, lines, directory, statements


def mutations(data, draw):
    raw = bytearray(data)
    spot = draw.draw(st.integers(0, len(raw) - 1))
    raw[spot : spot + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=3))
    return bytes(raw)


LINE = GOLDEN["feed"]["line"].encode()
CONTAINER = bytes.fromhex(GOLDEN["feed"]["container"])
DIRECTORY = GOLDEN["directory"]["lines"].encode()
HUB = PublicKey(dsse.unb64(value_of("trust")["hub_key"], "hub key"))


def test_feed_vectors():
    (container,) = feed.read_containers(CONTAINER)
    assert container.encode() == CONTAINER
    assert b"".join(line.encode() for line in container.lines()) == LINE
    assert feed.scope_root(GOLDEN["feed"]["tick"], container.gzip).hex() == GOLDEN["feed"]["root"]
    assert [c.encode() for c in feed.read_containers(CONTAINER * 3)] == [CONTAINER] * 3
    assert list(feed.read_containers(b"")) == []
    assert feed.decompress(feed.compress(container.lines())) == LINE


@given(st.data())
def test_containers_are_refused_or_read_as_they_are(draw):
    data = mutations(CONTAINER * 2, draw)
    try:
        containers = list(feed.read_containers(data))
        lines = [line for container in containers for line in container.lines()]
    except ProtocolError:
        return
    assert b"".join(c.encode() for c in containers) == data
    assert lines is not None


@given(st.data())
def test_lines_are_refused_or_read_as_they_are(draw):
    data = mutations(DIRECTORY, draw)
    try:
        assert b"".join(line.encode() for line in feed.parse_lines(data)) == data
    except ProtocolError:
        return


@given(st.data())
def test_a_changed_directory_is_refused(draw):
    data = mutations(DIRECTORY, draw)
    if data == DIRECTORY:
        return
    try:
        found = directory.Directory.read(HUB, data)
    except ProtocolError:
        return
    # What is left may only be whole lines: a hub's index is not signed in the line, but is in the digest of the snapshot.
    assert found.encode() == data
    assert found.digest() != GOLDEN["directory"]["digest"]


def test_directory_vector():
    found = directory.Directory.read(HUB, DIRECTORY)
    assert found.encode() == DIRECTORY
    assert found.digest() == GOLDEN["directory"]["digest"]
    (name,) = found.agencies()
    before, after = found.agency(name, below=2), found.agency(name)
    assert len(before.officers(before.authorized.at)) == 2
    assert set(before.officers(0)) != set(after.officers(0))
    assert after.consoles(before.authorized.expires) == ()
    assert found.agency(name, below=1) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (LINE[:-1], "feed.line"),
        (LINE + LINE, "feed.order"),
        (b"0" + LINE, "feed.index"),
        (b"-" + LINE, "feed.index"),
        ("\u0663".encode() + LINE, "feed.index"),
        (LINE.replace(b"\t", b" ", 1), "feed.line"),
        (LINE.replace(b"\t", b"\t\t", 1), "feed.line"),
        (LINE[:-1] + b",\n", "feed.signature"),
        (LINE.replace(b"\n", b"\r\n"), "dsse.base64"),
        (b"\n", "feed.line"),
    ],
)
def test_other_lines_are_refused(data, expected):
    assert code(lambda: list(feed.parse_lines(data))) == expected


def test_other_containers_are_refused():
    (container,) = feed.read_containers(CONTAINER)
    for data, expected in (
        (b"FWF2" + CONTAINER[4:], "feed.magic"),
        (CONTAINER[:-1], "feed.cut"),
        (CONTAINER + b"x", "feed.magic"),
        (CONTAINER[:6], "feed.cut"),
        (b"FWF1\xff\xff\xff\xff", "feed.cut"),
        (b"FWF1\x00\x00\x00\x01\xff\x00\x00\x00\x00", "feed.proof"),
    ):
        assert code(lambda data=data: list(feed.read_containers(data))) == expected
    for gzip in (b"", container.gzip[:-1], container.gzip + b"x", container.gzip * 2, container.gzip[:-5] + b"\0" * 5):
        assert code(feed.decompress, gzip) == "feed.gzip"


def test_a_gzip_bomb_is_refused_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(feed, "MAX_CONTENT", 1000)
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    assert code(feed.decompress, machine.compress(bytes(10**6)) + machine.flush()) == "feed.gzip"


def test_custody_vector():
    row = GOLDEN["custody"]
    found = custody.commitment(bytes.fromhex(row["nonce"]), row["envelope"].encode())
    assert found.hex() == row["commitment"]
    assert code(custody.commitment, b"short", b"") == "custody.nonce"


@pytest.mark.parametrize(("name", "kind"), [("custody_event", custody.CustodyEvent), ("seal", layout.Seal)])
def test_statements_are_read_strictly(name, kind):
    payload = ROWS[name]["payload"].encode()
    assert kind.from_statement(payload).to_statement() == payload
    good = json.loads(payload)

    def refused(change):
        value = copy.deepcopy(good)
        change(value)
        with pytest.raises(ProtocolError):
            kind.from_statement(canonical.encode(value))

    for path in objects(good):
        refused(lambda v, path=path: at(v, path).update(zz=1))
        for field in at(good, path):
            if field != "recipient":
                refused(lambda v, path=path, field=field: at(v, path).pop(field))
            refused(lambda v, path=path, field=field: at(v, path).update({field: None}))
    refused(lambda v: v.update(_type="https://in-toto.io/Statement/v0.1"))
    refused(lambda v: v.update(predicateType="https://example.invalid/v1"))
    refused(lambda v: v.update(subject=v["subject"] * 2 if name == "seal" else []))
    refused(lambda v: v["subject"][0]["digest"].update(sha512="00"))


@settings(max_examples=60)
@given(st.data())
@pytest.mark.parametrize(("name", "kind"), [("custody_event", custody.CustodyEvent), ("seal", layout.Seal)])
def test_mutated_statements_are_refused_or_read_as_they_are(name, kind, data):
    raw = mutations(ROWS[name]["payload"].encode(), data)
    try:
        assert kind.from_statement(raw).to_statement() == raw
    except ProtocolError:
        return


NAMES = st.builds("{}/{}".format, st.text("abc", min_size=1, max_size=3), st.text("abc", min_size=1, max_size=5))


@given(st.dictionaries(NAMES, st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=6))
def test_checksum_lists_round_trip(digests):
    assert layout.parse_sums(layout.sums(digests)) == digests


@given(st.binary(max_size=200) | st.from_regex(rb"[0-9a-f]{64}  [A-Za-z./]{1,20}\n", fullmatch=True))
def test_any_bytes_are_a_checksum_list_or_refused(data):
    try:
        assert layout.sums(layout.parse_sums(data)) == data
    except ProtocolError:
        return


# ---------------------------------------------------------------- who signed


def test_responders_and_calls_are_authenticated():
    for name in ("upload_open", "upload_part", "finalize", "withdraw", "step_forward", "response"):
        envelope = ROWS[name]["envelope"].encode()
        assert name == response.verify_responder(KINDS[name], envelope).TYPE
        parsed = dsse.Envelope.parse(envelope)
        other = dsse.Envelope(dsse.ENTRY, parsed.payload, parsed.signatures).encode()
        assert code(response.verify_responder, KINDS[name], other) == "dsse.type"
        stranger = dsse.Envelope(dsse.RESPONSE, parsed.payload, (dsse.Signature("0" * 16, parsed.signatures[0].sig),)).encode()
        assert code(response.verify_responder, KINDS[name], stranger) == "dsse.signers"
    data, value = ROWS["call"]["envelope"].encode(), value_of("call")
    directory_ = directory.Directory.read(HUB, DIRECTORY)
    keys = directory_.agency(value["agency"], below=2).consoles(value["at"])

    def verify(now=value["at"], hub_hash=value["hub"], found=keys, raw=data):
        return call.verify_call(raw, key_of=lambda _: found, hub=hub_hash, now=now)

    assert verify().op == "sealed_proof"
    assert verify(value["at"] + call.MAX_SKEW)
    assert code(lambda: verify(value["at"] + call.MAX_SKEW + 1)) == "call.time"
    assert code(lambda: verify(value["at"] - call.MAX_SKEW - 1)) == "call.time"
    assert code(lambda: verify(hub_hash="00" * 32)) == "call.hub"
    assert code(lambda: verify(found=())) == "call.signature"
    assert code(lambda: verify(raw=ROWS["withdraw"]["envelope"].encode())) == "dsse.type"
