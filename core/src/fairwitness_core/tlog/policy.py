"""C2SP tlog-policy: which logs and witnesses are known, and which witnesses together are enough.

The file is octets; those above ASCII are opaque. They are held as surrogate escapes, so that names compare by octet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairwitness_core.tlog import checkpoint, cosignature, note
from fairwitness_core.wire.errors import ProtocolError

NONE = "none"
MAX_LINES = 1024
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log that is accepted; `url` says where it is served, for programs that fetch."""

    key: note.VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness under the name that the policy gives it; `url` is its submission prefix."""

    name: str
    key: note.VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Members of which at least `threshold` have to be satisfied."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CosignedCheckpoint:
    """A checkpoint that its log signed and a quorum of witnesses cosigned: only `Policy.verify` makes one.

    `times` gives each listed witness that cosigned, with its time. `fresh_at` is the latest T such that the
    cosignatures made at T or after meet the quorum; `reached_at` the earliest T such that those made up to T meet it;
    `newest` the latest single one. The three are None only under `quorum none` without cosignatures. Unix seconds, UTC.
    """

    checkpoint: checkpoint.Checkpoint
    log: note.VerifierKey
    times: tuple[tuple[str, int], ...]
    fresh_at: int | None
    reached_at: int | None
    newest: int | None
    note: note.Note


@dataclass(frozen=True, slots=True)
class Policy:
    """Logs, witnesses, groups and the name of the quorum: a witness, a group or `none`."""

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    def __post_init__(self) -> None:
        """Refuse what tlog-policy refuses; raises ProtocolError.

        1. log keys sign notes, witness keys cosign, and no two lines of a kind share a key;
        2. names are plain words, defined once, and `none` is not one of them;
        3. a group has members that are defined before it, each a member only once in the whole policy, and
           `1 <= threshold <= members`;
        4. the quorum is defined.
        """
        # 1.
        _distinct("log", (item.key.key.raw for item in self.logs))
        _distinct("witness", (item.key.key.raw for item in self.witnesses))
        for log in self.logs:
            if log.key.algorithm != note.ED25519:
                raise ProtocolError("policy.log_key", "a log's key is one for notes", evidence=log.key.name)
        for witness in self.witnesses:
            if witness.key.algorithm != note.COSIGNATURE:
                raise ProtocolError("policy.witness_key", "a witness's key is one for cosignatures", evidence=witness.name)
        for url in (*(item.url for item in self.logs), *(item.url for item in self.witnesses)):
            if url:
                _check_word(url)
        # 2. and 3.
        known: set[str] = {NONE}
        for witness in self.witnesses:
            _define(known, witness.name)
        used: set[str] = set()
        for group in self.groups:
            if not group.members or not 1 <= group.threshold <= len(group.members):
                raise ProtocolError("policy.threshold", "a group's threshold is 1 to its members", evidence=group.name)
            for member in group.members:
                if member not in known or member == NONE:
                    raise ProtocolError("policy.undefined", "a group names what is not defined above", evidence=member)
                if member in used:
                    raise ProtocolError("policy.member_twice", "a name is a member only once", evidence=member)
                used.add(member)
            _define(known, group.name)
        # 4.
        if self.quorum not in known:
            raise ProtocolError("policy.undefined", "the quorum names what is not defined", evidence=self.quorum)

    @classmethod
    def parse(cls, data: bytes) -> "Policy":
        """Read a policy file; raises ProtocolError. Comments and spacing are not kept."""
        if len(data) > MAX_BYTES:
            raise ProtocolError("policy.size", f"a policy is over {MAX_BYTES} bytes", evidence=str(len(data)))
        if data and not data.endswith(b"\n"):
            raise ProtocolError("policy.newline", "each line of a policy ends in a newline")
        if any((byte < 0x20 and byte not in b"\t\n") or byte == 0x7F for byte in data):
            raise ProtocolError("policy.control", "a policy has no control character but tab and newline")
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        if len(lines) > MAX_LINES:
            raise ProtocolError("policy.lines", f"a policy has over {MAX_LINES} lines", evidence=str(len(lines)))
        logs: list[PolicyLog] = []
        witnesses: list[Witness] = []
        groups: list[Group] = []
        defined: set[str] = {NONE}
        quorum: str | None = None
        for line in lines:
            words = _words(line)
            if not words or words[0].startswith("#"):
                continue
            match words:
                case ["log", key, *url] if len(url) <= 1:
                    logs.append(PolicyLog(_key(key), *url))
                case ["witness", name, key, *url] if len(url) <= 1:
                    witnesses.append(Witness(name, _key(key), *url))
                    defined.add(name)
                case ["group", name, threshold, *members]:
                    # The constructor knows groups' order but not where witnesses stood between them.
                    if any(member not in defined for member in members):
                        raise ProtocolError("policy.undefined", "a group names what is not defined above", evidence=line)
                    groups.append(Group(name, _threshold(threshold, len(members)), tuple(members)))
                    defined.add(name)
                case ["quorum", name]:
                    if quorum is not None:
                        raise ProtocolError("policy.quorum_twice", "a policy has one quorum line", evidence=line)
                    if name not in defined:
                        raise ProtocolError("policy.undefined", "the quorum is not defined above", evidence=name)
                    quorum = name
                case _:
                    raise ProtocolError("policy.line", "a line that means nothing in a policy", evidence=line)
        if quorum is None:
            raise ProtocolError("policy.no_quorum", "a policy has one quorum line")
        return cls(tuple(logs), tuple(witnesses), tuple(groups), quorum)

    def encode(self) -> bytes:
        """Return the policy in its one canonical spelling."""
        lines = [" ".join(filter(None, ("log", item.key.encode(), item.url))) for item in self.logs]
        lines += [" ".join(filter(None, ("witness", item.name, item.key.encode(), item.url))) for item in self.witnesses]
        for group in self.groups:
            count = {1: "any", len(group.members): "all"}.get(group.threshold, str(group.threshold))
            lines.append(" ".join(("group", group.name, count, *group.members)))
        lines.append(f"quorum {self.quorum}")
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")

    def log_keys(self, origin: str) -> tuple[note.VerifierKey, ...]:
        """Return the keys accepted for the log `origin`."""
        return tuple(item.key for item in self.logs if item.key.name == origin)

    def met(self, cosigners: Iterable[str]) -> bool:
        """Tell whether the named witnesses together satisfy the quorum."""
        if self.quorum == NONE:
            return True
        names = {witness.name for witness in self.witnesses}
        satisfied = names.intersection(cosigners)
        for group in self.groups:
            if sum(member in satisfied for member in group.members) >= group.threshold:
                satisfied.add(group.name)
        return self.quorum in satisfied

    def verify(self, data: bytes | note.Note) -> CosignedCheckpoint:
        """Return the checkpoint of a note as far as this policy trusts it.

        On return:
        1. the bytes are a note holding a checkpoint, whose origin the policy lists as a log;
        2. a listed key of that log signed it, and no listed key's signature on it is false;
        3. each cosignature of a listed witness is true; lines of unknown keys were ignored (signed-note, "Signatures");
        4. the witnesses that cosigned meet the quorum.
        Raises ProtocolError otherwise.
        """
        # 1.
        signed = data if isinstance(data, note.Note) else note.Note.parse(data)
        found = checkpoint.Checkpoint.parse(signed.text)
        keys = self.log_keys(found.origin)
        if not keys:
            raise ProtocolError("policy.unknown_log", "the policy does not list this log", evidence=found.origin)
        # 2.
        signers = [key for key in keys if signed.verified_by(key)]
        if not signers:
            raise ProtocolError("checkpoint.unsigned", "no listed key of the log signed it", evidence=found.origin)
        # 3.
        times: dict[str, int] = {}
        for witness in self.witnesses:
            time = cosignature.verify(signed, witness.key)
            if time is not None:
                times[witness.name] = time
        # 4.
        if not self.met(times):
            raise ProtocolError(
                "policy.quorum",
                "too few witnesses cosigned this checkpoint",
                evidence=", ".join(times) or "nobody",
                hint=f"the quorum is {self.quorum}",
            )
        fresh_at, reached_at = self._moments(times)
        newest = max(times.values(), default=None)
        return CosignedCheckpoint(found, signers[0], tuple(times.items()), fresh_at, reached_at, newest, signed)

    def _moments(self, times: Mapping[str, int]) -> tuple[int | None, int | None]:
        moments = sorted(set(times.values()))
        fresh_at = next((t for t in reversed(moments) if self.met(n for n, at in times.items() if at >= t)), None)
        reached_at = next((t for t in moments if self.met(n for n, at in times.items() if at <= t)), None)
        return fresh_at, reached_at


def k_of(logs: Iterable[PolicyLog], witnesses: Iterable[Witness], k: int) -> Policy:
    """Return the policy "any `k` of these witnesses" (design.md 9.2: three, any two)."""
    listed = tuple(witnesses)
    group = Group("quorum-group", k, tuple(item.name for item in listed))
    return Policy(tuple(logs), listed, (group,), group.name)


def _words(line: str) -> list[str]:
    return [word for word in line.replace("\t", " ").split(" ") if word]


def _key(text: str) -> note.VerifierKey:
    return note.VerifierKey.parse(text)


def _threshold(word: str, members: int) -> int:
    match word:
        case "any":
            return 1
        case "all":
            return members
    return checkpoint.parse_number(word)


def _check_word(word: str) -> None:
    try:
        octets = word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ProtocolError("policy.word", "a word that no octets spell") from error
    if not octets or any(byte <= 0x20 or byte == 0x7F for byte in octets):
        raise ProtocolError("policy.word", "a word of a policy has no blanks or controls", evidence=repr(word))


def _define(known: set[str], name: str) -> None:
    _check_word(name)
    if name in known:
        raise ProtocolError("policy.name_twice", "a name is defined once, and `none` never", evidence=name)
    known.add(name)


def _distinct(kind: str, keys: Iterable[bytes]) -> None:
    seen: set[bytes] = set()
    for key in keys:
        if key in seen:
            raise ProtocolError("policy.key_twice", f"two {kind} lines have one key", evidence=key.hex())
        seen.add(key)
