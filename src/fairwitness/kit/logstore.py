"""The files of one transparency log: one writer that never loses what it acknowledged, any number of readers.

A log's folder holds

    leaves    the truth: batches of entries, appended, one sync each
    hashes    every node of the tree in the order of completion, 32 bytes each; derived from leaves
    offsets   where each entry stands in leaves, 8 bytes each; derived from leaves
    mark      how far hashes and offsets are known to be on disk; beyond it they are made again from leaves at open
    log       origin and key, so that a folder is never continued under another name
    lock      held by the one writer
    public/   what is served: checkpoint and tile/..., laid out as C2SP tlog-tiles says

Trust: whoever can write `leaves` can rewrite the log, but not without every witness and monitor seeing it. Whoever can
write the derived files can make this process serve proofs that fail; nothing else.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint as heads
from fairwitness_core.tlog import merkle, note, proof, tiles
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import durable, files

_HEADER = struct.Struct(">4sQIII")  # magic, index of the first entry, entries, bytes of payload, CRC-32 of these
_MAGIC = b"FWL1"
_CRC = struct.Struct(">I")
_MARK_EVERY = 1 << 16  # entries; bounds the work of the next open
_FLUSH_BYTES = 1 << 18
_CHUNK = 1024  # entries read at once
_MAX_BATCH_BYTES = 1 << 28

# Linux keeps what reads need (the length) durable with fdatasync too; elsewhere there may be only fsync.
_SYNC_NAME = "fdatasync" if hasattr(os, "fdatasync") else "fsync"


class LogError(Exception):
    """A log's files cannot do what was asked; the message says why and what to do."""


class LogLockedError(LogError):
    """Another writer has this log open."""


class LogDamagedError(LogError):
    """The files contradict themselves or a published checkpoint. Nothing was changed; restore from a mirror."""


class LogWriteError(LogError):
    """A write failed. `stored` is False where nothing was kept, None where only the next open can tell."""

    def __init__(self, message: str, *, stored: bool | None) -> None:
        super().__init__(message)
        self.stored = stored


