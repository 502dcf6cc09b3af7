"""What ties a clip to the chain of its camera's recordings: committed to at sealing, shown later by the owner alone.

At sealing the manifest gets a salted hash of the chain's newest record (model.recording.chain_commitment). It says nothing by
itself, and two clips of one camera look alike to nobody. Later the owner can hand out a proof that opens it: the links from the
first segment used to that record, and the digests of the pictures in the segments used (docs/spec/recording.md).
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.model import recording as core
from fairwitness_core.model.recording import ProofLink, RecordingProof
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters.chain import Chain, Link, genesis
from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.models import AnswerClip, AnswerPiece, Recorder
from fairwitness.home.services import answers, matching, recorders, sharing
from fairwitness.kit import config, files
from fairwitness.kit.video.worker import pictures_each

CLIPS = ("uploaded", "withdrawn")  # answers of which somebody has the manifest


@dataclass(frozen=True, slots=True)
class Shown:
    """What a proof shows, for the owner to decide on before it leaves. Times in Unix seconds UTC; `originals`: copied files."""

    file: str
    bytes: int
    segments: int
    links: int
    start: float
    end: float
    originals: tuple[str, ...]
    sentence: str


# ---------------------------------------------------------------- at sealing


def commit(clip: AnswerClip) -> str:
    """Return the clip's commitment to its camera's chain as it is now, in hex, and keep what opens it; "" without a chain.

    A chain that does not hold together is not committed to: nothing could be shown by it later.
    """
    clip.chain_salt, clip.chain = None, None
    recorder = _recorder(clip)
    if recorder is None:
        return ""
    try:
        chain = recorders.chain(recorder)
        links = chain.near(clip.started * 1000)
        first = _first(links, clip)
        if first is None:
            return ""
        before = _before(chain, links, first)
        if not _whole(links[first:], before):
            return ""
    except (ProtocolError, OSError):
        return ""
    head = links[-1]
    salt = token_bytes(32)
    clip.chain_salt = salt
    clip.chain = {
        "place": recorder.options["chain"],
        "first": links[first].number,
        "since": links[first].start,
        "before": before.hex(),
        "head": head.number,
        "record": head.record,
    }
    return core.chain_commitment(salt, bytes.fromhex(head.record))


def _recorder(clip: AnswerClip) -> Recorder | None:
    if clip.recording is None:
        return None
    return Recorder.objects.filter(source_id=clip.recording.source_id, kind__in=matching.CHAINED).first()


def _first(links: list[Link], clip: AnswerClip) -> int | None:
    """Return where the links of a clip's recordings begin, one behind the other; None where they are not what was recorded."""
    wanted: list[tuple[str, str]] = []
    for part in sharing.parts_of(clip):
        if part.recording is None:
            return None
        wanted.append((part.recording.path, part.original_sha256))
    for index, link in enumerate(links):
        if (link.path, link.sha256) == wanted[0]:
            found = [(one.path, one.sha256) for one in links[index : index + len(wanted)]]
            return index if found == wanted else None
    return None


def _before(chain: Chain, links: list[Link], first: int) -> bytes:
    """Return the record before a link. Raises ProtocolError."""
    if links[first].number == 0:
        return genesis(chain.identity())
    if first == 0 or links[first - 1].number != links[first].number - 1:
        raise ProtocolError("chain.gap", "the link before the first is not there")
    return bytes.fromhex(links[first - 1].record)


def _whole(links: list[Link], before: bytes) -> bool:
    number = links[0].number
    for offset, link in enumerate(links):
        if link.number != number + offset or not link.follows(before):
            return False
        before = bytes.fromhex(link.record)
    return True


# ---------------------------------------------------------------- when the owner decides to show it


