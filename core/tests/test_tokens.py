import hashlib
import json
from pathlib import Path

import pytest
from fairwitness_core.crypto import blinding, random, tokens
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st
from voprf import p384

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
RFC9578 = json.loads((VECTORS / "tokens_rfc9578.json").read_text())["vectors"]
RFC9497 = json.loads((VECTORS / "tokens_rfc9497.json").read_text())
DIGEST = tokens.challenge_digest("hub.example.org", "hub.example.org")
KEY = tokens.IssuerKey(bytes(range(32)))
OTHER_KEY = tokens.IssuerKey(bytes(range(1, 33)))


def seeded(label: str):
    counter = iter(range(1 << 30))

    def source(size: int) -> bytes:
        return hashlib.shake_256(f"{label}/{next(counter)}".encode()).digest(size)

    return source


def pk(number: int) -> bytes:
    return SigningKey(number.to_bytes(32, "big")).public.raw


def issue(response_pk: bytes, key: tokens.IssuerKey = KEY) -> tuple[tokens.Token, tuple[bytes, bytes]]:
    state, request = tokens.blind(tokens.token_nonce(response_pk), DIGEST, key.public)
    response = tokens.evaluate(key, request)
    return tokens.finalize(state, response), (request, response)


@pytest.mark.parametrize("vector", RFC9497["vectors"], ids=lambda v: v["input"])
def test_rfc9497(vector):
    message, public = bytes.fromhex(vector["input"]), bytes.fromhex(RFC9497["pkSm"])
    evaluator = p384.Evaluator.from_seed(bytes.fromhex(RFC9497["seed"]), bytes.fromhex(RFC9497["info"]))
    assert bytes(evaluator.public_key.serialize()) == public
    assert blinding.public_of(bytes.fromhex(RFC9497["skSm"])) == public
    hidden = blinding.blind(message, bytes.fromhex(vector["blind"]))
    assert hidden.element.hex() == vector["blinded"]
    evaluated, proof = bytes.fromhex(vector["evaluated"]), bytes.fromhex(vector["proof"])
    assert blinding.proof_holds(public, hidden.element, evaluated, proof)
    assert blinding.unblind(message, hidden.scalar, evaluated).hex() == vector["output"]
    assert bytes(evaluator.evaluate_known_input(message)).hex() == vector["output"]
    output = bytes(evaluator.evaluate(p384.BlindedInput.deserialize(hidden.element)).serialize())
    assert output[96:] == evaluated  # the package's order is proof || element


@pytest.mark.parametrize("vector", RFC9578, ids=lambda v: v["nonce"][:8])
def test_rfc9578(vector):
    raw = {name: bytes.fromhex(value) for name, value in vector.items()}
    assert blinding.public_of(raw["skS"]) == raw["pkS"]
    challenge = tokens.TokenChallenge.decode(raw["token_challenge"])
    assert challenge.encode() == raw["token_challenge"]
    state, request = tokens.blind(raw["nonce"], challenge.digest, raw["pkS"], scalar=raw["blind"])
    assert request == raw["token_request"]
    stored = tokens.BlindState.decode(state.encode())
    token = tokens.finalize(stored, raw["token_response"])
    assert token.encode() == raw["token"]
    assert tokens.Token.decode(raw["token"]) == token
    key_element = blinding.multiply(int.from_bytes(raw["skS"], "big"), blinding.hash_to_group(token.input))
    expected = hashlib.sha384(
        len(token.input).to_bytes(2, "big") + token.input + b"\x00\x31" + blinding.encode_element(key_element) + b"Finalize"
    ).digest()
    assert expected == token.authenticator


def test_the_packages_own_client_agrees_with_ours():
    message = b"agreement"
    client, blinded = p384.Client.blind(message)
    answer = KEY.answer(bytes(blinded.serialize()))
    output = p384.VerifiableOutput.deserialize(answer[49:] + answer[:49])
    assert bytes(client.finalize(output, p384.PublicKey.deserialize(KEY.public))) == KEY.authenticator(message)
    assert blinding.proof_holds(KEY.public, bytes(blinded.serialize()), answer[:49], answer[49:])
    hidden = blinding.blind(message, blinding.random_scalar())
    own = KEY.answer(hidden.element)
    assert blinding.proof_holds(KEY.public, hidden.element, own[:49], own[49:])
    assert blinding.unblind(message, hidden.scalar, own[:49]) == KEY.authenticator(message)