class LogReader:
    """Entries and proofs of a log, for any process. Sizes up to the served checkpoint's are safe to ask for.

    Raises LookupError for entries and sizes that are not there.
    """

    def __init__(self, directory: Path, vkey: note.VerifierKey) -> None:
        self.directory = directory
        self.public = directory / "public"
        self.vkey = vkey
        self.origin = vkey.name
        self._fds: dict[str, int] = {}
        self._tail: tuple[int, bytearray] = (1 << 62, bytearray())
        self._offsets_tail: tuple[int, bytearray] = (1 << 62, bytearray())
        self._served: tuple[bytes, note.Note, heads.Checkpoint] | None = None

    @classmethod
    def open(cls, directory: Path, origin: str, vkey: note.VerifierKey) -> "LogReader":
        """Open the log in `directory` for reading; raises LogError if it is not the log of `origin` and `vkey`."""
        _check_identity(directory, origin, vkey)
        reader = cls(directory, vkey)
        reader._open_files(os.O_RDONLY)
        return reader

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the files go."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    @property
    def size(self) -> int:
        """Number of entries that can be read."""
        cosigned = self.cosigned
        return cosigned.size if cosigned else 0

    @property
    def cosigned(self) -> heads.Checkpoint | None:
        """The served checkpoint, its log's signature verified; None before the first."""
        served = self._read_served()
        return served[2] if served else None

    @property
    def cosigned_note(self) -> note.Note | None:
        """The served checkpoint with all its signatures."""
        served = self._read_served()
        return served[1] if served else None

    def entry(self, index: int) -> bytes:
        """Return entry `index`."""
        return self.entries(index, index + 1)[0]

    def entries(self, begin: int, end: int) -> list[bytes]:
        """Return the entries `[begin, end)`."""
        if not 0 <= begin <= end <= self.size:
            raise LookupError(f"the log has no entries {begin} to {end}")
        found: list[bytes] = []
        for at in range(begin, end, _CHUNK):
            found += self._read_entries(at, min(end, at + _CHUNK))
        return found

    def root_at(self, size: int) -> bytes:
        """Return the root of the first `size` entries."""
        self._check_size(size)
        return merkle.tree_root(size, self._node)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the audit path of entry `index` in the tree of `size` entries."""
        self._check_size(size)
        if not 0 <= index < size:
            raise LookupError(f"there is no entry {index} among {size}")
        return merkle.inclusion(index, size, self._node)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof from `old` to `new` entries; from 0 it is empty (tlog-witness)."""
        self._check_size(new)
        if not 0 <= old <= new:
            raise LookupError(f"there is no proof from {old} to {new}")
        return merkle.consistency(old, new, self._node) if old else []

    def proof(self, index: int) -> bytes:
        """Return the tlog-proof of entry `index` under the served checkpoint; LookupError while it is not covered."""
        served = self._read_served()
        if served is None or not 0 <= index < served[2].size:
            raise LookupError(f"entry {index} is not under a cosigned checkpoint yet")
        path = tuple(merkle.inclusion(index, served[2].size, self._node))
        return proof.TlogProof(index, path, served[1]).encode()

    def _open_files(self, flags: int) -> None:
        try:
            for name in ("leaves", "hashes", "offsets"):
                self._fds[name] = os.open(self.directory / name, flags | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self.close()
            raise LogError(f"cannot open the log in {self.directory}: {error}") from error

    def _read_served(self) -> tuple[bytes, note.Note, heads.Checkpoint] | None:
        try:
            raw = (self.public / "checkpoint").read_bytes()
        except FileNotFoundError:
            return None
        known = self._served
        if known is None or known[0] != raw:
            try:
                signed = note.Note.parse(raw)
                known = (raw, signed, heads.verify(signed, self.vkey))
            except ProtocolError as error:
                raise LogDamagedError(f"the served checkpoint of {self.origin} is not its own: {error}") from error
            self._served = known
        return known

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise LookupError(f"the log has not {size} entries")

    def _node(self, level: int, index: int) -> bytes:
        position = merkle.stored_position(level, index) * 32
        start, tail = self._tail
        if position >= start:
            data = bytes(tail[position - start : position - start + 32])
        else:
            data = os.pread(self._fds["hashes"], 32, position)
        if len(data) != 32:
            raise LogDamagedError(f"the hash file of {self.origin} is too short; open the log to make it again")
        return data

    def _read_offsets(self, begin: int, end: int) -> Sequence[int]:
        start, tail = self._offsets_tail
        first, last = begin * 8, end * 8
        data = os.pread(self._fds["offsets"], max(0, min(last, start) - first), first)
        if last > start:
            data += tail[max(0, first - start) : last - start]
        if len(data) != last - first:
            raise LogDamagedError(f"the offset file of {self.origin} is too short; open the log to make it again")
        return struct.unpack(f">{end - begin}Q", data)

    def _read_entries(self, begin: int, end: int) -> list[bytes]:
        if begin == end:
            return []
        places = self._read_offsets(begin, end)
        base = places[0]
        data = durable.pread_all(self._fds["leaves"], places[-1] - base + 2, base)
        last = int.from_bytes(data[-2:], "big") if len(data) >= 2 else 0
        data += durable.pread_all(self._fds["leaves"], last, places[-1] + 2)
        found = []
        for place in places:
            at = place - base + 2
            entry = data[at : at + int.from_bytes(data[at - 2 : at], "big")]
            found.append(entry)
        if len(data) != places[-1] - base + 2 + last:
            raise LogDamagedError(f"the leaves file of {self.origin} ends inside an entry")
        return found

    def _tile(self, path: tiles.TilePath) -> bytes:
        begin = path.n * tiles.WIDTH
        if path.level is None:
            return tiles.encode_bundle(self._read_entries(begin, begin + path.width))
        if path.level:
            return b"".join(self._node(8 * path.level, begin + k) for k in range(path.width))
        # The leaves of one tile lie within 511 hashes that follow each other.
        base = merkle.stored_position(0, begin)
        span = merkle.stored_position(0, begin + path.width - 1) - base + 1
        data = durable.pread_all(self._fds["hashes"], span * 32, base * 32)
        at = [32 * (2 * k - k.bit_count()) for k in range(path.width)]
        tile = b"".join(data[place : place + 32] for place in at)
        if len(tile) != path.width * 32:
            raise LogDamagedError(f"the hash file of {self.origin} is too short; open the log to make it again")
        return tile


class LogStore(LogReader):
    """The one writer of a log. What `append` returned is on disk; what `publish` returned is served for good."""

    def __init__(self, directory: Path, vkey: note.VerifierKey, key: SigningKey | None) -> None:
        super().__init__(directory, vkey)
        self._key = key
        self._edge = merkle.Frontier()
        self._end = 0  # bytes of leaves that are acknowledged
        self._marked = 0
        self._broken = ""
        self._guard = threading.RLock()
        self.dropped = 0  # bytes of an unacknowledged batch that the last crash left and this open removed

    @classmethod
    def open(cls, directory: Path, origin: str, key: SigningKey) -> Self:  # type: ignore[override]
        """Open or begin the log `origin` in `directory` as its only writer.

        Finishes what a crash interrupted. Raises LogLockedError, LogDamagedError or LogError (another log's folder).
        """
        return cls._start(directory, note.VerifierKey(origin, note.ED25519, key.public), key)

    @classmethod
    def _start(cls, directory: Path, vkey: note.VerifierKey, key: SigningKey | None) -> Self:
        store = cls(directory, vkey, key)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            store._fds["lock"] = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(store._fds["lock"], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LogLockedError(f"another process writes the log in {directory}") from error
            if not (directory / "log").exists():
                if (directory / "leaves").exists():
                    raise LogDamagedError(f"{directory} holds entries but not whose: `log` is missing")  # noqa: TRY301
                durable.replace(directory / "log", f"{vkey.name}\n{vkey.encode()}\n".encode())
                files.sync_folder(directory)
            _check_identity(directory, vkey.name, vkey)
            store._open_files(os.O_RDWR | os.O_CREAT)
            store.public.mkdir(exist_ok=True)
            files.sync_folder(directory)
            store._recover()
        except OSError as error:
            store.close(mark=False)
            raise LogError(f"cannot open the log in {directory}: {error}") from error
        except BaseException:
            store.close(mark=False)
            raise
        return store

    def close(self, *, mark: bool = True) -> None:
        """Write the mark, so that the next open is quick, and let the lock go."""
        with self._guard:
            if mark and not self._broken and len(self._fds) == 4:
                with contextlib.suppress(OSError):
                    self._write_mark()
            super().close()

    @property
    def size(self) -> int:
        """Number of entries that are durable."""
        return self._edge.size

    def root(self) -> bytes:
        """Return the root of all entries."""
        return self._edge.root()

    def signed_checkpoint(self) -> bytes:
        """Return the note of the log as it stands, signed by the log alone; only a cosigned one is ever served."""
        if self._key is None:
            raise LogError("this store was opened without the log's key")
        with self._guard:
            head = heads.Checkpoint(self.origin, self.size, self.root())
        return heads.sign(head, self._key).encode()

    def append(self, entries: Sequence[bytes]) -> range:
        """Append `entries` as one batch, all or nothing; on return they are durable. Returns their indexes.

        Raises ValueError for an entry over 65,535 bytes or a batch over 256 MiB, and LogWriteError: with `stored` False
        nothing was kept and the store goes on; with None the disk failed to say, and the store refuses until it is
        opened again, when the batch is either there whole or not at all.
        """
        with self._guard:
            if self._broken:
                raise LogWriteError(self._broken, stored=False)
            first = self._edge.size
            if not entries:
                return range(first, first)
            payload = tiles.encode_bundle(entries)
            if len(payload) > _MAX_BATCH_BYTES:
                raise ValueError(f"a batch has at most {_MAX_BATCH_BYTES} bytes")
            edge = self._edge.copy()
            done = edge.extend(entries)
            frame = _frame(first, len(entries), payload)
            # 1. The batch goes behind the last one. A crash here leaves a torn frame, which the next open removes.
            try:
                durable.pwrite_all(self._fds["leaves"], frame, self._end)
            except OSError as error:
                self._take_back(error)
            # 2. After this sync it is acknowledged. If the sync fails, the kernel may have dropped the pages and call
            #    them clean: no later sync can be believed, so the store stops.
            try:
                getattr(os, _SYNC_NAME)(self._fds["leaves"])
            except OSError as error:
                self._broken = "an earlier sync of the log failed; open it again to see what was kept"
                raise LogWriteError(f"the disk did not confirm a batch: {error}", stored=None) from error
            # 3. Everything else is derived, and can wait.
            self._note_offsets(entries, self._end + _HEADER.size)
            self._tail[1].extend(b"".join(done))
            self._end += len(frame)
            self._edge = edge
            if len(self._tail[1]) >= _FLUSH_BYTES or edge.size - self._marked >= _MARK_EVERY:
                # The batch is safe whatever happens here; what could not be written stays in memory for the next try.
                with contextlib.suppress(OSError):
                    self._flush()
                    if edge.size - self._marked >= _MARK_EVERY:
                        self._write_mark()
            return range(first, edge.size)

    def publish(self, cosigned: bytes) -> None:
        """Serve the checkpoint note `cosigned` and the tiles of its tree; on return both are durable.

        The caller has verified the cosignatures against its policy. On return:
        1. this log signed the note, and its root is that of this log's entries;
        2. the served checkpoint is at least as large as before; for an equal size the known cosignatures are kept and
           those given are added, a repeated one only if it is newer;
        3. every tile of the checkpoint's tree is there to fetch.
        Raises ProtocolError for a note that breaks 1 or 2, LogWriteError if the disk fails (the old one is then served).
        """
        with self._guard:
            # 1.
            signed = note.Note.parse(cosigned)
            head = heads.verify(signed, self.vkey)
            if head.size > self.size or head.root != self.root_at(head.size):
                raise ProtocolError("log.foreign", "the checkpoint is not of this log's entries", evidence=signed.text)
            # 2.
            before = self._read_served()
            served = before[2].size if before else 0
            if before and head.size < served:
                raise ProtocolError("log.backward", f"a checkpoint of {served} entries is already served")
            if before and head.size == served:
                signed = _merge(before[1], signed)
            # 3.
            try:
                self._flush()
                self._write_mark()
                self._write_tiles(served, head.size)
                durable.replace(self.public / "checkpoint", signed.encode())
                files.sync_folder(self.public)
            except OSError as error:
                raise LogWriteError(f"cannot publish a checkpoint: {error}", stored=None) from error
            self._prune(served, head.size)

    def _take_back(self, error: OSError) -> None:
        try:
            os.ftruncate(self._fds["leaves"], self._end)
            getattr(os, _SYNC_NAME)(self._fds["leaves"])
        except OSError as second:
            self._broken = "a write to the log failed and could not be taken back; open it again"
            raise LogWriteError(f"cannot write to the log: {error}; then: {second}", stored=None) from error
        raise LogWriteError(f"cannot write to the log, nothing was kept: {error}", stored=False) from error

    def _note_offsets(self, entries: Sequence[bytes], place: int) -> None:
        places = []
        for entry in entries:
            places.append(place)
            place += 2 + len(entry)
        self._offsets_tail[1].extend(struct.pack(f">{len(places)}Q", *places))

    def _flush(self) -> None:
        # The tuples are replaced whole, so that a reader in another thread sees the old tail or the new file.
        for name, attribute in (("hashes", "_tail"), ("offsets", "_offsets_tail")):
            start, tail = getattr(self, attribute)
            if tail:
                durable.pwrite_all(self._fds[name], tail, start)
                setattr(self, attribute, (start + len(tail), bytearray()))

    def _write_mark(self) -> None:
        if self._marked == self.size:
            return
        self._flush()
        for name in ("hashes", "offsets"):
            getattr(os, _SYNC_NAME)(self._fds[name])
        body = f"fairwitness mark 1\n{self.size}\n{self._end}\n{self.root().hex()}\n"
        durable.replace(self.directory / "mark", f"{body}{sha256(body.encode()).hexdigest()}\n".encode())
        files.sync_folder(self.directory)
        self._marked = self.size

    def _write_tiles(self, old: int, new: int) -> None:
        touched: set[Path] = {self.public}

        def targets() -> Iterator[tuple[Path, bytes]]:
            for path in tiles.tiles_for(old, new):
                target = self.public / path.encode()
                if target.parent not in touched:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    touched.update(parent for parent in target.parents if parent.is_relative_to(self.public))
                yield target, self._tile(path)

        durable.replace_all(targets())
        if len(touched) > 1:
            for directory in sorted(touched):
                files.sync_folder(directory)
            files.sync_folder(self.directory)

    def _prune(self, old: int, new: int) -> None:
        # tlog-tiles lets partial tiles go once the full one is served; one left over is harmless.
        for path in tiles.tiles_for(old, new):
            if path.width == tiles.WIDTH:
                shutil.rmtree(self.public / f"{path.encode()}.p", ignore_errors=True)

    def _recover(self) -> None:
        """Bring memory and derived files in line with leaves.

        1. Go on from the mark if leaves and derived files agree with it, else from the beginning.
        2. Read every whole batch behind it; make its hashes and offsets.
        3. Refuse, nothing changed, if these entries are not those of the mark or of the checkpoint that is served.
        4. Remove a torn batch at the very end; what is broken and cannot be one was refused in 2.
        5. Write the last batch again and sync: an earlier sync may have failed without the page cache knowing.
        """
        # 1.
        marked = self._read_mark()
        size, end, _ = marked or (0, 0, b"")
        leaves = os.fstat(self._fds["leaves"]).st_size
        if leaves < end:
            raise LogDamagedError(f"{self.directory} lost entries: {leaves} bytes of leaves where {end} were durable")
        if marked and not self._resume(marked):
            size, end = 0, 0
            self._edge = merkle.Frontier()
        self._marked = size
        self._end = end
        self._tail = (merkle.stored_count(size) * 32, bytearray())
        self._offsets_tail = (size * 8, bytearray())
        # 2.
        last: tuple[int, bytes] | None = None
        for place, frame, entries in self._frames(end, leaves):
            last = (place, frame)
            self._tail[1].extend(b"".join(self._edge.extend(entries)))
            self._note_offsets(entries, place + _HEADER.size)
            self._end = place + len(frame)
            if len(self._tail[1]) >= _FLUSH_BYTES:
                self._flush()
            if marked and self.size == marked[0] and (self._end, self.root()) != marked[1:]:
                raise LogDamagedError(f"the leaves in {self.directory} are not those that were marked durable")
        if self._end < end or (marked and self.size < marked[0]):
            raise LogDamagedError(f"the leaves in {self.directory} end before the mark; refill from a mirror")
        # 3.
        served = self._read_served()
        if served and (served[2].size > self.size or served[2].root != self.root_at(served[2].size)):
            raise LogDamagedError(
                f"the log in {self.directory} has {self.size} entries that are not those of its served checkpoint of "
                f"{served[2].size}; refill it from a mirror"
            )
        # 4.
        if self._end < leaves:
            self.dropped = leaves - self._end
            os.ftruncate(self._fds["leaves"], self._end)
        # 5.
        if last:
            durable.pwrite_all(self._fds["leaves"], last[1], last[0])
        if last or self.dropped:
            os.fsync(self._fds["leaves"])
        self._flush()

    def _frames(self, at: int, end: int) -> Iterator[tuple[int, bytes, Sequence[bytes]]]:
        """Yield place, bytes and entries of each whole batch; stop at a torn one, raise LogDamagedError at other faults."""
        damaged = LogDamagedError(f"the leaves in {self.directory} are damaged at byte {at}; refill from a mirror")
        while at < end:
            header = durable.pread_all(self._fds["leaves"], min(_HEADER.size, end - at), at)
            if len(header) < _HEADER.size or not any(header):
                return
            magic, first, count, length, check = _HEADER.unpack(header)
            if magic != _MAGIC or check != zlib.crc32(header[:-4]) or first != self.size:
                raise damaged
            size = _HEADER.size + length + _CRC.size
            if at + size > end:
                return
            frame = durable.pread_all(self._fds["leaves"], size, at)
            payload = frame[_HEADER.size : -_CRC.size]
            if frame[-_CRC.size :] != _CRC.pack(zlib.crc32(payload)):
                if at + size == end:
                    return
                raise damaged
            try:
                entries = tiles.parse_bundle(payload, count)
            except ProtocolError as error:
                raise damaged from error
            yield at, frame, entries
            at += size
            damaged = LogDamagedError(f"the leaves in {self.directory} are damaged at byte {at}; refill from a mirror")

    def _read_mark(self) -> tuple[int, int, bytes] | None:
        try:
            body, _, rest = (self.directory / "mark").read_bytes().rpartition(b"\n")[0].rpartition(b"\n")
        except FileNotFoundError:
            return None
        if sha256(body + b"\n").hexdigest().encode() != rest:
            return None
        lines = body.decode().split("\n")
        if lines[0] != "fairwitness mark 1":
            raise LogError(f"the log in {self.directory} was written by a newer version")
        return int(lines[1]), int(lines[2]), bytes.fromhex(lines[3])

    def _resume(self, marked: tuple[int, int, bytes]) -> bool:
        """Tell whether the derived files reach the mark, give its root, and agree with the last tile's leaves."""
        size, _, root = marked
        try:
            edge = merkle.Frontier.at(size, self._node)
            if edge.root() != root:
                return False
            begin = max(0, size - 1) // tiles.WIDTH * tiles.WIDTH
            for index, entry in enumerate(self._read_entries(begin, size), begin):
                if merkle.leaf_hash(entry) != self._node(0, index):
                    return False
        except LogDamagedError:
            return False
        self._edge = edge
        return True


def refill(directory: Path, fetch: tiles.Fetch, *, checkpoint: bytes, log: note.VerifierKey) -> int:
    """Make the log's folder anew from published bundles (any mirror); returns the number of entries.

    The entries are taken only if their root is that of the note `checkpoint`, signed by `log`; nothing appears in
    `directory`, which must not exist or be empty, before that is so. Raises ProtocolError (what was fetched is not the
    log), LogError, or what `fetch` raises.
    """
    head = heads.verify(note.Note.parse(checkpoint), log)
    if directory.exists() and any(directory.iterdir()):
        raise LogError(f"{directory} is not empty; move it away first")
    work = directory.with_name(f"{directory.name}.refill")
    shutil.rmtree(work, ignore_errors=True)
    store = LogStore._start(work, log, None)  # noqa: SLF001 - the only other maker of stores, in the same module
    try:
        for n in range(-(-head.size // tiles.WIDTH)):
            width = min(tiles.WIDTH, head.size - n * tiles.WIDTH)
            store.append(tiles.parse_bundle(tiles.fetch_tile(fetch, None, n, width), width))
        if store.root() != head.root:
            raise ProtocolError("refill.root", "the entries are not those of the checkpoint")  # noqa: TRY301
        store.publish(checkpoint)
    except BaseException:
        store.close(mark=False)
        shutil.rmtree(work, ignore_errors=True)
        raise
    store.close()
    durable.rename(work, directory)
    files.sync_folder(directory.parent)
    return head.size


def _frame(first: int, count: int, payload: bytes) -> bytes:
    head = _HEADER.pack(_MAGIC, first, count, len(payload), 0)[:-4]
    return b"".join((head, _CRC.pack(zlib.crc32(head)), payload, _CRC.pack(zlib.crc32(payload))))


def _merge(old: note.Note, new: note.Note) -> note.Note:
    known = {(line.name, line.key_id): line for line in old.signatures}
    fresh = []
    for line in new.signatures:
        held = known.get((line.name, line.key_id))
        # A cosignature begins with its time, so the later of two of one key is the greater; a log's own are equal.
        if held is None or line.signature > held.signature:
            fresh.append(line)
    return old.with_signatures(*fresh)


def _check_identity(directory: Path, origin: str, vkey: note.VerifierKey) -> None:
    if origin != vkey.name:
        raise LogError(f"the key is named {vkey.name}, not {origin}")
    try:
        held = (directory / "log").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise LogError(f"{directory} holds no log") from error
    if held != f"{vkey.name}\n{vkey.encode()}\n":
        raise LogError(f"{directory} holds another log: {held.partition(chr(10))[0]}, or one of another key")
