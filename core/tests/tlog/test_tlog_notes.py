import base64

import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, policy
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st


def key(n):
    return SigningKey(bytes([n]) * 32)


LOG = note.VerifierKey("log.example/p", note.ED25519, key(1).public)
W = [cosignature.vkey(f"w{n}.example", key(10 + n).public) for n in range(3)]
HEAD = checkpoint.Checkpoint("log.example/p", 5, merkle.leaf_hash(b"root"))
SIGNED = checkpoint.sign(HEAD, key(1))


def refused(code, call, *arguments):
    with pytest.raises(ProtocolError) as caught:
        call(*arguments)
    assert caught.value.code == code


def cosigned(*which, at=100, head=HEAD):
    signed = checkpoint.sign(head, key(1))
    return signed.with_signatures(*(cosignature.cosign(signed.text, W[n].name, key(10 + n), at + n) for n in which))


def test_a_note_reads_back_as_written():
    data = SIGNED.encode()
    assert note.Note.parse(data) == SIGNED
    assert data.startswith(b"log.example/p\n5\n")
    assert data.count("\n— log.example/p ".encode()) == 1


def test_the_text_of_a_note_may_hold_blank_lines():
    text = "one\n\ntwo\n"
    signed = note.Note(text, (note.sign(text, "a", key(1)),))
    assert note.Note.parse(signed.encode()) == signed
    assert signed.verified_by(note.VerifierKey("a", note.ED25519, key(1).public))


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("note.separator", b"text\n"),
        ("note.newline", "text\n\n— a AAAAAAE=".encode()),
        ("note.newline", b"text\n\n"),
        ("note.line", b"text\n\n- a AAAAAAE=\n"),
        ("note.line", "text\n\n— a\n".encode()),
        ("note.key_name", "text\n\n—  AAAAAAE=\n".encode()),
        ("note.key_name", "text\n\n— a+b AAAAAAE=\n".encode()),
        ("note.key_name", "text\n\n— a\u2003b AAAAAAE=\n".encode()),
        ("note.base64", "text\n\n— a AAAAAAE\n".encode()),
        ("note.base64", "text\n\n— a AAAAAAF=\n".encode()),
        ("note.signature", "text\n\n— a AAAAAA==\n".encode()),
        ("note.control", "te\txt\n\n— a AAAAAAE=\n".encode()),
        ("note.control", "text\r\n\n— a AAAAAAE=\n".encode()),
        ("note.utf8", "text\n\n— a AAAAAAE=\n".encode() + b"\xff"),
        ("note.signatures", ("text\n\n" + "— a AAAAAAE=\n" * 65).encode()),
        ("note.size", b"x" * (1 << 20) + b"y"),
    ],
)
def test_malformed_notes_are_refused(code, data):
    refused(code, note.Note.parse, data)


def test_a_false_signature_of_a_known_key_spoils_the_note_and_an_unknown_one_does_not():
    forged = note.SignatureLine("log.example/p", LOG.key_id, bytes(64))
    refused("note.false_signature", note.Note(SIGNED.text, (forged,)).verified_by, LOG)
    stranger = note.sign(SIGNED.text, "log.example/p", key(2))
    assert not note.Note(SIGNED.text, (stranger,)).verified_by(LOG)
    assert note.Note(SIGNED.text, (stranger, *SIGNED.signatures)).verified_by(LOG)
    refused("note.duplicate", note.Note(SIGNED.text, SIGNED.signatures * 2).verified_by, LOG)
    refused("note.algorithm", SIGNED.verified_by, W[0])


def test_verifier_keys():
    text = LOG.encode()
    assert note.VerifierKey.parse(text) == LOG
    name, identifier, encoded = text.split("+", 2)
    refused("vkey.id", note.VerifierKey.parse, f"{name}+00000000+{encoded}")
    refused("vkey.id", note.VerifierKey.parse, f"{name}+{identifier.upper()}x+{encoded}")
    refused("vkey.format", note.VerifierKey.parse, name)
    refused("vkey.length", note.VerifierKey.parse, f"{name}+{identifier}+AQ==")
    refused("vkey.algorithm", note.VerifierKey.parse, _vkey("a", 2, key(1).public.raw))
    refused("key.small_order", note.VerifierKey.parse, _vkey("a", 1, bytes(32)))
    refused("note.key_name", note.VerifierKey.parse, _vkey("", 1, key(1).public.raw))


