"""Where sealed evidence and quarantined ciphertext lie: folders of this node, or the S3 bucket of `[blobs]`.

In folders a response appears by one rename and is overwritten before it is unlinked. In a bucket its files are written one
by one before any row names them, and what no row names is removed by the next round of the collector.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fairwitness.agency.services import node
from fairwitness.kit import blobs, files
from fairwitness.kit.blobs import BlobStore

_MOST = 1 << 33  # bytes of one sealed file: a response has at most half of this


def _bucket(area: str) -> BlobStore | None:
    return blobs.store_of(node.settings(), area) if node.settings().blobs.url else None


def place(folder: Path, response_id: str) -> None:
    """Put the finished files of `folder` where a response's evidence lies; durable, and harmless to repeat after a crash."""
    bucket = _bucket("evidence")
    if bucket is None:
        target = node.evidence_folder(response_id)
        node.remove_folder(target)
        folder.rename(target)
        files.sync_folder(target.parent)
        return
    drop(response_id)  # a crash may have left files of another key
    for entry in sorted(folder.iterdir()):
        with entry.open("rb") as stream:
            bucket.put(f"{response_id}/{entry.name}", blobs.chunks_of(stream), max_bytes=_MOST)
    node.remove_folder(folder)


def open_file(response_id: str, name: str) -> BinaryIO:
    """Open one sealed file of a response's evidence, seekable. Raises FileNotFoundError or BlobMissing."""
    bucket = _bucket("evidence")
    if bucket is None:
        return (node.evidence_folder(response_id) / name).open("rb")
    return bucket.open(f"{response_id}/{name}")


def held() -> Iterator[str]:
    """Yield the id of every response of which sealed files lie here."""
    bucket = _bucket("evidence")
    if bucket is None:
        yield from (entry.name for entry in node.settings().folder("evidence").iterdir())
    else:
        yield from sorted({name.split("/")[0] for name in (*bucket.names(), *bucket.unfinished())})


def drop(response_id: str) -> None:
    """Remove a response's sealed files; nothing happens where there are none."""
    bucket = _bucket("evidence")
    if bucket is None:
        node.remove_folder(node.evidence_folder(response_id))
        return
    for name in {*bucket.names(response_id), *bucket.unfinished(response_id)}:
        bucket.delete(name)


def quarantine(spool: Path, response_id: str) -> None:
    """Move a ciphertext from the spool to where it is kept unopened; durable, and harmless to repeat after a crash."""
    bucket = _bucket("quarantine")
    if not spool.exists():
        return
    if bucket is None:
        target = quarantine_file(response_id)
        spool.replace(target)
        files.sync_folder(target.parent)
    else:
        with spool.open("rb") as stream:
            bucket.put(response_id, blobs.chunks_of(stream), max_bytes=_MOST)
        spool.unlink()
    files.sync_folder(spool.parent)


def open_quarantined(response_id: str) -> BinaryIO:
    """Open a ciphertext in quarantine, as it came. Raises FileNotFoundError or BlobMissing."""
    bucket = _bucket("quarantine")
    return quarantine_file(response_id).open("rb") if bucket is None else bucket.open(response_id)


def quarantine_file(response_id: str) -> Path:
    """Return where a quarantined ciphertext lies on this node."""
    return node.settings().folder("quarantine") / f"{response_id}.age"


def destroy(response_id: str) -> None:
    """Destroy all sealed files of a response. Its key is gone before: in a bucket nothing can be overwritten."""
    kept = _bucket("quarantine")
    if kept is not None:
        drop(response_id)
        kept.delete(response_id)
        return
    node.remove_folder(node.evidence_folder(response_id), node.shred)
    node.shred(quarantine_file(response_id))
