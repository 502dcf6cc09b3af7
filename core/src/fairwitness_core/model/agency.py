"""Agencies and their keys in the public log (protocol.md 6.4, 16; design.md 7, 9.1)."""

from dataclasses import dataclass
from typing import ClassVar

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.document import Document, Part, part, wire
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError

LEVELS = ("campus", "county", "federal", "fire", "municipal", "state", "tribal")
ED25519 = f.base64_bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyKey(Part):
    """One registered key: `use` is `agency` (the console's calls and custody) or `officer` (signs requests)."""

    kid: str = wire(f.text(16, min_bytes=16))
    alg: str = wire(f.one_of("ed25519"))
    pk: bytes = wire(ED25519)
    use: str = wire(f.one_of("agency", "officer"))
    not_after: int = wire(f.TIME)

    def check(self) -> None:
        """The key is well formed and `kid` is its own."""
        if PublicKey(self.pk).kid != self.kid:
            raise ProtocolError("key.kid", "kid is not that of the key", evidence=self.kid)

    @property
    def public(self) -> PublicKey:
        """The key, ready to verify."""
        return PublicKey(self.pk)


KEYS = f.array(part(AgencyKey), low=1, high=48)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyAuthorized(Document):
    """An agency may ask here. Signed by the hub.

    `state` is the two-letter postal code, "US" for a federal agency. `jurisdiction`: compacted H3 cells (res <= 9) that
    cover its polygon, `jurisdiction_sha256` the hash of that polygon's GeoJSON. `vouched`: public bodies that vouched.
    """

    TYPE: ClassVar[str] = "agency_authorized"

    agency: str = wire(f.AGENCY_ID)
    ori: str = wire(f.text(9, min_bytes=7, pattern=r"[A-Z0-9]+"))
    name: str = wire(f.text(120, min_bytes=2))
    state: str = wire(f.text(2, min_bytes=2, pattern=r"[A-Z]{2}"))
    level: str = wire(f.one_of(*LEVELS))
    federal: bool = wire(f.boolean())
    jurisdiction: tuple[str, ...] = wire(f.array(f.cell(0, 9), low=1, high=600, ordered_set=True))
    jurisdiction_sha256: str = wire(f.HASH)
    keys: tuple[AgencyKey, ...] = wire(KEYS)
    vouched: tuple[str, ...] = wire(f.array(f.text(120, min_bytes=2), low=1, high=8))
    expires: int = wire(f.TIME)
    at: int = wire(f.TIME)

    def check(self) -> None:
        """Federal agencies are of the US; keys are distinct."""
        if self.federal != (self.level == "federal") or self.federal != (self.state == "US"):
            raise ProtocolError("agency.federal", "federal, level and state disagree", hint='federal means state "US"')
        if len({key.kid for key in self.keys}) != len(self.keys):
            raise ProtocolError("agency.keys", "a key is registered twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencySuspended(Document):
    """From this entry on nothing that the agency signs counts. Signed by the hub."""

    TYPE: ClassVar[str] = "agency_suspended"

    agency: str = wire(f.AGENCY_ID)
    reason: str = wire(f.one_of("court_order", "lapsed", "left", "misuse", "security"))
    at: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated(Document):
    """Keys come and go; a removed officer's key counts no more from this entry on. Signed by the hub."""

    TYPE: ClassVar[str] = "key_rotated"

    agency: str = wire(f.AGENCY_ID)
    add: tuple[AgencyKey, ...] = wire(f.array(part(AgencyKey), high=48))
    remove: tuple[str, ...] = wire(f.array(f.text(16, min_bytes=16), high=48, ordered_set=True))
    at: int = wire(f.TIME)

    def check(self) -> None:
        """A rotation changes something."""
        if not self.add and not self.remove:
            raise ProtocolError("agency.rotation", "a rotation adds or removes a key")
