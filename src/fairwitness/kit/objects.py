"""Single objects of a bucket, by path below its prefix: for copies of whole stores and for what is published.

Where sealed bytes are kept, `blobs_s3` decides what an object means; here an object is bytes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import obstore
from obstore import exceptions as faults
from obstore.store import S3Store

from fairwitness.kit.blobs import BlobError, BlobExists, BlobMissing, BlobsUnavailable


class Bucket:
    """The bucket of `client`. `conditional`: the server knows If-None-Match. Where the server fails: BlobsUnavailable."""

    def __init__(self, client: S3Store, *, conditional: bool = True) -> None:
        self._client = client
        self._conditional = conditional

    def paths(self, under: str = "") -> Iterator[tuple[str, int]]:
        """Yield path and size in bytes of every object below the folder `under`."""
        try:
            for page in obstore.list(self._client, under.rstrip("/") or None):
                for entry in page:
                    yield entry["path"], entry["size"]
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def get(self, path: str, most: int) -> bytes:
        """Return an object of at most `most` bytes; raises BlobMissing, BlobError."""
        try:
            found = obstore.get(self._client, path)
            if found.meta["size"] > most:
                raise BlobError("the bucket holds an object that this program did not write")
            return bytes(found.bytes())
        except (FileNotFoundError, faults.NotFoundError):
            raise BlobMissing("there is no such object") from None
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def create(self, path: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Store an object that is not there yet; the same bytes again succeed. Raises BlobExists, and nothing is changed."""
        try:
            if not self._conditional:
                self._must_be_absent(path)
            mode: Any = "create" if self._conditional else "overwrite"
            obstore.put(self._client, path, data, mode=mode, use_multipart=False, attributes=dict(headers or {}))
        except faults.AlreadyExistsError:
            if self.get(path, len(data) + 1) != data:
                raise BlobExists("this name holds other bytes") from None
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def replace(self, path: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Store an object, whatever was there."""
        try:
            obstore.put(self._client, path, data, mode="overwrite", use_multipart=False, attributes=dict(headers or {}))
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def delete(self, path: str) -> None:
        """Remove an object, if it is there."""
        try:
            obstore.delete(self._client, path)
        except (FileNotFoundError, faults.NotFoundError):
            return
        except faults.BaseError as error:
            raise BlobsUnavailable(error) from None

    def _must_be_absent(self, path: str) -> None:
        try:
            obstore.head(self._client, path)
        except (FileNotFoundError, faults.NotFoundError):
            return
        raise faults.AlreadyExistsError(path)
