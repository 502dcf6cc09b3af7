"""Bringing files in from a browser."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from fairwitness.home.config import Config
from fairwitness.home.services import cameras
from fairwitness.kit import config
from fairwitness.kit.accounts import gate


@gate.require("owner")
@never_cache
@ensure_csrf_cookie
@require_safe
def upload_page(request: HttpRequest) -> HttpResponseBase:
    """Bring files in from this browser."""
    cfg = config.current(Config)
    settings = {"url": reverse("home:upload_list"), "largest": cfg.clip_max_mib << 20, "words": _words()}
    return render(request, "home/upload.html", {"cameras": cameras.listing(), "settings": settings})


def _words() -> dict[str, str]:
    """Return the sentences that the page's script says; `{x}` is filled in there."""
    return {
        "waiting": _("Waiting"),
        "sending": _("Sending"),
        "paused": _("Paused"),
        "checking": _("Looking into it"),
        "refused": _("Not kept"),
        "duplicate": _("Here already"),
        "ask": _("When was this?"),
        "done": _("Ready"),
        "stopped": _("Stopped here"),
        "progress": _("{done} of {size}"),
        "left": _("{time} left"),
        "pause": _("Pause"),
        "resume": _("Go on"),
        "again": _("Choose the file again"),
        "delete": _("Delete"),
        "delete_name": _("Delete {name}"),
        "delete_sure": _("Delete “{name}” from your home node? What you shared already stays shared."),
        "delete_yes": _("Yes, delete"),
        "keep": _("Keep"),
        "offline": _("No connection to your home node. It goes on by itself when the connection is back."),
        "again_hint": _("The page was closed while this was sent. Choose the same file again and it goes on where it stopped."),
        "other_file": _("This is another file. Choose “{name}” ({size})."),
        "too_large": _("“{name}” is too large: {size}. At most {most}."),
        "empty": _("“{name}” is empty."),
        "signed_out": _("Your session has ended. Pair this browser again, then come back: nothing is lost."),
        "failed": _("Your home node gave an answer that is not understood. Try again in a moment."),
        "camera_name": _("Give the new camera a name."),
        "camera_added": _("{name} was added. Choose its videos now."),
        "from_name": _("The file's name says"),
        "from_container": _("Inside the file it says"),
        "utc_claim": _("said to be UTC; some cameras write their own wall clock there"),
        "wall_clock": _("the camera's wall clock, it seems"),
        "use": _("Use this"),
        "use_time": _("Use this: {time}"),
        "nothing_found": _("Neither the file's name nor the file itself says when it was recorded."),
        "begins": _("It begins at"),
        "in_zone": _("Time zone"),
        "utc": _("That is {time} UTC."),
        "never": _("No clock in this zone showed that: clocks went forward."),
        "twice": _("Clocks went back in this hour. Which of the two was it?"),
        "first": _("The first: {time} UTC"),
        "second": _("The second: {time} UTC"),
        "confirm": _("Yes, it began then"),
        "change": _("Change the time"),
        "recorded": _("Recorded {begin} to {end}"),
        "length": _("{time} long"),
        "asked_one": _("A request near this camera asks about this time."),
        "asked_many": _("{count} requests near this camera ask about this time."),
        "asked_none": _("No request asks about this time."),
        "no_place": _("Where this camera stands is not known yet, so no request can be matched."),
        "deleted": _("{name} was deleted."),
        "is_paused": _("{name} is paused."),
        "is_done": _("{name} is ready."),
        "needs_time": _("{name} has arrived. Say when it was recorded."),
    }