@pytest.mark.parametrize("scalar", [1, 2, 3, 2**383, blinding.ORDER - 2, blinding.ORDER - 1])
def test_multiples_agree_with_openssl(scalar):
    base = blinding.multiply_base(1)
    assert blinding.multiply(scalar, base) == blinding.multiply_base(scalar)


def test_a_token_is_made_checked_and_stored():
    token, (request, response) = issue(pk(1))
    assert (len(request), len(response), len(token.encode())) == (52, 145, 146)
    tokens.verify(KEY, tokens.Token.decode(token.encode()), digest=DIGEST, response_pk=pk(1))
    assert tokens.new_issuer_key().public != tokens.issuer_public(KEY)
    assert KEY.seed.hex() not in repr(KEY)


def test_a_kill_between_asking_and_receiving_loses_nothing():
    state, request = tokens.blind(tokens.token_nonce(pk(1)), DIGEST, KEY.public)
    stored = state.encode()
    response = tokens.evaluate(KEY, request)
    revived = tokens.BlindState.decode(stored)
    assert revived == state
    assert revived.request == request
    assert state.scalar.hex() not in repr(state)
    tokens.verify(KEY, tokens.finalize(revived, response), digest=DIGEST, response_pk=pk(1))
    again = tokens.evaluate(KEY, revived.request)  # the first answer was lost: asking again gives the same token
    assert tokens.finalize(revived, again) == tokens.finalize(state, response)


def refuses(code: str):
    return pytest.raises(ProtocolError, match=rf"^{code}:")


@pytest.mark.claim("P10")
def test_a_hub_that_tags_a_household_with_a_key_of_its_own_is_caught():
    state, request = tokens.blind(tokens.token_nonce(pk(1)), DIGEST, KEY.public)
    tagged = OTHER_KEY.answer(request[3:])
    with refuses("token.proof"):
        tokens.finalize(state, tagged)
    honest = tokens.evaluate(KEY, request)
    with refuses("token.proof"):  # the tagging key's element under the honest proof
        tokens.finalize(state, tagged[:49] + honest[49:])
    with refuses("token.proof"):  # the proof made for somebody else's element
        tokens.finalize(state, honest[:49] + tokens.evaluate(KEY, tokens.blind(bytes(32), DIGEST, KEY.public)[1])[49:])
    tokens.finalize(state, honest)


@pytest.mark.claim("P10")
def test_every_flipped_byte_of_an_answer_is_caught():
    state, request = tokens.blind(tokens.token_nonce(pk(1)), DIGEST, KEY.public)
    response = tokens.evaluate(KEY, request)
    for index in range(0, len(response), 5):
        broken = bytearray(response)
        broken[index] ^= 1
        with pytest.raises(ProtocolError):
            tokens.finalize(state, bytes(broken))


@pytest.mark.claim("P10")
def test_replay_double_spend_and_foreign_keys_are_refused():
    token, _ = issue(pk(1))
    with refuses("token.binding"):
        tokens.verify(KEY, token, digest=DIGEST, response_pk=pk(2))
    with refuses("token.challenge"):
        tokens.verify(KEY, token, digest=tokens.challenge_digest("hub.example.org", "elsewhere"), response_pk=pk(1))
    with refuses("token.key"):
        tokens.verify(OTHER_KEY, token, digest=DIGEST, response_pk=pk(1))
    moved = tokens.Token(tokens.token_nonce(pk(2)), token.challenge_digest, token.token_key_id, token.authenticator)
    with refuses("token.authenticator"):
        tokens.verify(KEY, moved, digest=DIGEST, response_pk=pk(2))
    renamed = tokens.Token(token.nonce, token.challenge_digest, OTHER_KEY.key_id, token.authenticator)
    with refuses("token.authenticator"):
        tokens.verify(OTHER_KEY, renamed, digest=DIGEST, response_pk=pk(1))
    # A second token for the same response, however blinded, has the same spend key.
    again, _ = issue(pk(1))
    assert again == token


def neighbourhood(spends: dict[str, int], monkeypatch) -> tuple[list[tuple[bytes, bytes]], list[tokens.Token]]:
    """Two owners fetch a fortnight's tokens each; later each of `spends` owner -> token number is spent."""
    monkeypatch.setattr(random, "_source", seeded("issuance"))
    transcript: list[tuple[bytes, bytes]] = []
    purses: dict[str, list[tuple[tokens.Token, bytes]]] = {"ann": [], "bob": []}
    for number in range(tokens.TOKENS_PER_EPOCH):
        for offset, owner in enumerate(purses):
            response_pk = pk(100 * offset + number + 1)
            token, seen = issue(response_pk)
            transcript.append(seen)
            purses[owner].append((token, response_pk))
    spent = []
    for owner, number in spends.items():
        token, response_pk = purses[owner][number]
        tokens.verify(KEY, token, digest=DIGEST, response_pk=response_pk)
        spent.append(token)
    return [(request, answer[:49]) for request, answer in transcript], spent