def reveal(answer_id: int, clip: str, target: Path, originals: Path | None = None) -> Shown:
    """Write the proof of a clip (`clip-01.mp4`, or its number) to `target`; copy its untouched originals to `originals`.

    Nothing is sent. Raises Refused.
    """
    row = _sent(answer_id, clip)
    proof = _proof(row)
    data = proof.write()
    if target.exists():
        raise conflict("recording.exists", _("There is a file of this name already."))
    copied = _copy(row, originals) if originals is not None else ()
    files.write_atomic(target, data)
    start, end = proof.links[0].start, max(link.end for link in proof.links)
    return Shown(
        file=str(target),
        bytes=len(data),
        segments=len(proof.pictures),
        links=len(proof.links),
        start=start / 1000,
        end=end / 1000,
        originals=copied,
        sentence=_(
            "Whoever has this file sees when this camera recorded, from this clip's first segment until the clip was sealed, and "
            "a hash of each of those recordings. It holds no picture and no sound. Two such files of one camera show that it was "
            "the same camera."
        ),
    )


def _sent(answer_id: int, clip: str) -> AnswerClip:
    answer = answers.get(answer_id)
    name = clip if not clip.isdecimal() else f"clip-{int(clip):02}.mp4"
    row = answer.clips.filter(name=name).select_related("recording").first() if name else None
    if row is None or row.salt is None or answer.state not in CLIPS:
        raise unknown("clip")
    if row.chain_salt is None or row.chain is None:
        raise conflict("recording.none", _("This clip's recordings stand in no chain."))
    return row


def _proof(clip: AnswerClip) -> RecordingProof:
    salt, orig_salt = clip.chain_salt, clip.salt
    kept = clip.chain
    if salt is None or orig_salt is None or kept is None:
        raise RuntimeError("a clip with a commitment has its salts")
    chain = Chain(config.current(config.RoleConfig).folder("chains", str(kept["place"])))
    damaged = conflict("recording.chain", _("The chain of this camera's recordings is not what it was when the clip was sealed."))
    try:
        links = [link for link in chain.near(int(kept["since"])) if kept["first"] <= link.number <= kept["head"]]
    except (ProtocolError, OSError) as error:
        raise damaged from error
    if not links or links[-1].record != kept["record"] or not _whole(links, bytes.fromhex(str(kept["before"]))):
        raise damaged
    if len(links) > core.MAX_LINKS:
        raise conflict("recording.long", _("Too much was recorded between this clip and its sealing."))
    return RecordingProof(
        response_id=clip.answer.response_id,
        clip=clip.name,
        salt=bytes(salt).hex(),
        head=str(kept["record"]),
        before=str(kept["before"]),
        orig_salt=bytes(orig_salt).hex(),
        links=tuple(
            ProofLink(sha256=link.sha256, pictures=link.pictures, start=link.start, end=link.end, after=link.after)
            for link in links
        ),
        pictures=tuple(_pictures(part, link) for part, link in zip(sharing.parts_of(clip), links, strict=False)),
    )


def _original(part: AnswerClip | AnswerPiece) -> Path:
    path = sharing.original_of(part)
    if path is None or sharing.file_sha256(path) != part.original_sha256:
        raise conflict("recording.original", _("An untouched original of this clip is gone, or changed."))
    return path


def _pictures(part: AnswerClip | AnswerPiece, link: Link) -> bytes:
    """Return the digests of a segment's pictures, which are those that its link was made over; none where it has none."""
    path = _original(part)
    if not link.pictures:
        return b""
    ((_path, found),) = pictures_each([path])
    if found is None or found.root != link.pictures:
        raise conflict("recording.pictures", _("The pictures of an original are read otherwise than when it was recorded."))
    return found.digests


def _copy(clip: AnswerClip, folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise invalid("recording.folder", _("There is no such folder."))
    made = []
    for number, part in enumerate(sharing.parts_of(clip), 1):
        source = _original(part)
        target = folder / f"{clip.name.removesuffix('.mp4')}-original-{number:03}{source.suffix}"
        if target.exists():
            raise conflict("recording.exists", _("There is a file of this name already."))
        with files.disk_errors("originals"):
            shutil.copyfile(source, target)
        made.append(str(target))
    return tuple(made)
