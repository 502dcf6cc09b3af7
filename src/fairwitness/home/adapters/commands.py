"""`fairwitness home camera rtsp|frigate|onvif|discover|recorders|...`: recording cameras, from a terminal."""

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairwitness.kit.config import ConfigError


def register(actions: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands below `camera`; `add` is home.commands._add."""
    rtsp = add(actions, "rtsp", "record a camera's stream from now on", _rtsp)
    rtsp.add_argument("--sound", action="store_true", help="record sound too; the law of your place may forbid it")
    frigate = add(actions, "frigate", "fetch from a Frigate what requests ask about", _frigate)
    frigate.add_argument("--name", required=True, help="the camera's name in Frigate")
    frigate.add_argument("--fingerprint", default="", help="SHA-256 of Frigate's certificate, where it signed its own")
    onvif = add(actions, "onvif", "record an ONVIF camera, or fetch what an ONVIF recorder recorded itself", _onvif)
    onvif.add_argument("--list", action="store_true", help="only show what it has; nothing is stored")
    onvif.add_argument("--profile", default="", help="token of the stream to record (default: the best)")
    onvif.add_argument("--recordings", action="store_true", help="fetch what the device recorded itself, when a request asks")
    onvif.add_argument("--recording", default="", help="token of that recording, where there are several")
    onvif.add_argument("--fingerprint", default="", help="SHA-256 of the device's certificate, where it signed its own")
    onvif.add_argument("--sound", action="store_true", help="record sound too; the law of your place may forbid it")
    discover = add(actions, "discover", "ask the cameras of this machine's network who they are", _discover)
    discover.add_argument("--seconds", type=float, default=4.0, help="how long to listen, at most 30")
    discover.add_argument("--json", action="store_true", help="as JSON")
    examples = ((rtsp, "rtsp://192.168.1.20:554/stream"), (frigate, "https://192.168.1.10:8971"), (onvif, "192.168.1.20"))
    for parser, example in examples:
        parser.add_argument("--camera", type=int, required=True, help="id of `camera list`")
        parser.add_argument("--address", required=True, help=f"without user and password, such as {example}")
        parser.add_argument("--user", default="", help="the password is asked for, or read from --password-file")
        parser.add_argument("--password-file", type=Path, default=None, help="a file that holds the password; - = standard input")
        parser.add_argument("--folder", type=Path, default=None, help="where recordings go (default: the home's data folder)")
        parser.add_argument("--keep-days", type=int, default=14)
        parser.add_argument("--keep-gib", type=float, default=0, help="at most so many GiB; 0 = no limit")
    plugin = add(actions, "plugin", "fetch from a vendor by a program of its own, when a request asks", _plugin)
    plugin.add_argument("--camera", type=int, required=True, help="id of `camera list`")
    plugin.add_argument(
        "--program", type=Path, required=True, help="the plug-in's program, such as /opt/ring/bin/fairwitness-ring"
    )
    plugin.add_argument("--user", required=True, help="the password is asked for, or read from --password-file")
    plugin.add_argument("--password-file", type=Path, default=None, help="a file that holds the password; - = standard input")
    plugin.add_argument("--code", default="", help="the one-time code that the vendor sent you")
    plugin.add_argument("--device", default="", help="the vendor's id of the camera, where there are several")
    plugin.add_argument("--understood", action="store_true", help="I know what the vendor learns (run without it to read that)")
    plugin.add_argument("--keep-days", type=int, default=14)
    plugin.add_argument("--keep-gib", type=float, default=0, help="at most so many GiB; 0 = no limit")
    add(actions, "recorders", "all recorders and how they do, as JSON", _recorders)
    keep = add(actions, "keep", "change how long a recorder's recordings are kept", _keep)
    gaps = add(actions, "gaps", "when and why nothing was recorded, as JSON", _gaps)
    chain = add(actions, "chain", "check that recordings are what was recorded", _chain)
    forget = add(actions, "forget", "stop recording", _forget)
    for parser in (keep, gaps, chain, forget):
        parser.add_argument("recorder", type=int, help="id of `camera recorders`")
    keep.add_argument("--days", type=int, required=True)
    keep.add_argument("--gib", type=float, default=0)
    gaps.add_argument("begin", help="Unix seconds, or 2026-06-01T02:00:00Z")
    gaps.add_argument("end")
    forget.add_argument("--erase", action="store_true", help="delete its recordings as well")


def _print(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))


def _password(options: argparse.Namespace) -> str:
    """Take the password from a file, standard input or the keyboard: never from the command line, which others can read."""
    if options.password_file is not None:
        text = sys.stdin.read() if str(options.password_file) == "-" else options.password_file.read_text()
        return str(text).rstrip("\r\n")
    if not options.user:
        return ""
    if not sys.stdin.isatty():
        raise ConfigError("give the password with --password-file")
    return getpass.getpass("Password: ")


def _common(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "user": options.user,
        "password": _password(options),
        "folder": "" if options.folder is None else str(options.folder.absolute()),
        "keep_days": options.keep_days,
        "keep_bytes": int(options.keep_gib * 2**30),
    }


def _rtsp(options: argparse.Namespace) -> None:
    from fairwitness.home.services import recorders  # noqa: PLC0415 - Django is set up only now

    row = _ours(lambda: recorders.add_rtsp(options.camera, options.address, sound=options.sound, **_common(options)))
    _print({"recorder": row.pk, "folder": row.source.folder})


def _frigate(options: argparse.Namespace) -> None:
    from fairwitness.home.services import recorders  # noqa: PLC0415

    more = {"name": options.name, "fingerprint": options.fingerprint}
    row = _ours(lambda: recorders.add_frigate(options.camera, options.address, **more, **_common(options)))
    _print({"recorder": row.pk, "folder": row.source.folder})


def _onvif(options: argparse.Namespace) -> None:
    from fairwitness.home.services import onvif, recorders  # noqa: PLC0415

    common = _common(options)
    more = {"user": common["user"], "password": common["password"]} | {
        "fingerprint": options.fingerprint,
        "profile": options.profile,
    }
    if options.list:
        found = _ours(lambda: onvif.look(options.address, **more))
        if found.skewed:
            print(_skewed(found.ahead_ms), file=sys.stderr)
        _print(asdict(found))
        return
    more |= {"recordings": options.recordings, "recording": options.recording, "sound": options.sound}
    row = _ours(lambda: onvif.add(options.camera, options.address, **(common | more)))
    said = recorders.view(row).options["onvif"]
    if said["skewed"]:
        print(_skewed(said["ahead_ms"]), file=sys.stderr)
    chosen = {name: said[name] for name in ("profile", "why", "recording") if name in said}
    _print({"recorder": row.pk, "folder": row.source.folder, "address": row.address, **chosen})


def _skewed(ahead_ms: int | None) -> str:
    away = round((ahead_ms or 0) / 1000)
    return f"The camera's clock is {away} s ahead of this machine's; it took the password only with its own time. Set its clock."


def _discover(options: argparse.Namespace) -> None:
    from fairwitness.home.services import onvif  # noqa: PLC0415

    found = onvif.discover(options.seconds)
    if options.json:
        _print([asdict(one) for one in found])
        return
    for one in found:
        known = f"  recorded as camera {', '.join(map(str, one.known))}" if one.known else ""
        print(f"{one.address}  {one.name or '-'}  {one.hardware or '-'}{known}")
    if not found:
        print("No camera answered. Some answer only once ONVIF is switched on in their own settings.")


def _plugin(options: argparse.Namespace) -> None:
    from fairwitness.home.services import plugins  # noqa: PLC0415

    row = _ours(
        lambda: plugins.add(
            options.camera,
            str(options.program.absolute()),
            user=options.user,
            password=_password(options) if options.understood else "",
            code=options.code,
            device=options.device,
            understood=options.understood,
            keep_days=options.keep_days,
            keep_bytes=int(options.keep_gib * 2**30),
        )
    )
    _print({"recorder": row.pk, "folder": row.source.folder, "device": row.options["device"]})


def _ours[T](act: Callable[[], T]) -> T:
    """Turn a refused address into the one line that an owner can mend."""
    from fairwitness_core.wire.errors import ProtocolError  # noqa: PLC0415

    try:
        return act()
    except ProtocolError as error:
        raise ConfigError(f"{error.message} ({error.code})") from error


def _recorders(_options: argparse.Namespace) -> None:
    from fairwitness.home.services import recorders  # noqa: PLC0415

    _print([asdict(view) for view in recorders.listing()])


def _keep(options: argparse.Namespace) -> None:
    from fairwitness.home.services import recorders  # noqa: PLC0415

    recorders.edit(options.recorder, keep_days=options.days, keep_bytes=int(options.gib * 2**30))


def _gaps(options: argparse.Namespace) -> None:
    from fairwitness.home.services import recorders  # noqa: PLC0415

    _print([asdict(hole) for hole in recorders.holes(options.recorder, _moment(options.begin), _moment(options.end))])


def _chain(options: argparse.Namespace) -> int:
    from fairwitness.home.services import recorders  # noqa: PLC0415

    faults = recorders.verify(options.recorder)
    print("\n".join(faults) or "All recordings are what was recorded.")
    return 1 if faults else 0


def _forget(options: argparse.Namespace) -> None:
    from fairwitness.home.services import recorders  # noqa: PLC0415

    recorders.remove(options.recorder, erase=options.erase)


def _moment(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text} is no time; write 2026-06-01T02:00:00Z") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
