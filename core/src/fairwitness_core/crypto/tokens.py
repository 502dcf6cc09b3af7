"""Tokens that say "an enrolled household" and nothing more: RFC 9578 type 0x0001.

Private verifiability: VOPRF(P-384, SHA-384) of RFC 9497, so that only the issuer's key can check a token. The home fetches
tokens blind on a fixed slot (protocol.md section 5.2, design.md 9.7) and checks, by the DLEQ proof, that the hub used the
one key that stands in the log: a hub that marks households with keys of their own is caught before a token is ever spent.
A token is bound to the Ed25519 key of one response through its nonce, and spent once: the nonce is the spend key.

All mathematics is the `voprf` package's. Its client cannot be stored, so a batch that is asked for lives in memory: whoever
keeps the response keys (hence the nonces) can blind them again after a restart and gets the very same tokens, since a
token depends on nonce, challenge and issuer key alone.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from voprf import p384

from fairwitness_core.crypto import random
from fairwitness_core.wire.errors import ProtocolError

TOKEN_TYPE = 0x0001
TOKENS_PER_EPOCH = 8  # per household and fortnight, protocol.md section 5.2
FETCHES_PER_EPOCH = 2
"""How often an invite's use may fetch in one epoch: the second is for a home that lost power between asking and receiving.

What it costs: nobody can tell a lost batch from a kept one, so a dishonest household can hold up to
FETCHES_PER_EPOCH * TOKENS_PER_EPOCH = 16 tokens an epoch, or let a second household fetch on its use.
"""
EPOCH_SECONDS = 14 * 86_400
ELEMENT_SIZE = 49  # a compressed point of P-384 (SEC 1 section 2.3.3)
PROOF_SIZE = 96  # two scalars (RFC 9497 section 2.2)
AUTHENTICATOR_SIZE = 48
TOKEN_SIZE = 2 + 3 * 32 + AUTHENTICATOR_SIZE
REQUEST_SIZE = 3 + ELEMENT_SIZE
RESPONSE_SIZE = ELEMENT_SIZE + PROOF_SIZE

_TYPE = TOKEN_TYPE.to_bytes(2, "big")


def epoch_of(unix: int) -> int:
    """Return the fortnight that `unix` (seconds, UTC) falls in, counted from the Unix epoch."""
    return unix // EPOCH_SECONDS


def token_nonce(response_pk: bytes) -> bytes:
    """Bind a token to the response key `response_pk` (32 raw bytes): SHA-256("fairwitness/token" || pk)."""
    _require_size(response_pk, 32, "a response key")
    return hashlib.sha256(b"fairwitness/token" + response_pk).digest()


def token_key_id(public: bytes) -> bytes:
    """Name an issuer key: SHA-256 of its 49-byte encoding (RFC 9578 section 5.5)."""
    _require_size(public, ELEMENT_SIZE, "an issuer key")
    return hashlib.sha256(public).digest()


def _require_size(data: bytes, size: int, what: str) -> None:
    if len(data) != size:
        raise ProtocolError("token.length", f"{what} has {size} bytes", evidence=str(len(data)))


@dataclass(frozen=True, slots=True)
class TokenChallenge:
    """What a token is good for (RFC 9577 section 2.1.1). This protocol leaves `redemption_context` empty."""

    issuer_name: str
    origin_info: str
    redemption_context: bytes = b""
    token_type: int = TOKEN_TYPE

    def __post_init__(self) -> None:
        """Refuse lengths that the encoding cannot carry."""
        if not 1 <= len(self.issuer_name.encode()) <= 0xFFFF or len(self.origin_info.encode()) > 0xFFFF:
            raise ProtocolError("token.challenge", "issuer name or origin is empty or too long")
        if len(self.redemption_context) not in (0, 32):
            raise ProtocolError("token.challenge", "a redemption context has 0 or 32 bytes")

    def encode(self) -> bytes:
        """Return the bytes that are hashed into the token."""
        issuer, origin = self.issuer_name.encode(), self.origin_info.encode()
        return b"".join(
            (
                self.token_type.to_bytes(2, "big"),
                len(issuer).to_bytes(2, "big"),
                issuer,
                bytes([len(self.redemption_context)]),
                self.redemption_context,
                len(origin).to_bytes(2, "big"),
                origin,
            )
        )

    @property
    def digest(self) -> bytes:
        """SHA-256 of the encoding."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def decode(cls, data: bytes) -> "TokenChallenge":
        """Read the encoding; raises ProtocolError on anything missing, surplus or not UTF-8."""
        try:
            kind = int.from_bytes(data[:2], "big")
            at = 4 + int.from_bytes(data[2:4], "big")
            issuer = data[4:at].decode("utf-8")
            context_end = at + 1 + data[at]
            context = data[at + 1 : context_end]
            origin = data[context_end + 2 :].decode("utf-8")
        except (IndexError, UnicodeDecodeError) as error:
            raise ProtocolError("token.challenge", "the token challenge is malformed", evidence=data.hex()) from error
        found = cls(issuer, origin, context, kind)
        if found.encode() != data:
            raise ProtocolError("token.challenge", "the token challenge is malformed", evidence=data.hex())
        return found


