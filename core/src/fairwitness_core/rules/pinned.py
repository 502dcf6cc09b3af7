"""What a home accepts when it joins (design.md 9.1)."""

import hashlib
from dataclasses import dataclass

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.hub import JoinFile, LogGenesis
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a home accepted when it joined; nothing the hub serves later changes it, save a logged witness policy."""

    hub_key: PublicKey
    policy: Policy
    origin: str
    tick_seconds: int
    genesis: str
    genesis_at: int
    state: str
    notice_seconds: int

    @classmethod
    def of(cls, join: JoinFile, genesis: bytes) -> "Pinned":
        """Pin a join file with its genesis envelope.

        On return: 1. the envelope is the one whose hash the join file names; 2. the hub's key signed it; 3. keys, tick
        length and start in both agree; 4. the witness policy parses and lists the public log. Raises ProtocolError.
        """
        # 1.
        if hashlib.sha256(genesis).hexdigest() != join.genesis:
            raise ProtocolError("join.genesis", "entry 0 of the log is not the one that the join file names")
        # 2.
        hub_key = PublicKey(join.hub_key)
        document = LogGenesis.parse(dsse.Envelope.parse(genesis).verify(dsse.ENTRY, hub_key))
        # 3.
        told = (join.public_log, join.sealed_log, join.hub_key, join.tick_seconds, join.genesis_at)
        logged = (document.public_log, document.sealed_log, document.hub_key, document.tick_seconds, document.at)
        if told != logged:
            raise ProtocolError("join.differs", "the join file and entry 0 of the log disagree")
        # 4.
        policy = Policy.parse(join.policy.encode())
        origin = join.public_log.split("+", 1)[0]
        if join.public_log not in {key.encode() for key in policy.log_keys(origin)}:
            raise ProtocolError("join.policy", "the witness policy does not list the public log's key", evidence=origin)
        return cls(
            hub_key, policy, origin, join.tick_seconds, join.genesis, join.genesis_at, document.state, document.notice_seconds
        )
