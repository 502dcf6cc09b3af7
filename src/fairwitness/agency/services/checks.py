"""What was checked about a response, in words: what each check means, whether it holds, and the numbers behind it.

Nothing here decides anything: intake refused what fails (`intake.take`), the gate proves each opening (`evidence.use`). This
tells what those found, and says where we rely on somebody else's word.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from fairwitness_core.model.response import Clip, Manifest, StepForward

from fairwitness.agency.models import Response
from fairwitness.agency.services import requests

type Words = str | Promise

TIME_SOURCES: dict[str, Words] = {
    "camera": gettext_lazy("the camera's own clock"),
    "container": gettext_lazy("the recording's own stamp"),
    "file_name": gettext_lazy("the recording's file name"),
    "owner": gettext_lazy("what its owner says"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `state`: ok, failed, waiting, told (we rely on another's word) or absent (nothing to check).

    `facts`: name and value pairs; a number under `at` is a time.
    """

    name: str
    title: Words
    state: str
    words: Words
    facts: tuple[tuple[Words, str | int], ...] = ()


def of(response: Response, manifest: Manifest | StepForward | None = None) -> list[Check]:
    """Return the checks of a response; those that need the opened manifest only where it is given."""
    if response.state == "quarantined":
        return [_seal(response), _promise(response), _custody(response)]
    found = [_signature(response), _seal(response), _clips(response), _token(), _promise(response)]
    if isinstance(manifest, Manifest):
        found += [_times(response, manifest), _recording(manifest)]
    return [*found, _custody(response)]


def _signature(response: Response) -> Check:
    return Check(
        "signature",
        _("Signed by whoever answered"),
        "ok" if response.manifest_sha256 else "absent",
        _(
            "The cover sheet carries the signature of a key made for this answer alone. The answer's number is that key's "
            "fingerprint, so nobody else, this agency included, could have written or changed it. It does not say who that is."
        ),
        ((_("Answer"), response.id), (_("Cover sheet, SHA-256"), response.manifest_sha256)),
    )


def _seal(response: Response) -> Check:
    opened = response.state != "quarantined"
    words = (
        _("It arrived sealed to this request's key, byte for byte what the hub had promised to keep, and was whole when opened.")
        if opened
        else _("It arrived byte for byte what the hub had promised to keep. It lies here as it came, and nobody has opened it.")
    )
    return Check(
        "seal",
        _("Sealed on the way"),
        "ok",
        words,
        (
            (_("Sealed file, SHA-256"), response.sealed),
            (_("Size in bytes"), str(response.size)),
            (_("Collected"), response.collected_at),
        ),
    )


def _clips(response: Response) -> Check:
    clips = list(response.clips.all())
    if not clips:
        return Check("clips", _("Clips"), "absent", _("This answer came without video."))
    return Check(
        "clips",
        _("Clips are those that were signed for"),
        "ok",
        _(
            "Each clip's fingerprint is the one in the signed cover sheet; each plays; none holds more than pictures and sound. "
            "Each lies sealed under a key of its own for this answer."
        ),
        tuple((clip.name, clip.sha256) for clip in clips),
    )


def _token() -> Check:
    return Check(
        "token",
        _("One household, one answer"),
        "told",
        _(
            "The hub takes an answer only against an unused token that it gave to a household blindly. That keeps one household "
            "from answering many times, without anyone knowing which it is. We take the hub's word for this check."
        ),
    )


def _promise(response: Response) -> Check:
    day = f"{response.inbox_day[:4]}-{response.inbox_day[4:6]}-{response.inbox_day[6:]}"
    return Check(
        "promise",
        _("Promised in the public log"),
        "told",
        _(
            "The hub's daily entry in the public log counts this answer among those it promised to keep. The day's report "
            "compares that entry with what arrived here, so that none can be lost unnoticed."
        ),
        (
            (_("Day (UTC)"), day),
            (_("Tick"), str(response.tick)),
        ),
    )


def _times(response: Response, manifest: Manifest) -> Check:
    if not manifest.clips or response.request is None:
        return Check("times", _("Times"), "absent", _("There is no clip whose time could be compared."))
    asked = requests.document_of(response.request)
    inside = [clip.start < asked.to and clip.end > asked.from_ for clip in manifest.clips]
    sources = sorted({str(TIME_SOURCES[clip.time_source]) for clip in manifest.clips})
    words = (
        _("Every clip lies in the time that was asked about. The times come from: %(sources)s.")
        if all(inside)
        else _("At least one clip lies outside the time that was asked about. The times come from: %(sources)s.")
    )
    facts: list[tuple[Words, str | int]] = [(_("Asked from"), asked.from_), (_("Asked to"), asked.to)]
    for clip in manifest.clips:
        facts += [(_("%(clip)s from") % {"clip": clip.name}, clip.start), (_("%(clip)s to") % {"clip": clip.name}, clip.end)]
    return Check("times", _("Times"), "ok" if all(inside) else "failed", words % {"sources": ", ".join(sources)}, tuple(facts))


def _recording(manifest: Manifest) -> Check:
    bound = [clip for clip in manifest.clips if clip.chain_commit]
    changed = [clip for clip in manifest.clips if clip.transcoded]
    if not manifest.clips:
        return Check("recording", _("The untouched recording"), "absent", _("This answer came without video."))
    words = _(
        "Each clip is tied to the untouched recording at its owner's home by a sealed fingerprint. The recording stays there; "
        "its owner can show later that this is the one."
    )
    if bound:
        words += " " + ngettext(
            "%(n)s clip is also tied to the camera's unbroken record of all its recordings.",
            "%(n)s clips are also tied to the camera's unbroken record of all its recordings.",
            len(bound),
        ) % {"n": len(bound)}
    if changed:
        words += " " + ngettext(
            "The pictures of %(n)s clip were converted at home before they were sealed.",
            "The pictures of %(n)s clips were converted at home before they were sealed.",
            len(changed),
        ) % {"n": len(changed)}
    return Check("recording", _("The untouched recording"), "told", words, tuple(_bindings(manifest.clips)))


def _bindings(clips: tuple[Clip, ...]) -> list[tuple[Words, str]]:
    found: list[tuple[Words, str]] = []
    for clip in clips:
        found.append((_("%(clip)s, recording") % {"clip": clip.name}, clip.orig_commit))
        if clip.chain_commit:
            found.append((_("%(clip)s, record of the camera") % {"clip": clip.name}, clip.chain_commit))
    return found


def _custody(response: Response) -> Check:
    links = list(response.custody.values_list("state", flat=True))
    waiting = sum(state != "proven" for state in links)
    words = (
        _("Every act on it since it arrived is signed and stands in the sealed ledger, which independent witnesses watch.")
        if not waiting
        else ngettext(
            "%(n)s act still waits for its place in the sealed ledger; until then nothing that it would allow is done.",
            "%(n)s acts still wait for their place in the sealed ledger; until then nothing that they would allow is done.",
            waiting,
        )
        % {"n": waiting}
    )
    return Check(
        "custody",
        _("Custody without a gap"),
        "waiting" if waiting else "ok",
        words,
        ((_("Acts on record"), str(len(links))), (_("Proven"), str(len(links) - waiting))),
    )
