import copy
import functools
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
from fairwitness_core.crypto import tokens
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


def pk(number: int) -> bytes:
    return SigningKey(number.to_bytes(32, "big")).public.raw


def ask(*response_pks: bytes, key: tokens.IssuerKey = KEY):
    return tokens.blind_batch([tokens.token_nonce(one) for one in response_pks], DIGEST, key.public)


def issue(response_pk: bytes, key: tokens.IssuerKey = KEY) -> tuple[tokens.Token, tuple[bytes, bytes]]:
    pending, (request,) = ask(response_pk, key=key)
    response = tokens.evaluate(key, request)
    (token,) = pending.finalize([response])
    return token, (request, response)


@pytest.mark.parametrize("vector", RFC9497["vectors"], ids=lambda v: v["input"])
def test_rfc9497(vector):
    """All that the package can be driven with: it takes no blinding factor and no proof nonce from outside."""
    message, public = bytes.fromhex(vector["input"]), bytes.fromhex(RFC9497["pkSm"])
    evaluator = p384.Evaluator.from_seed(bytes.fromhex(RFC9497["seed"]), bytes.fromhex(RFC9497["info"]))
    assert bytes(evaluator.public_key.serialize()) == public
    blinded, evaluated, proof = (bytes.fromhex(vector[name]) for name in ("blinded", "evaluated", "proof"))
    output = bytes(evaluator.evaluate(p384.BlindedInput.deserialize(blinded)).serialize())
    assert output[tokens.PROOF_SIZE :] == evaluated  # the package's order is proof || element
    assert bytes(p384.VerifiableOutput.deserialize(proof + evaluated).serialize()) == proof + evaluated
    assert bytes(evaluator.evaluate_known_input(message)).hex() == vector["output"]
    client, own = p384.Client.blind(message)
    finished = client.finalize(evaluator.evaluate(own), p384.PublicKey.deserialize(public))
    assert bytes(finished).hex() == vector["output"]


@pytest.mark.parametrize("vector", RFC9578, ids=lambda v: v["nonce"][:8])
def test_rfc9578(vector):
    raw = {name: bytes.fromhex(value) for name, value in vector.items()}
    challenge = tokens.TokenChallenge.decode(raw["token_challenge"])
    assert challenge.encode() == raw["token_challenge"]
    token = tokens.Token.decode(raw["token"])
    assert token.encode() == raw["token"]
    assert (token.nonce, token.challenge_digest) == (raw["nonce"], challenge.digest)
    assert token.token_key_id == tokens.token_key_id(raw["pkS"])
    pending, (request,) = tokens.blind_batch([raw["nonce"]], challenge.digest, raw["pkS"])
    assert (len(request), request[:3]) == (len(raw["token_request"]), raw["token_request"][:3])
    assert len(raw["token_response"]) == tokens.RESPONSE_SIZE
    with refuses("token.proof"):  # it reads well, but it answers another blinding of the same nonce
        pending.finalize([raw["token_response"]])


def test_a_batch_is_made_checked_and_kept():
    pks = [pk(number) for number in range(1, 9)]
    pending, requests = ask(*pks)
    responses = [tokens.evaluate(KEY, request) for request in requests]
    made = pending.finalize(responses)
    assert made == pending.finalize([tokens.evaluate(KEY, request) for request in requests])  # the same asked again
    assert {(len(a), len(b), len(c.encode())) for a, b, c in zip(requests, responses, made, strict=True)} == {(52, 145, 146)}
    for response_pk, token in zip(pks, made, strict=True):
        tokens.verify(KEY, tokens.Token.decode(token.encode()), digest=DIGEST, response_pk=response_pk)
    assert tokens.new_issuer_key().public != tokens.issuer_public(KEY)
    assert KEY.seed.hex() not in repr(KEY)


def test_a_batch_is_all_or_nothing():
    pending, requests = ask(pk(1), pk(2), pk(3))
    honest = [tokens.evaluate(KEY, request) for request in requests]
    for broken, code in [
        (honest[:2], "token.count"),
        ([*honest, honest[0]], "token.count"),
        ([honest[1], honest[0], honest[2]], "token.proof"),
        ([*honest[:2], honest[2][:-1]], "token.length"),
        ([*honest[:2], bytes(145)], "token.element"),
        ([*honest[:2], b"\5" + honest[2][1:]], "token.element"),
    ]:
        with refuses(code):
            pending.finalize(broken)
    assert len(pending.finalize(honest)) == 3
    for nonces, digest, public, code in [
        ([], DIGEST, KEY.public, "token.count"),
        ([bytes(32)] * 2, DIGEST, KEY.public, "token.count"),
        ([bytes(31)], DIGEST, KEY.public, "token.length"),
        ([bytes(32)], DIGEST[1:], KEY.public, "token.length"),
        ([bytes(32)], DIGEST, KEY.public[1:], "token.length"),
        ([bytes(32)], DIGEST, b"\2" + b"\xff" * 48, "token.element"),
        ([bytes(32)], DIGEST, b"\5" + KEY.public[1:], "token.element"),
    ]:
        with refuses(code):
            tokens.blind_batch(nonces, digest, public)


def test_a_kill_between_asking_and_receiving_loses_nothing():
    pending, requests = ask(pk(1), pk(2))
    for copy_of in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copy_of(pending)
    assert repr(pending) == "Pending(...)"
    before = pending.finalize([tokens.evaluate(KEY, request) for request in requests])
    revived, again = ask(pk(1), pk(2))  # all that survived are the response keys
    assert set(again).isdisjoint(requests)
    assert revived.finalize([tokens.evaluate(KEY, request) for request in again]) == before


