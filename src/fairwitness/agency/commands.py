"""The agency's part of the command line. Every command prints JSON, but `trust`, whose lines are compared by eye."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairwitness.agency.operate import OPERATIONS
from fairwitness.kit import database_commands, supervise
from fairwitness.kit.operate import commands as operate

if TYPE_CHECKING:
    from collections.abc import Callable

_LEVELS = ("campus", "county", "fire", "federal", "municipal", "state", "tribal")
_SETTINGS = (
    ("port", int),
    ("public_url", str),
    ("collect_seconds", int),
    ("emergency_collect_seconds", int),
    ("prove_seconds", int),
    ("touch_minutes", int),
    ("workers", int),
    ("threads", int),
)


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `fairwitness agency ...`."""
    agency = subparsers.add_parser("agency", help="run a police or fire department's node")
    commands = agency.add_subparsers(dest="agency_command", required=True)

    init = _add(commands, "init", _init, "make a new node and print what a hub needs to admit it")
    init.add_argument("--id", required=True, help="us-<state>-<name>, as the hub will know it")
    init.add_argument("--ori", required=True)
    init.add_argument("--name", required=True)
    init.add_argument("--state", required=True, help="two letters; US for a federal agency")
    init.add_argument("--level", choices=_LEVELS, default="municipal")
    init.add_argument("--federal", action="store_true")
    init.add_argument("--jurisdiction", required=True, type=Path, help="a GeoJSON file with one polygon")
    init.add_argument("--vouched", action="append", default=[], help="a public body that vouches; may be repeated")
    init.add_argument("--recovery", default="", help="offline age recipient; made and printed once where absent")
    for name, kind in _SETTINGS:
        init.add_argument(f"--{name.replace('_', '-')}", type=kind)

    database_commands.add_init_options(init)

    officer = _add(commands, "officer", _officer, "add or remove a person, or name their login at a sign-in provider")
    officer.add_argument("what", choices=("add", "remove", "code", "login"))
    _swap_dir(officer)
    officer.add_argument("username")
    officer.add_argument("--name", default="")
    officer.add_argument("--role", choices=("officer", "supervisor", "technician", "admin"), default="officer")
    officer.add_argument("--provider", default="", metavar="ID", help="login: which [[oidc]] of config.toml")
    officer.add_argument("--login", default="", help="login: subject, verified e-mail or preferred username there; empty ends it")

    _add(commands, "registration", _registration, "print what a hub's administrator adds this agency by")
    for name in ("trust", "join"):
        trust = _add(commands, name, _trust, "show a hub's fingerprints; with --accept, pin it")
        trust.add_argument("join_file", help="a file, or the address of a hub's join.json")
        trust.add_argument("--accept", action="store_true")
    _add(commands, "run", _run, "run the node until it is stopped")
    _add(commands, "status", _status, "say how the node stands")
    operate.register(commands, OPERATIONS)
    database_commands.register(commands, "agency", scrubbed=_scrubbed)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    act: "Callable[[argparse.Namespace], int]",
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    if name != "officer":
        parser.add_argument("dir", type=Path, help="the node's data folder")
    parser.set_defaults(run=act)
    return parser


def _swap_dir(parser: argparse.ArgumentParser) -> None:
    """Let `officer add DIR NAME` read naturally: the verb stands before the folder."""
    parser.add_argument("dir", type=Path, help="the node's data folder")


def _print(value: Any) -> int:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n")
    return 0


def _up(folder: Path) -> None:
    supervise.setup("agency", folder)
    from fairwitness.kit import database  # noqa: PLC0415 - needs the settings that were set up just now

    database.migrate_at_start()


def _init(args: argparse.Namespace) -> int:
    from fairwitness.agency.services import setup  # noqa: PLC0415 - as late as the other commands do

    settings = {name: getattr(args, name) for name, _ in _SETTINGS if getattr(args, name) is not None}
    done = setup.initialise(
        args.dir,
        setup.AgencySpec(
            agency=args.id,
            ori=args.ori,
            name=args.name,
            state=args.state,
            level=args.level,
            federal=args.federal,
            jurisdiction=json.loads(args.jurisdiction.read_text("utf-8")),
            vouched=tuple(args.vouched) or (f"set up by the operator of {args.name}",),
            recovery=args.recovery,
            settings=settings | database_commands.settings_of(args),
        ),
    )
    found: dict[str, Any] = {"registration": str(done.registration), "agency_key": done.kid}
    if done.recovery_secret is not None:
        found["recovery_secret"] = done.recovery_secret
    return _print(found)


def _scrubbed() -> None:
    from fairwitness.agency.services import triage  # noqa: PLC0415 - needs settings

    triage.scrubbed()


def _officer(args: argparse.Namespace) -> int:
    _up(args.dir)
    from fairwitness.agency.services import officers  # noqa: PLC0415 - needs settings

    if args.what == "remove":
        officers.remove(officers.by_name(args.username))
        return _print({"removed": args.username})
    if args.what == "code":
        return _print({"username": args.username, "code": officers.new_code(officers.by_name(args.username))})
    if args.what == "login":
        from fairwitness.kit.accounts import social  # noqa: PLC0415 - needs settings

        social.name_login(officers.by_name(args.username).user, args.provider, args.login)
        return _print({"username": args.username, "provider": args.provider, "login": args.login})
    done = officers.enrol(args.username, args.name or args.username, args.role)
    return _print(
        {
            "username": args.username,
            "role": args.role,
            "actor": done.officer.actor,
            "kid": officers.public_key(done.officer).kid,
            "code": done.code,
        }
    )


def _registration(args: argparse.Namespace) -> int:
    _up(args.dir)
    from fairwitness.agency.services import officers  # noqa: PLC0415 - needs settings

    return _print(officers.registration())


def _trust(args: argparse.Namespace) -> int:
    _up(args.dir)
    from fairwitness.agency.services import setup  # noqa: PLC0415 - needs settings

    lines = setup.trust(setup.fetch_join(args.join_file), accept=args.accept)
    if not args.accept:
        lines.append("Compare these with what each witness publishes itself, then run this again with --accept.")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _run(args: argparse.Namespace) -> int:
    return supervise.run("agency", args.dir)


def _status(args: argparse.Namespace) -> int:
    _up(args.dir)
    from fairwitness.agency.models import CustodyRecord  # noqa: PLC0415 - needs settings
    from fairwitness.agency.services import collect, node  # noqa: PLC0415 - needs settings

    waiting = CustodyRecord.objects.exclude(state="proven").count()
    return _print(
        {
            "agency": node.agency_id(),
            "hub": node.hub().url if node.joined() else None,
            "last_collected": collect.last_round(),
            "unproven_custody": waiting,
        }
    )