def challenge_digest(issuer_name: str, origin: str) -> bytes:
    """Return the digest of this protocol's challenge: no redemption context, one origin, the hub's."""
    return TokenChallenge(issuer_name, origin).digest


@dataclass(frozen=True, slots=True)
class Token:
    """A finished token. `nonce` is what the hub keeps to refuse a second spend."""

    nonce: bytes
    challenge_digest: bytes
    token_key_id: bytes
    authenticator: bytes

    def __post_init__(self) -> None:
        """Refuse wrong lengths."""
        for part, size in zip((self.nonce, self.challenge_digest, self.token_key_id), (32, 32, 32), strict=True):
            _require_size(part, size, "a token's field")
        _require_size(self.authenticator, AUTHENTICATOR_SIZE, "a type 1 authenticator")

    @property
    def input(self) -> bytes:
        """The bytes that the authenticator vouches for (RFC 9578 section 5.1)."""
        return _input(self.nonce, self.challenge_digest, self.token_key_id)

    def encode(self) -> bytes:
        """Return the 146 bytes of the wire form."""
        return self.input + self.authenticator

    @classmethod
    def decode(cls, data: bytes) -> "Token":
        """Read the wire form; raises ProtocolError (`token.length`, `token.type`)."""
        _require_size(data, TOKEN_SIZE, "a type 1 token")
        if data[:2] != _TYPE:
            raise ProtocolError("token.type", "the token is not of type 0x0001", evidence=data[:2].hex())
        return cls(data[2:34], data[34:66], data[66:98], data[98:])


def _input(nonce: bytes, digest: bytes, key_id: bytes) -> bytes:
    return _TYPE + nonce + digest + key_id


