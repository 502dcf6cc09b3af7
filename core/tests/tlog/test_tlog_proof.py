import base64
import json
from pathlib import Path

import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, policy, proof
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "tlog"

# protocol.md section 6.3: keys are seeds of one repeated byte, the leaf hash is given, the file is as filed in court.
GOLDEN_LEAF = base64.b64decode("bBwbmd5sFVf08Qx8DsKf1lFnwWP0mucxfvmhIs7xFB0=")
GOLDEN = """\
c2sp.org/tlog-proof@v1
index 1
thb7xiJQXhYxFtrEG3U9DtPCBIkejz53Ffg9HtqfoIc=

log.example.org/openrequests-test
2
eCzS2JCqTTApYwOvvt48ebkYdQJ3sFxNqRmPe0C2a1o=

— log.example.org/openrequests-test NSLdNJpYcrFq2x3HHOrgolH2HpzTZTd29X/Bef/+cpCO09SeUrQEFiapMrhH6aaFWboCJrMVSr5sbRkQizd87zjEkQw=
— witness.example.net/w1 elcbKAAAAABqsTuBbcrt6/u29pCRpKQRvKPY+6BFliQ6hWuEUnUiz4b9lx0BkVpUAhOw/97AvfUiYfFOF0VjYCmo2Yzx9+Gi44QZCw==
— witness.example.com/w2 iA0XSgAAAABqsTuBE5oeCIFUMv+Lp2bgKw4Lv0plcXVh3u+czfdZyLO1udZqYOQmUKiBJPBrZW1SuGtXGHXZUSjEc+mDYIJhx2HFAg==
"""


def key(n):
    return SigningKey(bytes([n]) * 32)


def golden_policy(k=2):
    log = note.VerifierKey("log.example.org/openrequests-test", note.ED25519, key(3).public)
    witnesses = [
        policy.Witness("w1", cosignature.vkey("witness.example.net/w1", key(4).public)),
        policy.Witness("w2", cosignature.vkey("witness.example.com/w2", key(5).public)),
    ]
    return policy.k_of([policy.PolicyLog(log)], witnesses, k)


def test_the_golden_proof_verifies_and_is_made_again_byte_for_byte():
    found = proof.TlogProof.parse(GOLDEN.encode())
    assert found.encode() == GOLDEN.encode()
    verified = found.verify_hash(golden_policy(), GOLDEN_LEAF)
    assert verified.index == 1
    assert verified.checkpoint.times == (("w1", 1790000001), ("w2", 1790000001))
    assert verified.checkpoint.fresh_at == verified.checkpoint.reached_at == verified.checkpoint.newest == 1790000001
    # Made again from the keys: leaf 0 is {"genesis":1}.
    edge = merkle.Frontier()
    edge.append(merkle.leaf_hash(b'{"genesis":1}'))
    edge.append(GOLDEN_LEAF)
    head = checkpoint.Checkpoint("log.example.org/openrequests-test", 2, edge.root())
    signed = checkpoint.sign(head, key(3))
    signed = signed.with_signatures(
        cosignature.cosign(signed.text, "witness.example.net/w1", key(4), 1790000001),
        cosignature.cosign(signed.text, "witness.example.com/w2", key(5), 1790000001),
    )
    assert proof.TlogProof(1, (merkle.leaf_hash(b'{"genesis":1}'),), signed).encode() == GOLDEN.encode()


def test_a_proof_holds_for_its_entry_and_policy_only():
    found = proof.TlogProof.parse(GOLDEN.encode())
    for leaf in (merkle.leaf_hash(b'{"genesis":1}'), bytes(32), GOLDEN_LEAF[:31]):
        with pytest.raises(ProtocolError):
            found.verify_hash(golden_policy(), leaf)
    with pytest.raises(ProtocolError):
        found.verify(golden_policy(), b"the leaf hash is not the leaf")


@given(st.data())
def test_no_byte_of_the_golden_proof_can_change(data):
    raw = bytearray(GOLDEN.encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        proof.TlogProof.parse(bytes(raw)).verify_hash(golden_policy(), GOLDEN_LEAF)


def test_extra_data_is_kept_and_means_nothing():
    found = proof.TlogProof.parse(GOLDEN.encode())
    extra = proof.TlogProof(found.index, found.path, found.checkpoint, b"anything")
    assert proof.TlogProof.parse(extra.encode()) == extra
    assert extra.verify_hash(golden_policy(), GOLDEN_LEAF).index == 1


@pytest.mark.parametrize(
    "change",
    [
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
        ("index 1", "index 01"),
        ("index 1", "index -1"),
        ("index 1\n", ""),
        ("index 1", "extra \nindex 1\nindex 1"),
        ("index 1", "extra AA\nindex 1"),
        ("index 1", "index 1\nextra AAAA"),
        ("thb7", "thb"),
        ("\n\nlog", "\nlog"),
        ("\n\nlog", "\r\n\r\nlog"),
    ],
)
def test_malformed_proofs_are_refused(change):
    text = GOLDEN.replace(*change)
    assert text != GOLDEN
    with pytest.raises(ProtocolError):
        proof.TlogProof.parse(text.encode())


@given(st.binary(max_size=60) | st.lists(st.sampled_from(GOLDEN.splitlines(keepends=True))).map(lambda x: "".join(x).encode()))
def test_any_bytes_are_a_proof_or_refused(data):
    try:
        found = proof.TlogProof.parse(data)
    except ProtocolError:
        return
    assert found.encode() == data


def test_every_published_vector_of_ours_ends_as_it_says():
    paths = sorted(VECTORS.glob("*.json"))
    assert len(paths) >= 10
    for path in paths:
        case = json.loads(path.read_bytes())
        try:
            rule = policy.Policy.parse(case["policy"].encode())
            found = proof.TlogProof.parse(case["proof"].encode())
            found.verify_hash(rule, base64.b64decode(case["leaf_hash"]))
            ended = "ok"
        except ProtocolError as error:
            ended = error.code
        assert ended == case["expect"], path.name
