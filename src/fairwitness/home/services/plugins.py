"""Plug-ins: programs of others that fetch from a vendor. Each is run only by its owner's express wish, knowing what it tells."""

import functools
import json
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _

from fairwitness.home.adapters import plugin
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.chain import Chain
from fairwitness.home.config import Config
from fairwitness.home.errors import invalid, unreachable
from fairwitness.home.models import Recorder
from fairwitness.home.services import cameras
from fairwitness.kit import config, secrets_store

SIGN_IN_S = 120.0


def told(vendor: str) -> tuple[str, ...]:
    """Return what an owner accepts with --understood."""
    return (
        _("%(vendor)s learns each time that this home fetches, and of which hours.") % {"vendor": vendor},
        _("Who compares that with the public requests learns that your camera may have seen what one of them asks about."),
        _("The plug-in uses an interface that the vendor does not offer for this. It may stop working on any day."),
        _("The plug-in runs as this home's user and could read whatever this home can. Install only one that you trust."),
    )


def add(
    camera_id: int,
    program: str,
    *,
    user: str,
    password: str,
    code: str = "",
    device: str = "",
    understood: bool = False,
    keep_days: int = 14,
    keep_bytes: int = 0,
) -> Recorder:
    """Sign in by a plug-in and fetch by it what requests ask about. `device`: the vendor's id of the camera, "" = the only one.

    Raises Refused: `plugin.understood` with what has to be understood, `plugin.device` with the cameras to choose from, 502 with
    the plug-in's own code.
    """
    cameras.get(camera_id)
    if any(len(value) > 500 or not value.isprintable() for value in (user, password, code)):
        raise invalid("recorder.secret", _("A user and a password are plain text of at most 500 characters."))
    held: list[str] = []
    root = config.current(Config).folder("run")
    try:
        with plugin.running(Path(program), held.append, root, SIGN_IN_S) as (child, _scratch):
            about = child.hello()
            if not understood:
                raise invalid("plugin.understood", "\n".join(told(about.vendor)), _("Run the same with --understood to agree."))
            child.ask("sign_in", user=user, password=password, code=code)
            devices = child.devices()
    except SourceProblem as error:
        raise unreachable(f"plugin.{error.code}", plugin.explain(error.code)) from error
    if not held:
        raise unreachable("plugin.answer", plugin.explain("answer"))
    chosen = [one for one in devices if device in ("", one.id)]
    if len(chosen) != 1:
        listed = "; ".join(f"{one.id} = {one.name}" for one in devices) or _("none")
        raise invalid("plugin.device", _("Say which of the vendor's cameras this is, with --device."), listed)
    from fairwitness.home.services import recorders  # noqa: PLC0415 - it asks this module for its adapters

    with transaction.atomic():
        row = recorders.add_row(
            "plugin",
            camera_id,
            program,
            secret={"user": "", "password": ""},
            options={"device": chosen[0].id, "name": about.name, "version": about.version, "vendor": about.vendor},
            folder="",
            keep_days=keep_days,
            keep_bytes=keep_bytes,
        )
        keep(row.pk, held[-1])
    row.refresh_from_db()
    return row


def keep(recorder_id: int, secret: str) -> None:
    """Store what a plug-in handed back, wrapped."""
    wrapped = secrets_store.wrap(json.dumps({"plugin": secret}).encode())
    Recorder.objects.filter(pk=recorder_id).update(secret=wrapped)


def adapter(row: Recorder, folder: Path, chain: Chain) -> plugin.PluginAdapter:
    """Return the adapter of a recorder of kind `plugin`. Raises ProtocolError when its secret is another node's."""
    secret = str(json.loads(secrets_store.unwrap(bytes(row.secret)))["plugin"])
    return plugin.PluginAdapter(
        folder, chain, Path(row.address), str(row.options["device"]), secret, functools.partial(keep, row.pk)
    )