class IssuerKey:
    """The issuer's secret of one epoch, made from a 32-byte seed; its repr never shows it."""

    __slots__ = ("_evaluator", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        _require_size(seed, 32, "an issuer seed")
        self.seed = seed
        self._evaluator = p384.Evaluator.from_seed(seed, b"PrivacyPass")  # RFC 9578 section 5.5
        self.public: bytes = bytes(self._evaluator.public_key.serialize())

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the public key."""
        return token_key_id(self.public)

    def answer(self, blinded: bytes) -> bytes:
        """Evaluate one blinded element, returning element || proof (RFC 9578 section 5.2).

        The package writes proof || element, so the halves change places.
        """
        try:
            element = p384.BlindedInput.deserialize(blinded)
        except ValueError as error:
            raise ProtocolError("token.element", "the blinded element is no point of P-384", evidence=blinded.hex()) from error
        if bytes(element.serialize()) != blinded:
            raise ProtocolError("token.element", "the blinded element is not in its one encoding", evidence=blinded.hex())
        output = bytes(self._evaluator.evaluate(element).serialize())
        return output[PROOF_SIZE:] + output[:PROOF_SIZE]

    def authenticator(self, message: bytes) -> bytes:
        """Return what an honest token over `message` carries."""
        return bytes(self._evaluator.evaluate_known_input(message))

    def __repr__(self) -> str:
        return f"IssuerKey({self.key_id.hex()[:16]})"


def new_issuer_key() -> IssuerKey:
    """Make a fresh issuer key from OS randomness."""
    return IssuerKey(random.token_bytes(32))


def issuer_public(key: IssuerKey) -> bytes:
    """Return the 49-byte public key that the log's `issuer_key` entry carries."""
    return key.public


@dataclass(frozen=True, slots=True, repr=False)
class Pending:
    """A batch of tokens between asking and receiving, in memory alone. Secret: it links tokens to their issuance.

    It cannot be stored or copied. When it is lost, `blind_batch` over the same nonces makes another that ends in the same
    tokens.
    """

    nonces: tuple[bytes, ...]
    challenge_digest: bytes
    issuer_pk: bytes
    _clients: tuple[p384.Client, ...]

    def __repr__(self) -> str:
        return "Pending(...)"

    def finalize(self, responses: Sequence[bytes]) -> tuple[Token, ...]:
        """Check each response's proof against the pinned key and unblind, in the order of the requests: all tokens or none.

        Can be called again, with another answer to the same requests. Raises ProtocolError: `token.count`, `token.length`,
        `token.element` for malformed responses, `token.proof` when one was not made with the pinned key for its request,
        which is what a hub that marks one household must do.
        """
        if len(responses) != len(self._clients):
            raise ProtocolError("token.count", "there is one response to each request", evidence=str(len(responses)))
        key_id = token_key_id(self.issuer_pk)
        public = p384.PublicKey.deserialize(self.issuer_pk)
        made = []
        for nonce, client, response in zip(self.nonces, self._clients, responses, strict=True):
            output = _decode_output(response)
            try:
                authenticator = bytes(client.finalize(output, public))
            except ValueError as error:
                raise ProtocolError(
                    "token.proof",
                    "the issuer answered with a key other than the one in the log",
                    evidence=key_id.hex(),
                    hint="do not use this answer; report the hub",
                ) from error
            made.append(Token(nonce, self.challenge_digest, key_id, authenticator))
        return tuple(made)


def _decode_output(response: bytes) -> p384.VerifiableOutput:
    """Read a TokenResponse (element || proof); the package has the halves the other way round."""
    _require_size(response, RESPONSE_SIZE, "a token response")
    swapped = response[ELEMENT_SIZE:] + response[:ELEMENT_SIZE]
    try:
        output = p384.VerifiableOutput.deserialize(swapped)
    except ValueError as error:
        raise ProtocolError("token.element", "the issuer's answer is malformed", evidence=response.hex()) from error
    if bytes(output.serialize()) != swapped:
        raise ProtocolError("token.element", "the issuer's answer is not in its one encoding", evidence=response.hex())
    return output


def blind_batch(nonces: Sequence[bytes], challenge_digest: bytes, issuer_pk: bytes) -> tuple[Pending, tuple[bytes, ...]]:
    """Prepare a batch of tokens: returns the secret state and a 52-byte TokenRequest for each (RFC 9578 section 5.1).

    A request is: type, last byte of the key's id, blinded element. `nonces` come from `token_nonce` and differ,
    `challenge_digest` from the function of that name, `issuer_pk` is the pinned key of the log. Every call blinds anew, so two
    calls for the same nonces cannot be linked. Raises ProtocolError: `token.count`, `token.length`, `token.element`.
    """
    if not nonces or len(set(nonces)) != len(nonces):
        raise ProtocolError("token.count", "a batch is one or more different nonces", evidence=str(len(nonces)))
    for nonce in nonces:
        _require_size(nonce, 32, "a token nonce")
    _require_size(challenge_digest, 32, "a challenge digest")
    _require_public(issuer_pk)
    key_id = token_key_id(issuer_pk)
    blinded = [p384.Client.blind(_input(nonce, challenge_digest, key_id)) for nonce in nonces]
    pending = Pending(tuple(nonces), challenge_digest, issuer_pk, tuple(client for client, _ in blinded))
    return pending, tuple(_TYPE + key_id[-1:] + bytes(element.serialize()) for _, element in blinded)


def _require_public(data: bytes) -> None:
    _require_size(data, ELEMENT_SIZE, "an issuer key")
    try:
        known = bytes(p384.PublicKey.deserialize(data).serialize()) == data
    except ValueError as error:
        raise ProtocolError("token.element", "the issuer key is no point of P-384", evidence=data.hex()) from error
    if not known:
        raise ProtocolError("token.element", "the issuer key is not in its one encoding", evidence=data.hex())


def evaluate(key: IssuerKey, request: bytes) -> bytes:
    """Answer a TokenRequest without learning what it is for; returns the 145-byte TokenResponse.

    Raises ProtocolError: `token.length`, `token.type`, `token.key` (meant for another key), `token.element`.
    """
    _require_size(request, REQUEST_SIZE, "a token request")
    if request[:2] != _TYPE:
        raise ProtocolError("token.type", "only token type 0x0001 is issued here", evidence=request[:2].hex())
    if request[2] != key.key_id[-1]:
        raise ProtocolError(
            "token.key",
            "the request is for another issuer key",
            hint="fetch the current issuer key from the log and blind again",
        )
    return key.answer(request[3:])


def verify(key: IssuerKey, token: Token, *, digest: bytes, response_pk: bytes) -> None:
    """Accept `token` for the response of `response_pk`, or raise ProtocolError.

    Codes: `token.key` (another epoch's or issuer's), `token.challenge` (another hub's), `token.binding` (another response's),
    `token.authenticator` (forged). Whether its nonce was spent before is the caller's table to know.
    """
    if token.token_key_id != key.key_id:
        raise ProtocolError("token.key", "the token was made under another issuer key")
    if token.challenge_digest != digest:
        raise ProtocolError("token.challenge", "the token was made for another hub")
    if token.nonce != token_nonce(response_pk):
        raise ProtocolError("token.binding", "the token belongs to another response")
    if not hmac.compare_digest(key.authenticator(token.input), token.authenticator):
        raise ProtocolError("token.authenticator", "the issuer never made this token")