def _vkey(name, algorithm, raw):
    return f"{name}+{note.key_id(name, algorithm, raw).hex()}+{base64.b64encode(bytes([algorithm]) + raw).decode()}"


@given(st.binary(max_size=120) | st.text(alphabet="a \n—+AE=", max_size=60).map(str.encode))
def test_any_bytes_are_a_note_or_refused(data):
    try:
        found = note.Note.parse(data)
    except ProtocolError:
        return
    assert found.encode() == data


@given(st.text(alphabet="ab+=/019A", max_size=60))
def test_any_text_is_a_verifier_key_or_refused(text):
    try:
        found = note.VerifierKey.parse(text)
    except ProtocolError:
        return
    assert found.encode() == text


def test_checkpoints():
    assert checkpoint.verify(note.Note.parse(SIGNED.encode()), LOG) == HEAD
    other = checkpoint.sign(checkpoint.Checkpoint("log.example/q", 5, HEAD.root), key(1))
    refused("checkpoint.unsigned", checkpoint.verify, other, LOG)
    # A log key that is made to sign another origin under its own name is not believed about that origin.
    text = other.text
    refused("checkpoint.origin", checkpoint.verify, note.Note(text, (note.sign(text, LOG.name, key(1)),)), LOG)
    refused("checkpoint.unsigned", checkpoint.verify, note.Note(SIGNED.text, (note.sign("x\n", "x", key(9)),)), LOG)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "a\n1\nAA==\n",
        "a\n01\n" + HEAD.encode().split("\n")[2] + "\n",
        "a\n-1\n" + HEAD.encode().split("\n")[2] + "\n",
        "a\n\u0661\n" + HEAD.encode().split("\n")[2] + "\n",
        "a\n9223372036854775808\n" + HEAD.encode().split("\n")[2] + "\n",
        "\n1\n" + HEAD.encode().split("\n")[2] + "\n",
        "a\n0\n" + HEAD.encode().split("\n")[2] + "\n",
        HEAD.encode()[:-1],
        HEAD.encode() + "\n",
    ],
)
def test_malformed_checkpoints_are_refused(text):
    with pytest.raises(ProtocolError):
        checkpoint.Checkpoint.parse(text)


@given(st.text(alphabet="a01\n=AB", max_size=80) | st.just(HEAD.encode() + "opaque line\n"))
def test_any_text_is_a_checkpoint_or_refused(text):
    try:
        found = checkpoint.Checkpoint.parse(text)
    except ProtocolError:
        return
    assert found.encode() == text


def test_extension_lines_are_kept_and_signed():
    head = checkpoint.Checkpoint("log.example/p", 5, HEAD.root, ("anything at all",))
    assert checkpoint.verify(checkpoint.sign(head, key(1)), LOG) == head


def test_cosignatures_cover_text_and_time():
    signed = cosigned(0)
    assert cosignature.verify(signed, W[0]) == 100
    assert cosignature.verify(signed, W[1]) is None
    line = signed.signatures[-1]
    assert len(line.signature) == 72
    later = note.SignatureLine(line.name, line.key_id, (101).to_bytes(8, "big") + line.signature[8:])
    refused("cosignature.false", cosignature.verify, signed.with_signatures(later), W[0])
    never = note.SignatureLine(line.name, line.key_id, bytes(8) + line.signature[8:])
    refused("cosignature.time", cosignature.verify, signed.with_signatures(never), W[0])
    short = note.SignatureLine(line.name, line.key_id, line.signature[:-1])
    refused("cosignature.length", cosignature.verify, signed.with_signatures(short), W[0])
    refused("cosignature.algorithm", cosignature.verify, signed, LOG)
    moved = note.Note(SIGNED.text.replace("5", "6"), signed.signatures)
    refused("cosignature.false", cosignature.verify, moved, W[0])
    # One key in both roles: the ids differ, so a log's signature is never taken for a cosignature.
    assert cosignature.vkey("log.example/p", key(1).public).key_id != LOG.key_id


