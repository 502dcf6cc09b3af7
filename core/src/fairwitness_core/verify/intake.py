"""A bag's files: found, bounded, hashed, listed and complete (check 1; RFC 8493)."""

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import BinaryIO, Protocol

from fairwitness_core.verify import layout
from fairwitness_core.verify.checks import Recorder
from fairwitness_core.verify.layout import Digest
from fairwitness_core.wire.errors import ProtocolError

MAX_FILES = 100_000
MAX_CLIP = 2 << 30
MAX_LIST = 32 << 20  # the manifests, the directory
MAX_SMALL = 2 << 20  # everything else
CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,299}")
_RID = "[0-9a-f]{64}"
_KINDS = r"(dsse\.json|nonce|tlog-proof)"
_PAYLOAD = re.compile(rf"bag/data/({_RID})/(manifest\.dsse\.json|promise\.dsse\.json|sealed\.json|clip-[0-9]{{2}}\.mp4)")
_CUSTODY = re.compile(rf"bag/custody/({_RID})/([0-9]{{5}})\.{_KINDS}")
_EXPORT = re.compile(rf"seal/export-({_RID})\.{_KINDS}")
_OXUM = re.compile(r"([0-9]{1,16})\.([0-9]{1,6})")


class Files(Protocol):
    """Where evidence is read from. Names are relative, with `/`.

    `list` MUST name everything that is there, links and special files too. `open` MUST raise ProtocolError or OSError for
    what is not a plain file inside the folder, and never follow a link.
    """

    def list(self) -> Iterable[str]:
        """Name every file."""
        ...

    def open(self, name: str, /) -> BinaryIO:
        """Open one for reading."""
        ...


def _limit(name: str) -> int:
    if name.endswith(".mp4"):
        return MAX_CLIP
    return MAX_LIST if name in {layout.MANIFEST, layout.TAGMANIFEST, layout.DIRECTORY} else MAX_SMALL


def _known(name: str) -> bool:
    """Tell whether this version knows what a file of this name is: nothing unexplained rides along with evidence."""
    return (
        name in {layout.BAGIT, layout.BAG_INFO, layout.BY_HAND, layout.MANIFEST, layout.TAGMANIFEST, *layout.PROOFS}
        or name in {layout.SEAL_ENVELOPE, layout.SEAL_SUMS}
        or name.startswith("bag/certificate/")
        or any(pattern.fullmatch(name) for pattern in (_PAYLOAD, _CUSTODY, _EXPORT))
    )


