"""A BlobStore in a bucket of an S3 server.

A blob is an *index* object, which lists its *pieces* in order with size and SHA-256 of the whole, and those pieces: objects
of at most a few MiB, each one atomic PUT. It exists when its index does. So a blob of any size is written with bounded
memory, appears in one step, and joining uploaded parts copies nothing; and nothing depends on unfinished multipart uploads,
which S3 keeps out of sight and bills for. Layout under the prefix:

    index/<name>                        JSON, written once
    part/<steps>/<name>/000001          a part that `put_part` stored, a piece once it is joined
    piece/<steps>/<name>/<draw>/000001  a piece of one try of `put`

(`<steps>` is the number of steps of the name, so that no name's folder lies in another's.)

Every PUT carries `If-None-Match: *`, so that no name is written twice whoever races (RFC 9110, 13.1.2; S3's conditional
writes). A server that does not know it is refused at the start, or asked first with `write_once = "client"`.
Object lock is not used: ciphertext must go when its owner takes it back. For the same reason a bucket that keeps old
versions is refused.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import secrets
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import obstore
from obstore import exceptions as faults
from obstore.store import S3Store

from fairwitness.kit import config, files, foreign
from fairwitness.kit.blobs import (
    MAX_PARTS,
    BadName,
    BlobError,
    BlobExists,
    BlobMissing,
    BlobsUnavailable,
    BlobTooLarge,
    Stored,
    check_name,
)
from fairwitness.kit.config import BlobsConfig, ConfigError

PIECE = 8 << 20
"""Bytes of one piece; a part is held in memory whole, so it may not be longer than MAX_PART."""
MAX_PART = 64 << 20
_BUFFER = 1 << 20
_MOST_INDEX = 16 << 20
_CREDENTIALS = {"access_key_id", "secret_access_key", "session_token"}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class _Piece:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class _Index:
    size: int
    sha256: bytes
    pieces: tuple[_Piece, ...]

    def encode(self) -> bytes:
        rows = [[piece.path, piece.size] for piece in self.pieces]
        return json.dumps({"v": 1, "size": self.size, "sha256": self.sha256.hex(), "pieces": rows}).encode()

    @classmethod
    def parse(cls, data: bytes) -> "_Index":
        try:
            value = foreign.json_value(data)
            pieces = tuple(_Piece(path, size) for path, size in value["pieces"])
            found = cls(value["size"], bytes.fromhex(value["sha256"]), pieces)
        except (ValueError, KeyError, TypeError) as error:
            raise BlobError("the bucket holds an index that this program did not write") from error
        sizes = (found.size, *(piece.size for piece in pieces))
        if not all(type(size) is int and size >= 0 for size in sizes) or not all(type(piece.path) is str for piece in pieces):
            raise BlobError("the bucket holds an index that this program did not write")
        if value.get("v") != 1 or sum(piece.size for piece in pieces) != found.size:
            raise BlobError("the bucket holds an index of a newer version, or a damaged one")
        return found


def store_of(cfg: config.RoleConfig, area: str) -> "S3Blobs":
    """Return the store of `[blobs]` for one kind of blobs, checked once a process. Raises ConfigError, UnsafeMode."""
    return _open(cfg.blobs, cfg.file(*Path(cfg.blobs.credentials).parts), area)


@functools.lru_cache(maxsize=8)
def _open(settings: BlobsConfig, credentials: Path, area: str) -> "S3Blobs":
    found = S3Blobs(client_of(settings, credentials), area, conditional=settings.write_once == "server")
    found.check()
    return found


def client_of(settings: BlobsConfig, credentials: Path) -> S3Store:
    """Return the client of the bucket; raises ConfigError, UnsafeMode, OSError. Reads nothing from the environment."""
    parts = urlsplit(settings.url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError("blobs.url must look like s3://bucket/prefix")
    endpoint = urlsplit(settings.endpoint)
    plain = endpoint.scheme == "http"
    if settings.endpoint and (endpoint.scheme not in ("https", "http") or not endpoint.hostname or endpoint.username):
        raise ConfigError("blobs.endpoint must look like https://host:port")
    if plain and endpoint.hostname not in _LOOPBACK:
        raise ConfigError("blobs.endpoint: a server on another machine needs https")
    prefix = parts.path.strip("/")
    if prefix:
        check_name(prefix)
    options: dict[str, Any] = {
        "region": settings.region,
        "conditional_put": "etag" if settings.write_once == "server" else "disabled",
        "virtual_hosted_style_request": settings.virtual_host,
        **_credentials(credentials),
    }
    if settings.endpoint:
        options["endpoint"] = settings.endpoint
    # The client would fill in whatever is not said from AWS_*: another server, or somebody else's token.
    for name in [name for name in os.environ if name.upper().startswith("AWS_")]:
        del os.environ[name]
    return S3Store(
        parts.netloc,
        prefix=prefix or None,
        config=options,  # type: ignore[arg-type]  # a mapping made here
        client_options={"allow_http": plain, "timeout": timedelta(seconds=settings.timeout_seconds)},
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=settings.timeout_seconds)},
    )


def _credentials(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(files.read_secret(path).decode())
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: it holds access_key_id and secret_access_key (mode 0600)") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigError(f"{path} is no TOML file") from None
    unknown = set(values) - _CREDENTIALS
    wanted = {"access_key_id", "secret_access_key"} - set(values)
    if unknown or wanted or not all(isinstance(value, str) for value in values.values()):
        raise ConfigError(f"{path} must hold access_key_id, secret_access_key and nothing else but session_token")
    return dict(values)


def areas(client: S3Store) -> list[str]:
    """Return the kinds of blobs of which the bucket has any objects, sorted. Raises BlobsUnavailable."""
    try:
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in obstore.list_with_delimiter(client)["common_prefixes"])
    except faults.BaseError as error:
        raise BlobsUnavailable(error) from None


class S3Blobs:
    """See the module, and BlobStore for each method's promise. Where the server fails: BlobsUnavailable."""

    def __init__(self, client: S3Store, area: str, *, conditional: bool = True) -> None:
        self._client = client
        self._area = check_name(area)
        self._conditional = conditional

    def check(self) -> None:
        """Try what everything rests on; raises ConfigError where the server does not offer it, BlobsUnavailable."""
        probe = f"{self._area}/probe/{secrets.token_hex(12)}"
        try:
            made = self._create(probe, b"1")
            if made.get("version"):
                raise ConfigError("the bucket keeps old versions: what is deleted would stay. Switch versioning off")
            try:
                self._create(probe, b"2")
            except faults.AlreadyExistsError:
                return
            raise ConfigError(
                "the S3 server overwrites in spite of If-None-Match: use one that does not, "
                'or set write_once = "client" under [blobs] and let nothing else write to the bucket'
            )
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None
        finally:
            self._remove([probe])

    def put(self, name: str, chunks: Iterable[bytes], *, max_bytes: int) -> Stored:
        """Store a new blob; see BlobStore.put."""
        draw = f"{self._area}/piece/{_flat(name)}/{secrets.token_hex(12)}"
        pieces: list[_Piece] = []
        digest = hashlib.sha256()
        try:
            for number, data in enumerate(_pieces(chunks, digest, max_bytes), 1):
                pieces.append(_Piece(f"{draw}/{number:06d}", len(data)))
                with contextlib.suppress(BlobExists):  # of a path drawn for this try alone: its answer was lost
                    self._call_create(pieces[-1].path, data)
            index = _Index(sum(piece.size for piece in pieces), digest.digest(), tuple(pieces))
            return self._name(name, index)
        except BaseException:
            # An answer that was lost may hide that the index was written: then the pieces are the blob's.
            if not self._uses(name, pieces):
                self._remove([piece.path for piece in pieces])
            raise

    def put_part(self, name: str, number: int, chunks: Iterable[bytes], *, max_bytes: int) -> Stored:
        """Store one part; see BlobStore.put_part. Raises BlobTooLarge for one of more than MAX_PART bytes, too."""
        if not 1 <= number <= MAX_PARTS:
            raise BadName(f"a part's number is between 1 and {MAX_PARTS}")
        path = self._part(name, number)
        data = bytearray()
        for chunk in chunks:
            data += chunk
            if len(data) > min(max_bytes, MAX_PART):
                raise BlobTooLarge(f"more than {min(max_bytes, MAX_PART)} bytes came")
        stored = Stored(len(data), hashlib.sha256(data).digest())
        try:
            self._call_create(path, bytes(data))
        except BlobExists:
            held = self._get(path)
            if (len(held), hashlib.sha256(held).digest()) != (stored.size, stored.sha256):
                raise
        return stored

    def parts(self, name: str) -> dict[int, int]:
        """Return the stored parts' numbers and sizes in bytes; none once they are joined."""
        folder = self._part_folder(name)
        if self.exists(name):
            return {}
        found = {path.rsplit("/", 1)[1]: size for path, size in self._list(folder)}
        return {int(number): size for number, size in sorted(found.items()) if number.isdigit()}

    def join(self, name: str, count: int, *, max_bytes: int) -> Stored:
        """Make parts 1..count one blob; see BlobStore.join."""
        known = self._index(name)
        if known is not None:
            return Stored(known.size, known.sha256)
        found = self.parts(name)
        missing = [number for number in range(1, count + 1) if number not in found]
        if missing or len(found) != count:
            raise BlobMissing(f"expected parts 1 to {count}, {len(missing)} of them are missing and {len(found)} are here")
        if sum(found.values()) > max_bytes:
            raise BlobTooLarge(f"the parts have more than {max_bytes} bytes")
        digest = hashlib.sha256()
        pieces = []
        for number in range(1, count + 1):
            data = self._get(self._part(name, number))
            digest.update(data)
            pieces.append(_Piece(self._part(name, number), len(data)))
        return self._name(name, _Index(sum(piece.size for piece in pieces), digest.digest(), tuple(pieces)))

    def open(self, name: str) -> BinaryIO:
        """Open a blob for reading; raises BlobMissing."""
        return io.BufferedReader(_Reader(self, self._known(name)), _BUFFER)

    def size(self, name: str) -> int:
        """Return the size in bytes; raises BlobMissing."""
        return self._known(name).size

    def exists(self, name: str) -> bool:
        """Tell whether the blob is stored."""
        return self._index(name) is not None

    def delete(self, name: str) -> bool:
        """Remove the blob and its parts, the index first."""
        flat = _flat(name)
        index = f"{self._area}/index/{name}"
        rest = [path for kind in ("part", "piece") for path, _ in self._list(f"{self._area}/{kind}/{flat}")]
        there = self._index(name) is not None
        self._remove([index], quiet=False)
        self._remove(rest, quiet=False)
        return there or bool(rest)

    def drop_parts(self, name: str) -> bool:  # noqa: ARG002 - the Protocol's form
        """Remove nothing: a joined blob is its parts."""
        return False

    def names(self, under: str = "") -> Iterator[str]:
        """Yield the names of all blobs, sorted; see BlobStore.names."""
        start = f"{self._area}/index/"
        folder = start + (check_name(under) if under else "")
        yield from sorted(path.removeprefix(start) for path, _ in self._list(folder))

    def unfinished(self, under: str = "") -> Iterator[str]:
        """Yield the names of blobs of which parts, or pieces of a try that was cut off, are stored without an index."""
        found = set()
        for kind in ("part", "piece"):
            start = f"{self._area}/{kind}/"
            found |= {_name_in(path.removeprefix(start)) for path, _ in self._list(start)}
        done = set(self.names())
        yield from sorted(name for name in found - done if not under or name.startswith(f"{under}/"))

    def anatomy(self, name: str) -> tuple[Stored, str, tuple[tuple[str, int], ...]] | None:
        """Return what a blob is, its index's path, and path and size of each piece in order; None where there is no such blob."""
        found = self._index(name)
        if found is None:
            return None
        pieces = tuple((piece.path, piece.size) for piece in found.pieces)
        return Stored(found.size, found.sha256), f"{self._area}/index/{name}", pieces

    def part_paths(self) -> Iterator[str]:
        """Yield the path of every part that is stored, joined or not."""
        yield from (path for path, _ in self._list(f"{self._area}/part/"))

    def free(self) -> int | None:
        """Return None: a bucket has no end that it tells."""
        return None

    def read(self, piece: _Piece, start: int, length: int) -> bytes:
        """Return `length` bytes of a piece from `start`; raises BlobMissing."""
        try:
            return bytes(obstore.get_range(self._client, piece.path, start=start, length=length))
        except (FileNotFoundError, faults.NotFoundError):
            raise BlobMissing("the blob was removed while it was read") from None
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def _name(self, name: str, index: _Index) -> Stored:
        """Write the index, which makes the blob; the same bytes again succeed, and the pieces of this try go."""
        stored = Stored(index.size, index.sha256)
        try:
            self._call_create(f"{self._area}/index/{name}", index.encode())
        except BlobExists:
            held = self._known(name)
            if (held.size, held.sha256) != (stored.size, stored.sha256):
                raise
            kept = {piece.path for piece in held.pieces}
            self._remove([piece.path for piece in index.pieces if piece.path not in kept])
        return stored

    def _uses(self, name: str, pieces: list[_Piece]) -> bool:
        if not pieces:
            return False
        try:
            held = self._index(name)
        except BlobError:
            return True  # not known: leave them, `unfinished` names them if nothing uses them
        return held is not None and pieces[0] in held.pieces

    def _index(self, name: str) -> _Index | None:
        path = f"{self._area}/index/{check_name(name)}"
        try:
            return _Index.parse(self._get(path, _MOST_INDEX))
        except BlobMissing:
            return None

    def _known(self, name: str) -> _Index:
        found = self._index(name)
        if found is None:
            raise BlobMissing("there is no such blob")
        return found

    def _part_folder(self, name: str) -> str:
        return f"{self._area}/part/{_flat(name)}"

    def _part(self, name: str, number: int) -> str:
        return f"{self._part_folder(name)}/{number:06d}"

    def _get(self, path: str, most: int = MAX_PART) -> bytes:
        try:
            found = obstore.get(self._client, path)
            if found.meta["size"] > most:
                raise BlobError("the bucket holds an object that this program did not write")
            return bytes(found.bytes())
        except (FileNotFoundError, faults.NotFoundError):
            raise BlobMissing("there is no such object") from None
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def _create(self, path: str, data: bytes) -> Mapping[str, Any]:
        """PUT an object that must not exist. In `client` mode somebody may come between the two calls: see the docs."""
        if not self._conditional:
            try:
                obstore.head(self._client, path)
            except (FileNotFoundError, faults.NotFoundError):
                return obstore.put(self._client, path, data, mode="overwrite", use_multipart=False)
            raise faults.AlreadyExistsError(path)
        return obstore.put(self._client, path, data, mode="create", use_multipart=False)

    def _call_create(self, path: str, data: bytes) -> None:
        try:
            self._create(path, data)
        except faults.AlreadyExistsError:
            raise BlobExists("this name holds other bytes") from None
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def _list(self, folder: str) -> Iterator[tuple[str, int]]:
        try:
            for page in obstore.list(self._client, folder.rstrip("/")):
                for entry in page:
                    yield entry["path"], entry["size"]
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def _remove(self, paths: list[str], *, quiet: bool = True) -> None:
        """Remove objects one by one (bulk deletion is not on every server); `quiet`: what stays is found by a sweep."""
        for path in paths:
            try:
                obstore.delete(self._client, path)
            except (FileNotFoundError, faults.NotFoundError):
                continue
            except faults.BaseError as error:
                if not quiet:
                    raise BlobsUnavailable(error) from None


