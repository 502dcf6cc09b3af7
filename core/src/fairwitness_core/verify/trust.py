"""The trust policy: what a verifier pins, from somewhere other than the evidence (design.md 9.11)."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.document import Document, kind_of, wire
from fairwitness_core.model.hub import JoinFile, LogGenesis
from fairwitness_core.tlog.note import VerifierKey
from fairwitness_core.tlog.policy import NONE, Policy
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy(Document):
    """The hub's key, logs and witnesses (tlog-policy text) and SHA-256 of the genesis envelope, as a verifier pins them."""

    TYPE: ClassVar[str] = "trust"

    hub_key: bytes = wire(f.base64_bytes(32))
    policy: str = wire(f.text(8192, min_bytes=8, newline=True))
    genesis: str = wire(f.HASH)

    def check(self) -> None:
        """The key is one, and the policy demands witnesses: trust in a log alone is no trust (design.md 9.2)."""
        PublicKey(self.hub_key)
        if Policy.parse(self.policy.encode()).quorum == NONE:
            raise ProtocolError("trust.quorum", "the policy demands no witness", hint="name a quorum of witnesses")

    @classmethod
    def from_join(cls, join: JoinFile) -> "TrustPolicy":
        """Take over what a join file pins; raises ProtocolError where its policy does not cover both of its ledgers."""
        trust = cls(hub_key=join.hub_key, policy=join.policy, genesis=join.genesis)
        listed = {log.key for log in trust.witness_policy.logs}
        for ledger in (join.public_log, join.sealed_log):
            if VerifierKey.parse(ledger) not in listed:
                raise ProtocolError("trust.logs", "the policy does not list this ledger's key", evidence=ledger)
        return trust

    @classmethod
    def read(cls, data: bytes) -> "TrustPolicy":
        """Read the bytes of a trust file or a join file, with or without one final newline; raises ProtocolError."""
        document = canonical.decode(data.removesuffix(b"\n"))
        if kind_of(document)[0] == JoinFile.TYPE:
            return cls.from_join(JoinFile.from_document(document))
        return cls.from_document(document)

    def check_genesis(self, entry: bytes) -> LogGenesis:
        """Return the genesis that the envelope bytes `entry` hold.

        On return: 1. they are the pinned ones; 2. the hub's key signed them, and they name that key; 3. the policy covers
        both ledgers that they name. Raises ProtocolError otherwise.
        """
        found = hashlib.sha256(entry).hexdigest()
        if found != self.genesis:
            raise ProtocolError("genesis.other", "this is the beginning of another log than the pinned one", evidence=found)
        genesis = LogGenesis.parse(dsse.Envelope.parse(entry).verify(dsse.ENTRY, PublicKey(self.hub_key)))
        if genesis.hub_key != self.hub_key:
            raise ProtocolError("genesis.hub_key", "the genesis names another hub key than the one that signed it")
        listed = {log.key.encode() for log in self.witness_policy.logs}
        for ledger in (genesis.public_log, genesis.sealed_log):
            if ledger not in listed:
                raise ProtocolError("genesis.ledger", "the policy does not cover this ledger", evidence=ledger)
        return genesis

    @property
    def witness_policy(self) -> Policy:
        """The policy, ready to verify with."""
        return Policy.parse(self.policy.encode())

    def fingerprints(self) -> tuple[tuple[str, str], ...]:
        """Label and value of each key, to compare with what hub and witnesses publish elsewhere."""
        policy = self.witness_policy
        rows = [("genesis", self.genesis), ("hub key", hashlib.sha256(self.hub_key).hexdigest())]
        rows += [(f"log {log.key.name}", log.key.encode()) for log in policy.logs]
        rows += [(f"witness {witness.name}", witness.key.encode()) for witness in policy.witnesses]
        rows.append(("quorum", _quorum(policy)))
        return tuple(rows)


def _quorum(policy: Policy) -> str:
    for group in policy.groups:
        if group.name == policy.quorum:
            return f"{group.threshold} of {len(group.members)}: {', '.join(group.members)}"
    return policy.quorum