class Intake:
    """The files of one bag, each read in bounded memory and never twice with different bytes.

    `names`: what is there. `digests`: of what was read whole. `responses`: ids in the payload, sorted.
    `custody`: response id to numbers of its events. `progress(bytes read so far)` is called as hashing goes.
    """

    def __init__(self, files: Files, progress: Callable[[int], None] | None = None) -> None:
        self._files = files
        self._progress = progress
        self._read = 0
        self.names: set[str] = set()
        self.digests: dict[str, Digest] = {}
        self.custody: dict[str, list[int]] = {}
        self.responses: tuple[str, ...] = ()

    def read(self, name: str) -> bytes:
        """Return a small file whole; raises ProtocolError where it is missing, too large, or changed while we read."""
        if name not in self.names:
            raise ProtocolError("bag.missing", "this file is missing", evidence=name)
        limit = _limit(name)
        try:
            with self._files.open(name) as stream:
                data = stream.read(limit + 1)
        except OSError as error:
            raise ProtocolError("bag.unreadable", "this file cannot be read", evidence=str(error)) from error
        if len(data) > limit:
            raise ProtocolError("bag.too_large", f"this file has more than {limit} bytes", evidence=name)
        digest = Digest.of(data)
        if self.digests.setdefault(name, digest) != digest:
            raise ProtocolError("bag.changing", "this file changed while it was read", evidence=name)
        return data

    def digest(self, name: str) -> Digest:
        """Return a file's digest, streaming it once; raises ProtocolError."""
        if name in self.digests:
            return self.digests[name]
        state, size, limit = hashlib.sha256(), 0, _limit(name)
        try:
            with self._files.open(name) as stream:
                while piece := stream.read(CHUNK):
                    state.update(piece)
                    size += len(piece)
                    self._read += len(piece)
                    if size > limit:
                        raise ProtocolError("bag.too_large", f"this file has more than {limit} bytes", evidence=name)
                    if self._progress:
                        self._progress(self._read)
        except OSError as error:
            raise ProtocolError("bag.unreadable", "this file cannot be read", evidence=str(error)) from error
        self.digests[name] = Digest(state.hexdigest(), size)
        return self.digests[name]

    def check(self, check: Recorder) -> None:
        """Check 1: structure and completeness.

        Without a problem on return:
        1. every name is plain, none differs from another by case only, and each file is of a kind that this version knows;
        2. the bag is BagIt 1.0, fetches nothing, and no required file is missing;
        3. each file that a manifest lists is there with that hash, and each file that is there is listed;
        4. the same holds for the files beside the bag, and the payload's size is as bag-info.txt says.
        """
        # 1.
        self._names(check)
        # 2.
        required = (layout.BAGIT, layout.BAG_INFO, layout.MANIFEST, layout.TAGMANIFEST, layout.BY_HAND, *layout.PROOFS)
        for name in (*required, layout.SEAL_ENVELOPE, layout.SEAL_SUMS):
            check.demand(name in self.names, name, "bag.missing", "this file is missing")
        if layout.BAGIT in self.names and self._bytes(check, layout.BAGIT) != layout.BAGIT_TXT:
            check.problem(layout.BAGIT, "bag.version", "this is not the declaration of a BagIt 1.0 bag in UTF-8")
        if not self.responses:
            check.problem("bag/data", "bag.empty", "the bag holds no response")
        # 3.
        payload = {name for name in self.names if name.startswith("bag/data/")}
        beside = {name for name in self.names if name.startswith("seal/")} - {layout.SEAL_SUMS}
        tags = self.names - payload - beside - {layout.TAGMANIFEST, layout.SEAL_SUMS}
        self._listed(check, layout.MANIFEST, layout.BAG, payload)
        self._listed(check, layout.TAGMANIFEST, layout.BAG, tags)
        # 4.
        self._listed(check, layout.SEAL_SUMS, layout.SEAL, beside)
        self._oxum(check, payload)
        size = sum(self.digests[name].size for name in payload if name in self.digests)
        check.detail = f"All {len(self.names)} files are there and unchanged, none was added; the payload has {size} bytes."

    def _names(self, check: Recorder) -> None:
        folded: dict[str, str] = {}
        responses: set[str] = set()
        for count, name in enumerate(self._files.list(), 1):
            if count > MAX_FILES:
                raise ProtocolError("bag.too_many", f"there are more than {MAX_FILES} files")
            if not _NAME.fullmatch(name) or any(piece in {"", ".", ".."} for piece in name.split("/")):
                check.problem(name, "bag.name", "this name is not plain, or leaves its folder")
                continue
            other = folded.setdefault(name.casefold(), name)
            if other != name or name in self.names:
                check.problem(name, "bag.case", f"this name differs from {other} at most by case")
                continue
            self.names.add(name)
            if name == "bag/fetch.txt":
                check.problem(name, "bag.fetch", "evidence is whole: nothing may be fetched from elsewhere")
            elif not _known(name):
                check.problem(name, "bag.unlisted", "this file does not belong here")
            elif match := _PAYLOAD.fullmatch(name):
                responses.add(match[1])
            elif (match := _CUSTODY.fullmatch(name)) and match[3] == "dsse.json":
                self.custody.setdefault(match[1], []).append(int(match[2]))
        self.responses = tuple(sorted(responses))

    def _bytes(self, check: Recorder, name: str) -> bytes | None:
        try:
            return self.read(name)
        except ProtocolError as error:
            check.refuse(name, error)
            return None

    def _listed(self, check: Recorder, manifest: str, base: str, present: set[str]) -> None:
        if manifest not in self.names:
            return
        data = self._bytes(check, manifest)
        if data is None:
            return
        try:
            listed = {f"{base}/{name}": digest for name, digest in layout.parse_sums(data).items()}
        except ProtocolError as error:
            check.refuse(manifest, error)
            return
        for name in sorted(present - set(listed)):
            check.problem(name, "bag.unlisted", f"this file is not listed in {manifest}")
        for name, expected in listed.items():
            if name not in self.names:
                check.problem(name, "bag.missing", f"this file is missing; {manifest} lists it")
                continue
            if name not in present:
                check.problem(name, "bag.listed_wrongly", f"{manifest} lists this file, which belongs to another list")
                continue
            try:
                found = self.digest(name).sha256
            except ProtocolError as error:
                check.refuse(name, error)
                continue
            text = f"this file was changed: its SHA-256 is {found}, {manifest} says {expected}"
            check.demand(found == expected, name, "bag.hash", text)

    def _oxum(self, check: Recorder, payload: set[str]) -> None:
        data = self._bytes(check, layout.BAG_INFO) if layout.BAG_INFO in self.names else None
        if data is None:
            return
        lines = data.decode("utf-8", "replace").splitlines()
        values = [line.partition(": ")[2] for line in lines if line.startswith("Payload-Oxum: ")]
        match = _OXUM.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            check.problem(layout.BAG_INFO, "bag.oxum", "there is no single Payload-Oxum line")
            return
        size = sum(self.digests[name].size for name in payload if name in self.digests)
        same = (int(match[1]), int(match[2])) == (size, len(payload))
        check.demand(same, layout.BAG_INFO, "bag.oxum", f"the payload has {size} bytes in {len(payload)} files, not {values[0]}")
