"""What a witness does: cosign a log's new head if it extends the last one (C2SP tlog-witness)."""

from dataclasses import dataclass
from pathlib import Path

from fairwitness_core.tlog import checkpoint, cosignature, merkle, note
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.witness.config import Config, init, load, trust
from fairwitness.witness.store import HeadStore

__all__ = [
    "MAX_BODY",
    "Answer",
    "add_checkpoint",
    "conflicts",
    "init",
    "load",
    "logs_page",
    "open_store",
    "trust",
]

MAX_BODY = 1 << 18
PLAIN = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, content type, body."""

    status: int
    content_type: str
    body: bytes


def open_store(config: Config) -> HeadStore:
    """Return the heads of the witness."""
    return HeadStore(config.directory, config.vkey)


def add_checkpoint(store: HeadStore, config: Config, body: bytes, now: int) -> Answer:
    """Answer one add-checkpoint request at `now` (Unix seconds, UTC).

    A cosignature (200) is given only when:
    1. the body is well formed (400);
    2. its checkpoint is of a log that is followed (404);
    3. a trusted key of that log signed it, and the signature is true (403);
    4. the old size is not over the new one (400);
    5. the old size is that of the head cosigned last, 0 before the first (409 with that size);
    6. a head of the same size has the same root (409; both heads are kept as evidence);
    7. the proof leads from the old head to the new one, and is empty from 0 (422);
    8. the new head is on disk, with no other request between 5 and here.
    Raises OSError or WitnessError when the folder fails; nothing is cosigned then.
    """
    # 1.
    try:
        request = cosignature.parse_add_checkpoint(body)
        head = checkpoint.Checkpoint.parse(request.signed.text)
    except ProtocolError as error:
        return _refusal(400, error)
    # 2.
    keys = config.logs.get(head.origin)
    if not keys:
        return Answer(404, PLAIN, b"this witness does not follow that log\n")
    # 3.
    try:
        if not any([request.signed.verified_by(key) for key in keys]):  # noqa: C419 - each key's line is to be checked
            return Answer(403, PLAIN, b"no trusted key of the log signed this checkpoint\n")
    except ProtocolError as error:
        return _refusal(403, error)
    # 4.
    if request.old_size > head.size:
        return Answer(400, PLAIN, b"the old size is over the checkpoint's\n")
    with store.locked():
        # 5.
        held = store.head(head.origin)
        size = held.size if held else 0
        if request.old_size != size:
            return _conflict(size)
        # 6.
        if held and held.size == head.size and held.root != head.root:
            store.keep_conflict(held, request.signed)
            return _conflict(size)
        # 7.
        try:
            if held and held.size:
                merkle.verify_consistency(held.size, held.root, head.size, head.root, request.path)
            elif request.path:
                raise ProtocolError("witness.path", "from size 0 the proof is empty")  # noqa: TRY301
        except ProtocolError as error:
            return _refusal(422, error)
        # 8. Only the lines that were verified are kept: a stranger's could make the head too long to read back.
        line = cosignature.cosign(request.signed.text, config.name, config.key, now)
        trusted = {(key.name, key.key_id) for key in keys}
        signers = tuple(item for item in request.signed.signatures if (item.name, item.key_id) in trusted)
        store.keep(head.origin, note.Note(request.signed.text, (*signers, line)))
    return Answer(200, PLAIN, note.encode_signature_lines([line]))


def logs_page(store: HeadStore, config: Config) -> bytes:
    """Return one line a followed log: origin, size and base64 root cosigned last (size 0 and `-` before the first)."""
    lines = []
    for origin in sorted(config.logs):
        held = store.head(origin)
        lines.append(f"{origin} {held.size} {note.encode_base64(held.root)}" if held else f"{origin} 0 -")
    return "".join(f"{line}\n" for line in lines).encode()


def conflicts(directory: Path) -> list[bytes]:
    """Return the pairs of signed heads of one size that this witness was shown: each proves a fork."""
    folder = directory / "conflicts"
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.exists() else []


def _conflict(size: int) -> Answer:
    return Answer(409, SIZE, f"{size}\n".encode())


def _refusal(status: int, error: ProtocolError) -> Answer:
    return Answer(status, PLAIN, f"{error.code}: {error.message}\n".encode())
