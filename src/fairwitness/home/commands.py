"""`fairwitness home ...`: everything an owner can do, from a terminal on the machine beside the cameras."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairwitness.home.adapters import commands as recorders
from fairwitness.home.lan import commands as lan
from fairwitness.home.marks import commands as pictures
from fairwitness.home.operate import OPERATIONS
from fairwitness.kit import config, files, supervise
from fairwitness.kit.config import ConfigError
from fairwitness.kit.errors import Refused
from fairwitness.kit.files import UnsafeMode
from fairwitness.kit.operate import commands as operate

if TYPE_CHECKING:
    from fairwitness.home.services.answers import Leaving

type Action = Callable[[argparse.Namespace], int | None]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the home's actions to the command line."""
    parser = commands.add_parser("home", help="run and manage a home", description="A home beside its cameras.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = _add(actions, "init", "make a home's data folder", _init, ready=False)
    init.add_argument("--name", default="Home")
    init.add_argument("--port", type=int, default=0)
    init.add_argument("--upload-delay-minutes", type=int, default=30, help="mean of the random delay (default: 30)")
    init.add_argument("--scan-seconds", type=int, default=60)
    init.add_argument("--settle-seconds", type=int, default=30)
    _add(actions, "run", "poll, match, answer, and serve the owner's page", _run, ready=False)
    join = _add(actions, "join", "show a hub's fingerprints; with --accept, pin it", _join)
    join.add_argument("source", help="a join file, or the hub's address")
    join.add_argument("--accept", action="store_true", help="pin it, having compared the fingerprints")
    join.add_argument("--successor", action="store_true", help="accept a log that continues the pinned one")
    join.add_argument(
        "--invite",
        default="",
        help="the code that lets this home fetch tokens; - reads it from standard input, where no process list shows it",
    )
    lan.register(actions, _add)
    _camera(actions)
    _source(actions)
    _add(actions, "scan", "look through the folders of recordings now", _scan)
    _add(actions, "status", "how current this home is, as JSON", _status)
    requests = _add(actions, "requests", "requests that concern this home, as JSON", _requests)
    requests.add_argument("--all", action="store_true", help="with opted-out and past ones")
    requests.add_argument("--refused", action="store_true", help="what this home refused instead")
    requests.add_argument("--id", default="", help="everything about one")
    mute = _add(actions, "mute", "opt out of alerts and lists; traffic stays the same", _mute)
    mute.add_argument("what", choices=["all", "agency", "offense"])
    mute.add_argument("value", nargs="?", default="")
    mute.add_argument("--undo", action="store_true")
    answer = _add(actions, "answer", "draft an answer to a request", _answer)
    answer.add_argument("request")
    answer.add_argument("--statement", default=None)
    answer.add_argument("--name", default="", help="answer identified, with this name")
    answer.add_argument("--contact", default="")
    answer.add_argument("--sound", action="store_true", help="keep the sound")
    answer.add_argument("--no-clips", action="store_true", help="a statement alone")
    answer.add_argument(
        "--clip",
        action="append",
        metavar="RECORDING[-LAST][@START[-END]]",
        help="choose this instead of all: a recording's number, or the first and last of several that follow each other; seconds "
        "from the first one's start",
    )
    share = _add(actions, "share", "consent to a draft: seal it and send it after the random delay", _share)
    share.add_argument("answer", type=int)
    share.add_argument("--now", action="store_true", help="skip the delay")
    share.add_argument("--yes", action="store_true", help="I have read the terms")
    step = _add(actions, "step-forward", "make yourself known for an anonymous answer", _step)
    step.add_argument("answer", type=int)
    step.add_argument("--name", required=True)
    step.add_argument("--contact", required=True)
    step.add_argument("--now", action="store_true")
    for name, text, act in (
        ("receipt", "what you hold about an answer, as JSON", _receipt),
        ("withdraw", "take an answer back", _withdraw),
        ("retry", "send a failed answer anew", _retry),
    ):
        _add(actions, name, text, act).add_argument("answer", type=int)
    _add(actions, "answers", "all answers, as JSON", _answers)
    reveal = _add(actions, "reveal-original", "open the commitment to a clip's untouched original", _reveal)
    reveal.add_argument("clip", type=int)
    proof = _add(actions, "reveal-recording", "write a proof of which recordings a sent clip was cut from, to hand out", _proof)
    proof.add_argument("answer", type=int)
    proof.add_argument("clip", help="its name, such as clip-01.mp4, or its number")
    proof.add_argument("out", type=Path, help="the file to write; it must not exist")
    proof.add_argument("--originals", type=Path, metavar="FOLDER", help="also copy the untouched originals to this folder")
    _add(actions, "trust", "print the trust file for `fairwitness verify --trust`", _trust)
    operate.register(actions, OPERATIONS)


def _camera(actions: Any) -> None:
    parser = actions.add_parser("camera", help="cameras of this home")
    inner = parser.add_subparsers(dest="camera_action", metavar="ACTION", required=True)
    add = _add(inner, "add", "add a camera", _camera_add)
    add.add_argument("--name", required=True)
    add.add_argument("--lat", type=float, required=True)
    add.add_argument("--lon", type=float, required=True)
    add.add_argument("--heading", type=float, default=0.0)
    add.add_argument("--fov", type=float, default=360.0)
    add.add_argument("--range", type=float, default=30.0, dest="range_m")
    add.add_argument("--pre-roll", type=int, default=30)
    place = _add(inner, "place", "say where a camera stands, such as one made in the browser", _camera_place)
    place.add_argument("camera", type=int)
    place.add_argument("--lat", type=float, required=True)
    place.add_argument("--lon", type=float, required=True)
    _add(inner, "list", "all cameras, as JSON", _camera_list)
    _add(inner, "remove", "forget a camera", _camera_remove).add_argument("camera", type=int)
    recorders.register(inner, _add)
    pictures.register(inner, _add)


def _source(actions: Any) -> None:
    parser = actions.add_parser("source", help="folders of recordings")
    inner = parser.add_subparsers(dest="source_action", metavar="ACTION", required=True)
    add = _add(inner, "add", "add a folder", _source_add)
    add.add_argument("--camera", type=int, required=True)
    add.add_argument("--folder", required=True)
    add.add_argument("--zone", default=None, help="time zone of the camera's clock, such as America/Los_Angeles")
    add.add_argument("--offset", type=int, default=0, help="seconds that the camera's clock is ahead")
    add.add_argument("--trust-container", action="store_true", help="the time inside the files was checked and is UTC")
    _add(inner, "list", "all folders, as JSON", _source_list)
    _add(inner, "unknown", "recordings whose time only you can say, as JSON", _source_unknown)
    when = _add(inner, "when", "say when a recording began", _source_when)
    when.add_argument("recording", type=int)
    when.add_argument("start", help="Unix seconds, or 2026-06-01T02:00:00Z")


def _add(actions: Any, name: str, text: str, act: Action, *, ready: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("directory", type=Path, help="the home's data folder")
    parser.set_defaults(run=_told(act, ready=ready))
    return parser


def _told(act: Action, *, ready: bool) -> Callable[[argparse.Namespace], int]:
    """Turn what an owner can mend into one line and exit status 1; with `ready`, open the data folder first."""

    def run(options: argparse.Namespace) -> int:
        try:
            if ready:
                _open(options.directory)
            return act(options) or 0
        except Refused as error:
            hint = f" - {error.hint}" if error.hint else ""
            print(f"fairwitness home: {error.message} ({error.code}){hint}", file=sys.stderr)
        except (ConfigError, UnsafeMode, OSError) as error:
            print(f"fairwitness home: {error}", file=sys.stderr)
        return 1

    return run


def _open(folder: Path) -> None:
    if not (folder / config.FILE_NAME).exists():
        raise ConfigError(f"{folder} is no home's data folder; make one with: fairwitness home init {folder}")
    supervise.setup("home", folder.absolute())
    from fairwitness.kit import database  # noqa: PLC0415 - Django is set up only now

    database.migrate_at_start()


def _print(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1, default=str))


def _init(options: argparse.Namespace) -> None:
    folder: Path = options.directory
    if (folder / config.FILE_NAME).exists():
        raise ConfigError(f"{folder} is in use already")
    files.private_dir(folder)
    config.write(
        folder,
        {
            "name": options.name,
            "port": options.port,
            "upload_delay_minutes": options.upload_delay_minutes,
            "scan_seconds": options.scan_seconds,
            "settle_seconds": options.settle_seconds,
        },
    )
    _open(folder)
    from fairwitness.home import access, slots  # noqa: PLC0415
    from fairwitness.kit import secrets_store  # noqa: PLC0415

    slots.seed()
    secrets_store.node_key()
    access.owner_token()
    _print({"data": str(folder), "token": str(folder / "keys" / "owner.token")})


def _run(options: argparse.Namespace) -> int:
    return supervise.run("home", options.directory.absolute())


def _join(options: argparse.Namespace) -> None:
    from fairwitness.home.services import join  # noqa: PLC0415

    path = Path(options.source)
    data = path.read_bytes() if path.is_file() else join.fetch_join(options.source)
    document = join.read_join(data)
    print(f"{document.name}  {document.url}")
    for item in join.fingerprints(document):
        verdict = {True: "the same as it states itself", False: "DIFFERS FROM WHAT IT STATES ITSELF", None: "not compared"}
        print(f"  {item.kind:8}{item.name:32}{join.short(item.pinned)}  {verdict[item.agrees]}")
    if not options.accept:
        print("Compare these with what the witnesses publish, then run the same with --accept.")
        return
    join.accept(
        data, invite=sys.stdin.readline().strip() if options.invite == "-" else options.invite, successor=options.successor
    )
    print("Joined.")


def _camera_add(options: argparse.Namespace) -> None:
    from fairwitness.home.services import cameras  # noqa: PLC0415

    row = cameras.add(
        options.name,
        options.lat,
        options.lon,
        heading=options.heading,
        fov=options.fov,
        range_m=options.range_m,
        pre_roll=options.pre_roll,
    )
    _print({"camera": row.pk})


def _camera_place(options: argparse.Namespace) -> None:
    from fairwitness.home.services import cameras, matching  # noqa: PLC0415

    cameras.edit(options.camera, lat=options.lat, lon=options.lon)
    matching.rematch()


def _camera_list(_options: argparse.Namespace) -> None:
    from fairwitness.home.services import cameras  # noqa: PLC0415

    _print([{"id": row.pk, "name": row.name, "lat": row.lat, "lon": row.lon} for row in cameras.listing()])


def _camera_remove(options: argparse.Namespace) -> None:
    from fairwitness.home.services import cameras  # noqa: PLC0415

    cameras.remove(options.camera)


def _source_add(options: argparse.Namespace) -> None:
    from fairwitness.home.services import sources  # noqa: PLC0415

    row = sources.add(
        options.camera,
        str(Path(options.folder).absolute()),
        zone=options.zone,
        offset=options.offset,
        container_trusted=options.trust_container,
    )
    _print({"source": row.pk})


def _source_list(_options: argparse.Namespace) -> None:
    from fairwitness.home.services import sources  # noqa: PLC0415

    _print([{"id": r.pk, "camera": r.camera_id, "folder": r.folder, "problem": r.problem} for r in sources.listing()])


def _source_unknown(_options: argparse.Namespace) -> None:
    from fairwitness.home.services import sources  # noqa: PLC0415

    _print([{"id": row.pk, "path": row.path, "why": row.why} for row in sources.unknown_times()])


def _source_when(options: argparse.Namespace) -> None:
    from fairwitness.home.services import matching, sources  # noqa: PLC0415

    text: str = options.start
    if text.isdigit():
        start = int(text)
    else:
        moment = datetime.fromisoformat(text)
        start = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    sources.answer_time(options.recording, start)
    matching.rematch()


def _scan(_options: argparse.Namespace) -> None:
    from fairwitness.home.services import matching, sources  # noqa: PLC0415

    found = sources.scan()
    matching.rematch()
    _print({**asdict(found), "unknown_times": len(sources.unknown_times())})


def _status(_options: argparse.Namespace) -> None:
    from fairwitness.home.services import follower, notifier, tokens  # noqa: PLC0415

    found = follower.status()
    alarms = [{"code": row.code, "message": row.message, "evidence": row.evidence} for row in follower.alarms()]
    _print({**asdict(found), "alarms": alarms, "badge": notifier.badge(), "tokens": tokens.available()})


def _requests(options: argparse.Namespace) -> None:
    from fairwitness.home.services import requests  # noqa: PLC0415

    if options.id:
        _print(asdict(requests.detail(options.id)))
    elif options.refused:
        _print([asdict(item) for item in requests.refused()])
    else:
        found = requests.listing(include_muted=options.all, include_past=options.all)
        _print([asdict(view) for view in found])


def _mute(options: argparse.Namespace) -> None:
    from fairwitness.home.services import optouts  # noqa: PLC0415

    off = not options.undo
    if options.what == "all":
        optouts.set_all(off)
    elif options.what == "agency":
        optouts.set_agency(options.value, off)
    else:
        optouts.set_offense(options.value, off)


def _answer(options: argparse.Namespace) -> None:
    from fairwitness.home.services import answers  # noqa: PLC0415

    answer = answers.draft(options.request)
    if options.no_clips:
        answers.set_clips(answer.pk, [])
    elif options.clip:
        wanted = [answers.read_choice(text) for text in options.clip]
        answers.set_clips(answer.pk, [replace(choice, mute=not options.sound) for choice in wanted])
    elif options.sound:
        chosen = [choice for clip in answer.clips.all() if (choice := answers.choice_of(clip)) is not None]
        answers.set_clips(answer.pk, [replace(choice, mute=False) for choice in chosen])
    if options.statement is not None:
        answers.set_statement(answer.pk, options.statement)
    if options.name:
        answers.set_mode(answer.pk, "identified", name=options.name, contact=options.contact)
    leaves = [_leaving(one) for one in answers.leaving(answer)]
    _print({"answer": answer.pk, "clips": len(leaves), "leaves": leaves, "left_out": answers.left_out(answer)})


def _leaving(one: "Leaving") -> dict[str, object]:
    """Return what leaves of a clip as a person reads it."""
    begin, end = _moment(one.start), None if one.end is None else _moment(one.end)
    said: dict[str, object] = {"camera": one.camera, "from": begin, "to": end}
    said |= {"sound": one.sound, "covered_areas": one.areas}
    outside = {"seconds_before_what_is_asked": one.before, "seconds_after_what_is_asked": one.after}
    return said | {name: round(value, 1) for name, value in outside.items()}


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _share(options: argparse.Namespace) -> int:
    from fairwitness.home.services import answers  # noqa: PLC0415

    if not options.yes:
        _print({"leaves": [_leaving(one) for one in answers.leaving(answers.get(options.answer))]})
        print(answers.TERMS)
        print("Run the same with --yes to agree.")
        return 1
    answer = answers.confirm(options.answer, at_once=options.now)
    _print({"answer": answer.pk, "state": answer.state, "not_before": answer.not_before})
    return 0


def _step(options: argparse.Namespace) -> None:
    from fairwitness.home.services import sharing  # noqa: PLC0415

    step = sharing.step_forward(options.answer, options.name, options.contact, at_once=options.now)
    _print({"answer": step.pk, "state": step.state})


def _receipt(options: argparse.Namespace) -> None:
    from fairwitness_core.wire import dsse  # noqa: PLC0415

    from fairwitness.home.services import sharing  # noqa: PLC0415

    found = sharing.receipts(options.answer)
    _print({**asdict(found), "promise": None if found.promise is None else dsse.b64(found.promise)})


def _answers(_options: argparse.Namespace) -> None:
    from fairwitness.home.services import answers, sharing  # noqa: PLC0415

    _print(
        [
            {
                "id": row.pk,
                "request": row.request_id,
                "kind": row.kind,
                "mode": row.mode,
                "state": sharing.state_of(row),
                "response_id": row.response_id,
                "problem": row.problem,
                "sentence": sharing.sentence(row),
            }
            for row in answers.listing()
        ]
    )


def _withdraw(options: argparse.Namespace) -> None:
    from fairwitness.home.services import sharing  # noqa: PLC0415

    print(sharing.withdraw(options.answer))


def _retry(options: argparse.Namespace) -> None:
    from fairwitness.home.services import delivery  # noqa: PLC0415

    _print({"answer": delivery.retry(options.answer).pk})


def _reveal(options: argparse.Namespace) -> None:
    from fairwitness.home.services import sharing  # noqa: PLC0415

    _print(asdict(sharing.reveal_original(options.clip)))


def _proof(options: argparse.Namespace) -> None:
    from fairwitness.home.services import provenance  # noqa: PLC0415

    _print(asdict(provenance.reveal(options.answer, options.clip, options.out, options.originals)))


def _trust(_options: argparse.Namespace) -> None:
    from fairwitness.home.services import join  # noqa: PLC0415

    sys.stdout.buffer.write(join.trust_policy() + b"\n")