def linked(transcript: list[tuple[bytes, bytes]], spent: list[tokens.Token]) -> int:
    """What an issuer can try with its secret key: does a spent token's input, or its evaluation, stand in a transcript?"""
    bytes_seen = b"".join(part for pair in transcript for part in pair)
    found = 0
    for token in spent:
        plain = blinding.hash_to_group(token.input)
        probes = [token.nonce, token.authenticator, token.challenge_digest, blinding.encode_element(plain)[1:]]
        probes.append(KEY.answer(blinding.encode_element(plain))[1:49])
        found += any(probe in bytes_seen for probe in probes)
    return found


@pytest.mark.claim("P10")
def test_the_issuer_sees_the_same_whoever_spends(monkeypatch):
    here, spent_here = neighbourhood({"ann": 0, "bob": 5}, monkeypatch)
    there, spent_there = neighbourhood({"bob": 0, "ann": 5}, monkeypatch)
    assert here == there  # every byte that the issuer sees, the random proof apart
    assert {t.nonce for t in spent_here}.isdisjoint(t.nonce for t in spent_there)
    assert linked(here, spent_here) == linked(here, spent_there) == 0


@pytest.mark.claim("P10")
def test_the_linker_finds_a_client_that_does_not_blind(monkeypatch):
    monkeypatch.setattr(blinding, "random_scalar", lambda: (1).to_bytes(48, "big"))
    transcript, spent = neighbourhood({"ann": 0, "bob": 5}, monkeypatch)
    assert linked(transcript, spent) == 2


@pytest.mark.claim("P10")
def test_blinding_is_uniform_whatever_the_input(monkeypatch):
    """Two inputs under the same 32 fresh factors: the signs of the elements split about evenly for both."""
    for number in (1, 2):
        monkeypatch.setattr(random, "_source", seeded(f"uniform {number}"))
        signs = [tokens.blind(tokens.token_nonce(pk(number)), DIGEST, KEY.public)[1][3] for _ in range(32)]
        assert 8 <= signs.count(2) <= 24
    assert len({blinding.random_scalar() for _ in range(100)}) == 100


def test_requests_are_read_strictly():
    _, request = tokens.blind(tokens.token_nonce(pk(1)), DIGEST, KEY.public)
    for broken, code in [
        (request[:-1], "token.length"),
        (request + b"\0", "token.length"),
        (b"\0\2" + request[2:], "token.type"),
        (request[:2] + bytes([request[2] ^ 1]) + request[3:], "token.key"),
        (request[:3] + bytes(49), "token.element"),
        (request[:3] + b"\2" + b"\xff" * 48, "token.element"),
        (request[:3] + b"\4" + request[4:], "token.element"),
    ]:
        with refuses(code):
            tokens.evaluate(KEY, broken)


@given(st.binary(max_size=200))
def test_parsers_raise_only_protocol_errors(data):
    for read in (
        tokens.Token.decode,
        tokens.BlindState.decode,
        tokens.TokenChallenge.decode,
        blinding.decode_element,
        lambda raw: tokens.evaluate(KEY, raw),
        lambda raw: tokens.evaluate(KEY, b"\0\1" + KEY.key_id[-1:] + raw),
    ):
        try:
            read(data)
        except ProtocolError:
            continue


@given(st.text(min_size=1, max_size=40), st.text(max_size=40), st.sampled_from([b"", bytes(32)]))
def test_challenges_round_trip(issuer, origin, context):
    challenge = tokens.TokenChallenge(issuer, origin, context)
    assert tokens.TokenChallenge.decode(challenge.encode()) == challenge
    with pytest.raises(ProtocolError):
        tokens.TokenChallenge.decode(challenge.encode() + b"x")


def test_epochs_are_fortnights():
    assert tokens.epoch_of(0) == 0
    assert tokens.epoch_of(14 * 86_400 - 1) == 0
    assert tokens.epoch_of(14 * 86_400) == 1
    assert tokens.TOKENS_PER_EPOCH == 8
