"""DSSE envelopes over exact bytes (Dead Simple Signing Envelope v1; protocol.md section 3)."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.wire import canonical
from fairwitness_core.wire.errors import ProtocolError

ENTRY = "application/vnd.fairwitness.entry.v1+json"  # public log entries
RESPONSE = "application/vnd.fairwitness.response.v1+json"  # signed by a response key
RECEIPT = "application/vnd.fairwitness.receipt.v1+json"  # the hub's signed promises
CALL = "application/vnd.fairwitness.call.v1+json"  # an agency's authenticated call to its hub
STATEMENT = "application/vnd.in-toto+json"  # evidence statements (in-toto Statement v1)

MAX_ENVELOPE = 1 << 21
MAX_SIGNATURES = 8


def b64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def unb64(text: object, where: str) -> bytes:
    """Read canonical standard base64; raises ProtocolError."""
    if not isinstance(text, str):
        raise ProtocolError("dsse.base64", f"{where} is not a string")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ProtocolError("dsse.base64", f"{where} is not standard base64", evidence=text) from error
    if b64(raw) != text:
        raise ProtocolError("dsse.base64", f"{where} is not canonical base64", evidence=text)
    return raw


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature: `kid` is a hint only, `sig` 64 bytes."""

    kid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and its signatures, not yet believed: see `verify`."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """Return the canonical wire bytes."""
        return canonical.encode(
            {
                "payload": b64(self.payload),
                "payloadType": self.payload_type,
                "signatures": [{"keyid": s.kid, "sig": b64(s.sig)} for s in self.signatures],
            }
        )

    @classmethod
    def parse(cls, data: bytes, *, limit: int = MAX_ENVELOPE) -> "Envelope":
        """Read an envelope strictly; raises ProtocolError. Says nothing about the signatures' truth."""
        document = canonical.decode(data, limit=limit)
        if not isinstance(document, dict) or set(document) != {"payload", "payloadType", "signatures"}:
            raise ProtocolError("dsse.shape", "an envelope has payload, payloadType and signatures, no more")
        kind, signatures = document["payloadType"], document["signatures"]
        if not isinstance(kind, str) or not isinstance(signatures, list):
            raise ProtocolError("dsse.shape", "payloadType is a string, signatures a list")
        if not 1 <= len(signatures) <= MAX_SIGNATURES:
            raise ProtocolError("dsse.signatures", f"1 to {MAX_SIGNATURES} signatures", evidence=str(len(signatures)))
        parsed = []
        for item in signatures:
            if not isinstance(item, dict) or set(item) != {"keyid", "sig"} or not isinstance(item["keyid"], str):
                raise ProtocolError("dsse.shape", "a signature has keyid and sig, no more")
            sig = unb64(item["sig"], "sig")
            if len(sig) != 64 or len(item["keyid"]) != 16:
                raise ProtocolError("dsse.signature_length", "sig has 64 bytes and keyid 16 characters")
            parsed.append(Signature(item["keyid"], sig))
        if len({s.kid for s in parsed}) != len(parsed):
            raise ProtocolError("dsse.duplicate_signer", "a key signs once")
        return cls(kind, unb64(document["payload"], "payload"), tuple(parsed))

    def signers(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """Return those of `keys` that truly signed, in signature order.

        On return: 1. each returned key signed the PAE of exactly these bytes; 2. no key is returned twice;
        3. every signature whose keyid belongs to one of `keys` verified, else ProtocolError (a bad signature by a
        known key is never passed over).
        """
        by_kid = {key.kid: key for key in keys}
        message = pae(self.payload_type, self.payload)
        found = []
        for signature in self.signatures:
            key = by_kid.get(signature.kid)
            if key is None:
                continue
            if not key.verify(signature.sig, message):
                raise ProtocolError("dsse.bad_signature", "a signature does not verify", evidence=signature.kid)
            found.append(key)
        return tuple(found)

    def verify(self, payload_type: str, *keys: PublicKey) -> bytes:
        """Return the payload if it has this type and exactly `keys` signed it, no other; raises ProtocolError."""
        if self.payload_type != payload_type:
            raise ProtocolError("dsse.type", "another kind of document was expected", evidence=self.payload_type)
        found = self.signers(keys)
        if len(found) != len(keys) or len(self.signatures) != len(keys):
            raise ProtocolError(
                "dsse.signers",
                "the expected keys did not all sign, or others did",
                evidence=",".join(s.kid for s in self.signatures),
            )
        return self.payload


def sign(payload_type: str, payload: bytes, *keys: SigningKey) -> Envelope:
    """Sign exact bytes with each of `keys`."""
    message = pae(payload_type, payload)
    return Envelope(payload_type, payload, tuple(Signature(k.public.kid, k.sign(message)) for k in keys))