def refuses(code: str):
    return pytest.raises(ProtocolError, match=rf"^{code}:")


@pytest.mark.claim("P10")
def test_a_hub_that_tags_a_household_with_a_key_of_its_own_is_caught():
    pending, (request,) = ask(pk(1))
    tagged = OTHER_KEY.answer(request[3:])
    with refuses("token.proof"):
        pending.finalize([tagged])
    honest = tokens.evaluate(KEY, request)
    with refuses("token.proof"):  # the tagging key's element under the honest proof
        pending.finalize([tagged[:49] + honest[49:]])
    with refuses("token.proof"):  # the proof made for somebody else's element
        pending.finalize([honest[:49] + tokens.evaluate(KEY, ask(pk(2))[1][0])[49:]])
    pending.finalize([honest])


@pytest.mark.claim("P10")
def test_every_flipped_byte_of_an_answer_is_caught():
    pending, (request,) = ask(pk(1))
    response = tokens.evaluate(KEY, request)
    for index in range(0, len(response), 5):
        broken = bytearray(response)
        broken[index] ^= 1
        with pytest.raises(ProtocolError):
            pending.finalize([bytes(broken)])


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


Purses = dict[str, list[tuple[tokens.Token, bytes]]]


def neighbourhood() -> tuple[list[bytes], Purses]:
    """Two owners fetch a fortnight's tokens each. Returns every byte that the issuer sees, and what the owners hold."""
    transcript: list[bytes] = []
    purses: Purses = {}
    for offset, owner in enumerate(("ann", "bob")):
        pks = [pk(100 * offset + number + 1) for number in range(tokens.TOKENS_PER_EPOCH)]
        pending, requests = ask(*pks)
        responses = [tokens.evaluate(KEY, request) for request in requests]
        purses[owner] = list(zip(pending.finalize(responses), pks, strict=True))
        transcript += [part for pair in zip(requests, responses, strict=True) for part in pair]
    return transcript, purses


def linked(transcript: list[bytes], spent: list[tokens.Token]) -> int:
    """What an issuer can try: does the transcript hold a part of a spent token, or what a client sends for its nonce?"""
    seen = b"".join(transcript)
    found = 0
    for token in spent:
        _, (request,) = tokens.blind_batch([token.nonce], token.challenge_digest, KEY.public)
        probes = [token.nonce, token.challenge_digest, token.authenticator, request[4:], KEY.answer(request[3:])[1:49]]
        found += any(probe in seen for probe in probes)
    return found


@pytest.mark.claim("P10")
def test_a_spent_token_does_not_point_to_its_issuance():
    transcript, purses = neighbourhood()
    spent = [purses["ann"][0], purses["bob"][5]]
    for token, response_pk in spent:
        tokens.verify(KEY, token, digest=DIGEST, response_pk=response_pk)
    assert linked(transcript, [token for token, _ in spent]) == 0
    # Had the owners fetched at another time, under other blindings, each token would be the same to the byte: it can hold
    # nothing of the transcript that it came from.
    other, others = neighbourhood()
    assert others == purses
    assert set(other).isdisjoint(transcript)
    assert [len(part) for part in other] == [len(part) for part in transcript]
    assert {part[:3] for part in transcript[::2]} == {b"\0\1" + KEY.key_id[-1:]}


@pytest.mark.claim("P10")
def test_the_linker_finds_a_client_whose_blinding_is_no_secret(monkeypatch):
    class Careless:
        """Blinds an input always alike, so that anybody who knows the input can repeat it."""

        blind = staticmethod(functools.cache(p384.Client.blind))

    monkeypatch.setattr(tokens, "p384", SimpleNamespace(**{**vars(p384), "Client": Careless}))
    transcript, purses = neighbourhood()
    assert linked(transcript, [purses["ann"][0][0], purses["bob"][5][0]]) == 2


@pytest.mark.claim("P10")
def test_blinding_is_fresh_and_uniform_whatever_the_input():
    """The signs of 64 blindings of one input split about evenly (fewer than 10 of a kind: once in 10^8 runs)."""
    for number in (1, 2):
        elements = [ask(pk(number))[1][0][3:] for _ in range(64)]
        assert len({element[1:] for element in elements}) == 64
        assert 10 <= [element[0] for element in elements].count(2) <= 54


def test_requests_are_read_strictly():
    _, (request,) = ask(pk(1))
    for broken, code in [
        (request[:-1], "token.length"),
        (request + b"\0", "token.length"),
        (b"\0\2" + request[2:], "token.type"),
        (request[:2] + bytes([request[2] ^ 1]) + request[3:], "token.key"),
        (request[:3] + bytes(49), "token.element"),
        (request[:3] + b"\2" + b"\xff" * 48, "token.element"),
        (request[:3] + b"\4" + request[4:], "token.element"),
        (request[:3] + b"\5" + request[4:], "token.element"),
    ]:
        with refuses(code):
            tokens.evaluate(KEY, broken)


PENDING, _ = ask(pk(1))


@given(st.binary(max_size=200) | st.binary(min_size=49, max_size=49) | st.binary(min_size=145, max_size=145))
def test_parsers_raise_only_protocol_errors(data):
    for read in (
        tokens.Token.decode,
        tokens.TokenChallenge.decode,
        lambda raw: PENDING.finalize([raw]),
        lambda raw: tokens.blind_batch([bytes(32)], DIGEST, raw),
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
    assert (tokens.TOKENS_PER_EPOCH, tokens.FETCHES_PER_EPOCH) == (8, 2)