class _Reader(io.RawIOBase):
    """Reads a blob's pieces as one seekable stream, fetching ranges."""

    def __init__(self, store: S3Blobs, index: _Index) -> None:
        super().__init__()
        self._store = store
        self._index = index
        self._at = 0
        self._starts = []
        place = 0
        for piece in index.pieces:
            self._starts.append(place)
            place += piece.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._index.size}[whence]
        if base + offset < 0:
            raise ValueError("there is nothing before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self._at >= self._index.size or not len(view):
            return 0
        number = self._piece_at(self._at)
        piece = self._index.pieces[number]
        start = self._at - self._starts[number]
        data = self._store.read(piece, start, min(len(view), piece.size - start))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _piece_at(self, place: int) -> int:
        low, high = 0, len(self._starts) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._starts[middle] <= place:
                low = middle
            else:
                high = middle - 1
        return low


def _pieces(chunks: Iterable[bytes], digest: "hashlib._Hash", most: int) -> Iterator[bytes]:
    """Cut what comes into pieces, counting and hashing it; raises BlobTooLarge."""
    buffer = bytearray()
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise BlobTooLarge(f"more than {most} bytes came")
        digest.update(chunk)
        buffer += chunk
        while len(buffer) >= PIECE:
            yield bytes(buffer[:PIECE])
            del buffer[:PIECE]
    if buffer:
        yield bytes(buffer)


def _flat(name: str) -> str:
    return f"{check_name(name).count('/') + 1}/{name}"


def _name_in(path: str) -> str:
    steps, _, rest = path.partition("/")
    return "/".join(rest.split("/")[: int(steps)]) if steps.isdecimal() else path
