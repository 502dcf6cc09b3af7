"""From ciphertext on the spool to evidence under its own key: the checks that a response must pass.

Nothing here writes plaintext to a disk. What fails is quarantined by the collector, still sealed.
"""

import base64
import errno
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairwitness_core.crypto import seal
from fairwitness_core.crypto.segments import SUFFIX, SegmentWriter, which_opens
from fairwitness_core.model.document import kind_of
from fairwitness_core.model.response import Clip, Manifest, StepForward, verify_responder
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import Request
from fairwitness.agency.services import node, requests, vault
from fairwitness.kit import files

MANIFEST = "manifest.dsse.json"
_SLOWEST = 1 << 20  # bytes a second that opening, sealing and decoding are given time for
_LEAST_SECONDS = 300


class IntakeFailed(Exception):
    """The checking itself broke down (crash, time, memory); says nothing about the response. Try again later."""


@dataclass(frozen=True, slots=True)
class Intake:
    """A response that passed: what it answers, and its key. Its files lie in `folder`, sealed to `identity`, not yet placed.

    `about` is set on a step-forward: the response whose owner it names. `until`: end of consent. `mode`: with a name or without.
    """

    request: Request
    manifest: bytes
    clips: tuple[Clip, ...]
    identity: str
    folder: Path
    until: int | None
    about: str = ""
    mode: str = ""


def owner_of(spool: Path) -> tuple[Request, str]:
    """Return the request, and its age identity, that a sealed file is addressed to.

    Raises ProtocolError for what is no sealed file, `intake.no_key` where no key of ours opens its first bytes.
    """
    known = requests.keys()
    with spool.open("rb") as stream:
        found = which_opens([identity for _, identity in known], stream)
    if found is None:
        raise ProtocolError(
            "intake.no_key", "no key of ours opens it, or it was changed", hint="its request's key may be destroyed already"
        )
    return next(entry for entry in known if entry[1] == found)


def take(spool: Path, response_id: str, request: Request, identity: str) -> Intake:
    """Open a response and check all of it.

    On return: 1. what the worker promises: whole frames, right hashes, clean boxes, clips that decode, each re-sealed to one
    fresh key; 2. the manifest is signed by the response key whose hash is the response's id; 3. it names the request whose
    key opened it; 4. it lists exactly the clips that came, by name, hash and size; 5. it is of a mode that the request
    offers; 6. manifest and clips are durable in a folder that the caller places. Raises ProtocolError, IntakeFailed, OSError.
    """
    own, recipient = seal.new_identity()
    folder = node.settings().folder("evidence") / f".{response_id}.new"
    node.remove_folder(folder)
    files.private_dir(folder)
    try:
        # 1.
        result = _work({"sealed": str(spool), "identity": identity, "own": own, "folder": str(folder)}, spool)
        envelope = base64.b64decode(result["manifest"])
        # 2. to 5.
        clips, until, about, mode = _read(envelope, response_id, request, result["clips"])
        # 6.
        files.write_atomic(folder / f"{MANIFEST}{SUFFIX}", _sealed(envelope, recipient))
    except BaseException:
        node.remove_folder(folder)
        raise
    return Intake(request, envelope, clips, own, folder, until, about, mode)


def place(intake: Intake, response_id: str) -> None:
    """Put a response's key and folder where evidence lies; durable, and harmless to repeat after a crash."""
    node.put_secret(node.key_file("responses", response_id), intake.identity.encode())
    vault.place(intake.folder, response_id)


def clear_leftovers() -> None:
    """Remove what an interrupted intake left: unfinished folders that nothing names."""
    for entry in node.settings().folder("evidence").glob(".*.new"):
        shutil.rmtree(entry)


def _sealed(envelope: bytes, recipient: str) -> bytes:
    sink = io.BytesIO()
    segments = SegmentWriter(sink, [recipient])
    segments.write(envelope)
    segments.close()
    return sink.getvalue()


def _read(
    envelope: bytes, response_id: str, request: Request, came: list[dict[str, Any]]
) -> tuple[tuple[Clip, ...], int | None, str, str]:
    payload = dsse.Envelope.parse(envelope).payload
    if kind_of(canonical.decode(payload))[0] == StepForward.TYPE:
        # An owner makes themselves known: signed by the key of the answer that it speaks of (design.md 9.6).
        known = verify_responder(StepForward, envelope)
        if known.request_id != request.id or came:
            raise ProtocolError("intake.step_forward", "a step-forward names this request and brings no clip")
        return (), None, known.response_id, "identified"
    manifest = verify_responder(Manifest, envelope)
    if manifest.response_id != response_id:
        raise ProtocolError("intake.response_id", "the manifest is of another response", evidence=manifest.response_id)
    if manifest.request_id != request.id:
        raise ProtocolError("intake.request", "the manifest names another request than its key", evidence=manifest.request_id)
    named = [{"name": clip.name, "sha256": clip.sha256, "size": clip.bytes} for clip in manifest.clips]
    if named != came:
        raise ProtocolError("intake.clips", "the clips that came are not those that the owner signed for")
    if manifest.mode not in requests.document_of(request).modes:
        raise ProtocolError("intake.mode", "the request did not offer this mode", evidence=manifest.mode)
    return manifest.clips, manifest.consent.until, "", manifest.mode


def _work(job: dict[str, str], spool: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "fairwitness.agency.worker"]
    seconds = max(_LEAST_SECONDS, spool.stat().st_size // _SLOWEST)
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command,
            input=json.dumps(job).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        result: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise IntakeFailed(type(error).__name__) from error
    if "error" in result:
        found = result["error"]
        raise ProtocolError(found["code"], found["message"], evidence=found["evidence"])
    if "failed" in result:
        code = int(result["failed"]["errno"])
        if code in (errno.ENOSPC, errno.EDQUOT):
            raise files.DiskFull(code, "no space left to store evidence; free some space, nothing was lost")
        raise IntakeFailed(str(result["failed"]["what"]))
    return result