def test_the_body_of_an_add_checkpoint_request():
    body = cosignature.add_checkpoint_body(3, [bytes(32), b"x" * 32], SIGNED.encode())
    found = cosignature.parse_add_checkpoint(body)
    assert (found.old_size, len(found.path), found.signed) == (3, 2, SIGNED)
    assert found.encode() == body
    good = SIGNED.encode()
    hash_line = base64.b64encode(bytes(32))
    for bad in (
        b"",
        b"old 3\n" + good,
        b"old 03\n\n" + good,
        b"old\n\n" + good,
        b"new 3\n\n" + good,
        b"old 3\nAAAA\n\n" + good,
        b"old 3\n" + hash_line[:-1] + b"\n\n" + good,
        b"old 3\n" + (hash_line + b"\n") * 64 + b"\n" + good,
        b"old 3\n\n",
        b"old \xff\n\n" + good,
    ):
        with pytest.raises(ProtocolError):
            cosignature.parse_add_checkpoint(bad)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_request_or_refused(data):
    try:
        found = cosignature.parse_add_checkpoint(b"old 0\n" + data)
    except ProtocolError:
        return
    assert found.encode() == b"old 0\n" + data


def example_policy(quorum="both"):
    lines = [
        "# who may speak for the log",
        f"log {LOG.encode()} https://log.example/",
        f"\twitness  press {W[0].encode()}",
        f"witness ngo {W[1].encode()}  https://ngo.example/",
        f"witness uni {W[2].encode()}",
        "",
        "group civil any press ngo",
        "group both all civil uni",
        f"quorum {quorum}",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def test_policies_read_back_in_their_canonical_spelling():
    found = policy.Policy.parse(example_policy())
    assert policy.Policy.parse(found.encode()) == found
    assert policy.Policy.parse(found.encode()).encode() == found.encode()
    assert found.logs[0].url == "https://log.example/"
    assert found.log_keys("log.example/p") == (LOG,)
    assert b"group both all civil uni\n" in found.encode()


@pytest.mark.parametrize(
    ("which", "met"),
    [((), False), ((0,), False), ((2,), False), ((0, 1), False), ((0, 2), True), ((1, 2), True), ((0, 1, 2), True)],
)
def test_a_quorum_of_groups(which, met):
    rule = policy.Policy.parse(example_policy())
    if met:
        found = rule.verify(cosigned(*which).encode())
        assert found.checkpoint == HEAD
        assert {name for name, _ in found.times} == {("press", "ngo", "uni")[n] for n in which}
    else:
        refused("policy.quorum", rule.verify, cosigned(*which).encode())


def test_moments_of_a_quorum():
    rule = policy.k_of([policy.PolicyLog(LOG)], [policy.Witness(f"w{n}", W[n]) for n in range(3)], 2)
    found = rule.verify(cosigned(0, 1, 2, at=100))
    assert (found.reached_at, found.fresh_at, found.newest) == (101, 101, 102)
    lines = [cosignature.cosign(SIGNED.text, W[n].name, key(10 + n), t) for n, t in enumerate((50, 1000, 400))]
    found = rule.verify(SIGNED.with_signatures(*lines))
    assert (found.reached_at, found.fresh_at, found.newest) == (400, 400, 1000)
    lines = [cosignature.cosign(SIGNED.text, W[n].name, key(10 + n), t) for n, t in enumerate((50, 1000, 60))]
    found = rule.verify(SIGNED.with_signatures(*lines))
    assert (found.reached_at, found.fresh_at, found.newest) == (60, 60, 1000)
    nobody = policy.Policy((policy.PolicyLog(LOG),), (), (), policy.NONE).verify(SIGNED)
    assert (nobody.times, nobody.fresh_at, nobody.newest) == ((), None, None)


def test_a_policy_judges_only_its_own_logs_and_witnesses():
    rule = policy.k_of([policy.PolicyLog(LOG)], [policy.Witness(f"w{n}", W[n]) for n in range(2)], 2)
    other = note.VerifierKey("log.example/other", note.ED25519, key(2).public)
    foreign = policy.k_of([policy.PolicyLog(other)], [policy.Witness(f"w{n}", W[n]) for n in range(2)], 2)
    refused("policy.unknown_log", foreign.verify, cosigned(0, 1))
    refused("policy.quorum", rule.verify, cosigned(0, 2))
    impostor = SIGNED.with_signatures(
        cosignature.cosign(SIGNED.text, W[0].name, key(10), 5), cosignature.cosign(SIGNED.text, W[1].name, key(77), 5)
    )
    refused("policy.quorum", rule.verify, impostor)
    unsigned = note.Note(SIGNED.text, cosigned(0, 1).signatures[1:])
    refused("checkpoint.unsigned", rule.verify, unsigned)
    new_key = note.VerifierKey("log.example/p", note.ED25519, key(5).public)
    both = policy.k_of([policy.PolicyLog(new_key), policy.PolicyLog(LOG)], [policy.Witness(f"w{n}", W[n]) for n in range(2)], 1)
    assert both.verify(cosigned(0)).log == LOG


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("policy.no_quorum", []),
        ("policy.quorum_twice", ["quorum none", "quorum none"]),
        ("policy.undefined", ["quorum nobody"]),
        ("policy.undefined", ["group g any w", "witness w {w0}", "quorum g"]),
        ("policy.undefined", ["quorum w", "witness w {w0}"]),
        ("policy.undefined", ["group g any none", "quorum g"]),
        ("policy.name_twice", ["witness w {w0}", "witness w {w1}", "quorum w"]),
        ("policy.name_twice", ["witness none {w0}", "quorum none"]),
        ("policy.key_twice", ["witness a {w0}", "witness b {w0}", "quorum a"]),
        ("policy.key_twice", ["log {log}", "log {log}", "quorum none"]),
        ("policy.member_twice", ["witness a {w0}", "group g any a a", "quorum g"]),
        ("policy.member_twice", ["witness a {w0}", "group g any a", "group h any a", "quorum h"]),
        ("policy.threshold", ["witness a {w0}", "group g 2 a", "quorum g"]),
        ("policy.threshold", ["witness a {w0}", "group g 0 a", "quorum g"]),
        ("number.format", ["witness a {w0}", "group g 01 a", "quorum g"]),
        ("policy.threshold", ["group g all", "quorum none"]),
        ("policy.log_key", ["log {w0}", "quorum none"]),
        ("policy.witness_key", ["witness a {log}", "quorum a"]),
        ("policy.line", ["witness a {w0} http://x y", "quorum a"]),
        ("policy.line", ["log", "quorum none"]),
        ("policy.line", ["something else", "quorum none"]),
        ("policy.control", ["quorum\rnone"]),
    ],
)
def test_malformed_policies_are_refused(code, lines):
    text = "".join(f"{line}\n" for line in lines).format(log=LOG.encode(), w0=W[0].encode(), w1=W[1].encode())
    refused(code, policy.Policy.parse, text.encode())


def test_names_of_a_policy_are_octets():
    text = example_policy("uni").replace(b"uni", b"\xffni\xc3")
    found = policy.Policy.parse(text)
    assert found.met(["\udcffni\udcc3"])
    assert policy.Policy.parse(found.encode()) == found
    assert b"\xffni\xc3" in found.encode()


WORDS = st.sampled_from(["log", "witness", "group", "quorum", "none", "any", "all", "1", "2", "a", "b", "#", "\n", "\n"])


@given(st.lists(WORDS | st.sampled_from([LOG.encode(), *(w.encode() for w in W)]), max_size=25))
def test_any_text_is_a_policy_or_refused(words):
    try:
        found = policy.Policy.parse((" ".join(words) + "\n").encode())
    except ProtocolError:
        return
    assert policy.Policy.parse(found.encode()) == found
