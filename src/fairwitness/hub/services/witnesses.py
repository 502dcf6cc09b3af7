"""The hub's side of C2SP tlog-witness: have a new head cosigned, and at start ask witnesses how far they saw this log."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fairwitness_core.tlog import checkpoint, cosignature, note
from fairwitness_core.tlog.policy import Policy, Witness
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import clock, http
from fairwitness.kit.journal import Event, log
from fairwitness.kit.logstore import LogStore

_ANSWER = 1 << 16
_LONGEST_REST = 60
_AHEAD = 60  # seconds by which a witness may be ahead of us


class HeadBehind(Exception):
    """A witness cosigned more of this log than is here: the data is an old copy, and appending would fork the log."""

    def __init__(self, ours: int, theirs: int) -> None:
        super().__init__(
            f"a witness has seen {theirs} entries of this log, here are {ours}: this is an older copy of the data. "
            "Run `fairwitness hub recover DIR --mirror URL`; nothing was appended."
        )
        self.ours, self.theirs = ours, theirs


class HeadForked(Exception):
    """A witness cosigned another log under this name."""


@dataclass(slots=True)
class _Rest:
    failures: int = 0
    until: int = 0


@dataclass(slots=True)
class Witnesses:
    """Talks to the witnesses of a policy. `seconds`: how long one may take; `parallel`: ask them side by side."""

    seconds: int = 3
    parallel: bool = False
    _sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    _rests: dict[str, _Rest] = field(default_factory=dict)

    def compare(self, policy: Policy, stores: Iterable[LogStore]) -> bool:
        """Compare the logs with what each witness saw; tell whether enough were heard.

        Enough means that those not heard could not have made a quorum without one that was. Raises HeadBehind when one
        saw more than is here, HeadForked when one saw other entries.
        """
        unheard = []
        for witness in policy.witnesses:
            if not witness.url:
                unheard.append(witness.name)
                continue
            try:
                heads = self._heads(witness)
            except (http.Unreachable, http.TooLarge, ProtocolError, ValueError):
                log(Event.WITNESS_UNREACHABLE, witness=witness.name)
                unheard.append(witness.name)
                continue
            for store in stores:
                size, root = heads.get(store.origin, (0, b""))
                self._sizes[witness.name, store.origin] = size
                if size > store.size:
                    raise HeadBehind(store.size, size)
                if size and store.root_at(size) != root:
                    raise HeadForked(f"witness {witness.name} cosigned other entries under {store.origin}")
        return not policy.met(unheard) or not policy.witnesses

    def _heads(self, witness: Witness) -> dict[str, tuple[int, bytes]]:
        answer = http.Http(timeout=self.seconds).get(f"{witness.url.rstrip('/')}/logs", max_bytes=_ANSWER)
        if answer.status != 200:
            raise http.Unreachable(f"status {answer.status}")
        heads = {}
        for line in answer.body.decode().splitlines():
            origin, size, root = line.split(" ")
            number = checkpoint.parse_number(size)
            heads[origin] = (number, note.decode_base64(root, "witness.root") if number else b"")
        return heads

    def cosign(self, policy: Policy, store: LogStore) -> bool:
        """Have the log's present head cosigned and publish it; tell whether the quorum was met.

        Witnesses that failed of late rest, unless the quorum needs them. Raises HeadBehind, HeadForked, LogWriteError.
        """
        signed = note.Note.parse(store.signed_checkpoint())
        size = checkpoint.Checkpoint.parse(signed.text).size
        now = clock.now()
        ready = [w for w in policy.witnesses if w.url and self._rests.get(w.name, _Rest()).until <= now]
        resting = [w for w in policy.witnesses if w.url and w not in ready]
        good: dict[str, note.SignatureLine] = {}
        ahead: dict[str, note.SignatureLine] = {}
        for group in (ready, resting):
            if not good or not policy.met(good):
                for name, line in self._ask(group, store, signed, size, now).items():
                    (ahead if _time(line) > now + _AHEAD else good)[name] = line
        # A home that sees one time far ahead of its clock believes nothing until its owner looks: one witness must not be
        # able to bring that about. Where the quorum needs the line it goes out all the same, for our clock may be the wrong one.
        lines = good if policy.met(good) else {**good, **ahead}
        if ahead and lines is good:
            for name in ahead:
                log(Event.WITNESS_REFUSED, witness=name, code="witness.clock")
        cosigned = signed.with_signatures(*lines.values())
        try:
            policy.verify(cosigned)
        except ProtocolError:
            log(Event.QUORUM_MISSING, have=len(lines), need=len(policy.witnesses))
            return False
        store.publish(cosigned.encode())
        return True

    def _ask(
        self, group: list[Witness], store: LogStore, signed: note.Note, size: int, now: int
    ) -> dict[str, note.SignatureLine]:
        def one(witness: Witness) -> note.SignatureLine | Exception:
            try:
                return self._add(witness, store, signed, size)
            except (http.Unreachable, http.TooLarge, ProtocolError, HeadBehind, HeadForked) as error:
                return error

        run: Callable[..., Iterable[note.SignatureLine | Exception]] = map
        if self.parallel and len(group) > 1:
            with ThreadPoolExecutor(len(group)) as pool:
                answers = list(pool.map(one, group))
        else:
            answers = list(run(one, group))
        lines = {}
        for witness, answer in zip(group, answers, strict=True):
            if isinstance(answer, note.SignatureLine):
                lines[witness.name] = answer
                self._rests.pop(witness.name, None)
                continue
            if isinstance(answer, HeadBehind | HeadForked):
                raise answer
            rest = self._rests.setdefault(witness.name, _Rest())
            rest.failures += 1
            rest.until = now + min(2**rest.failures, _LONGEST_REST)
            if isinstance(answer, ProtocolError):
                log(Event.WITNESS_REFUSED, witness=witness.name, code=answer.code)
            else:
                log(Event.WITNESS_UNREACHABLE, witness=witness.name)
        return lines

    def _add(self, witness: Witness, store: LogStore, signed: note.Note, size: int) -> note.SignatureLine:
        key = (witness.name, store.origin)
        old = min(self._sizes.get(key, 0), size)
        for _ in range(2):
            body = cosignature.add_checkpoint_body(old, store.consistency(old, size), signed.encode())
            url = f"{witness.url.rstrip('/')}/add-checkpoint"
            answer = http.Http(timeout=self.seconds).post(url, body, max_bytes=_ANSWER)
            if answer.status == 200:
                line = self._line(witness, signed, answer.body)
                self._sizes[key] = size
                return line
            if answer.status != 409:
                raise ProtocolError("witness.refused", "a witness refused the head", evidence=str(answer.status))
            theirs = checkpoint.parse_number(answer.body.decode("ascii", "replace").strip())
            if theirs > size:
                raise HeadBehind(size, theirs)
            if theirs == old:
                raise HeadForked(f"witness {witness.name} cosigned another head of {theirs} entries")
            old = theirs
        raise ProtocolError("witness.moving", "a witness named two sizes in a row")

    @staticmethod
    def _line(witness: Witness, signed: note.Note, body: bytes) -> note.SignatureLine:
        for line in note.parse_signature_lines(body):
            if (line.name, line.key_id) == (witness.key.name, witness.key.key_id):
                cosignature.verify(signed.with_signatures(line), witness.key)
                return line
        raise ProtocolError("witness.line", "a witness answered without its own signature")


def _time(line: note.SignatureLine) -> int:
    """Return the time of a cosignature that `_line` verified: its first eight bytes."""
    return int.from_bytes(line.signature[:8], "big")
