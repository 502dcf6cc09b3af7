"""`fairwitness hub ...` on the command line."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.errors import HubState
from fairwitness.hub.operate import OPERATIONS
from fairwitness.kit import database_commands, supervise
from fairwitness.kit.errors import Refused
from fairwitness.kit.operate import commands as operate


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the hub's commands."""
    hub = subparsers.add_parser("hub", help="public requests, the log, the feed, sealed uploads")
    commands = hub.add_subparsers(dest="command", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=text)
        parser.add_argument("dir", type=Path, help="the hub's data folder")
        parser.set_defaults(run=_guarded(run))
        return parser

    init = add("init", _init, "make a new hub")
    init.add_argument("--name", required=True)
    init.add_argument("--state", required=True, help="two-letter postal code of the state whose agencies may ask")
    init.add_argument("--public-url", required=True)
    init.add_argument("--host", default="127.0.0.1")
    init.add_argument("--port", type=int, default=0)
    init.add_argument("--witness", action="append", default=[], metavar="NAME=URL=VKEY")
    init.add_argument("--quorum", type=int, default=2)
    init.add_argument("--tick-seconds", type=int, default=300)
    init.add_argument("--sealed-seconds", type=int, default=10)
    init.add_argument("--notice-seconds", type=int, default=86_400)
    init.add_argument("--embargo-seconds", type=int, default=86_400)
    init.add_argument("--moderators", type=int, default=1)
    init.add_argument("--min-free-bytes", type=int, default=1 << 30)
    init.add_argument("--census", type=Path, default=None)
    init.add_argument("--assemblies", type=Path, default=None)
    database_commands.add_init_options(init)
    init.add_argument("--admin", default="", metavar="USERNAME", help="make an administrator and print the enrolment code")
    add("run", _run, "run the hub")
    add("witness-trust", _witness_trust, "print what each witness has to trust: one line a ledger")
    agency = add("add-agency", _add_agency, "log an agency's authorisation, or the change of its keys")
    agency.add_argument("registration", type=Path)
    agency.add_argument("--days", type=int, default=365)
    suspend = add("suspend-agency", _suspend_agency, "log that an agency may ask no more")
    suspend.add_argument("agency")
    suspend.add_argument("reason")
    invite = add("invite", _invite, "print new invite codes")
    invite.add_argument("--uses", type=int, default=1)
    invite.add_argument("--count", type=int, default=1)
    sheets = add("invites", _invites, "write new invites to print, a page each, with what a household has to compare")
    sheets.add_argument("--sheet", type=Path, required=True, metavar="OUT.html", help="the file to make; it holds secrets")
    sheets.add_argument("--count", type=int, default=1, help="how many pages, at most 500")
    sheets.add_argument("--uses", type=int, default=1, help="households that one code is for (default: 1)")
    sheets.add_argument("--lang", choices=("en", "es"), default="en", help="language of the pages")
    user = add("user", _user, "make an account and print its enrolment code")
    user.add_argument("username")
    user.add_argument("--role", choices=("moderator", "admin"), required=True)
    user.add_argument("--name", default="")
    add("status", _status, "print how the hub is")
    add("publish", _publish, "bring the places of [[publish]] up to date now, as the beat does every ten seconds")
    recover = add("recover", _recover, "refill the ledgers from a mirror, or open a successor")
    how = recover.add_mutually_exclusive_group(required=True)
    how.add_argument("--mirror", metavar="URL")
    how.add_argument("--successor", action="store_true")
    how.add_argument("--rows", action="store_true", help="only make the database's rows anew from the ledgers")
    operate.register(commands, OPERATIONS)
    database_commands.register(commands, "hub")


def _guarded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def guarded(arguments: argparse.Namespace) -> int:
        from fairwitness.kit.config import ConfigError  # noqa: PLC0415 - commands start quickly
        from fairwitness.kit.logstore import LogError  # noqa: PLC0415
        from fairwitness.kit.operate.publish import PublishError  # noqa: PLC0415

        try:
            return run(arguments)
        except (HubState, ProtocolError, Refused, ConfigError, LogError, PublishError, OSError) as error:
            hint = getattr(error, "hint", "")
            print(f"fairwitness hub: {error}" + (f" ({hint})" if hint else ""), file=sys.stderr)
            return 1

    return guarded


def _say(value: Any) -> None:
    print(value if isinstance(value, str) else json.dumps(value), flush=True)


def _setup(arguments: argparse.Namespace) -> None:
    if not (arguments.dir / "genesis.json").exists():
        raise HubState(f"{arguments.dir} holds no hub; run: fairwitness hub init {arguments.dir}")
    supervise.setup("hub", arguments.dir)
    from fairwitness.kit import database  # noqa: PLC0415 - needs the settings

    database.migrate_at_start()


def parse_witness(text: str) -> tuple[str, str, str]:
    """Read NAME=URL=VKEY; a verifier key may hold `=` itself. Raises HubState."""
    name, first, rest = text.partition("=")
    url, second, vkey = rest.partition("=")
    if not (first and second and name and url.startswith(("http://", "https://"))):
        raise HubState(f"{text!r} is not of the form NAME=URL=VKEY")
    return name, url, vkey


def _init(arguments: argparse.Namespace) -> int:
    from fairwitness.hub.services import setup  # noqa: PLC0415 - commands start quickly

    extra: dict[str, Any] = {"moderators_required": arguments.moderators, "min_free_bytes": arguments.min_free_bytes}
    for key, path in (("census_file", arguments.census), ("assemblies_file", arguments.assemblies)):
        if path is not None:
            extra[key] = str(path.absolute())
    spec = setup.Spec(
        name=arguments.name,
        state=arguments.state,
        public_url=arguments.public_url,
        witnesses=[parse_witness(item) for item in arguments.witness],
        quorum=arguments.quorum,
        host=arguments.host,
        port=arguments.port,
        tick_seconds=arguments.tick_seconds,
        sealed_seconds=arguments.sealed_seconds,
        notice_seconds=arguments.notice_seconds,
        embargo_seconds=arguments.embargo_seconds,
        settings=extra | database_commands.settings_of(arguments),
    )
    made = setup.initialise(arguments.dir, spec)
    answer: dict[str, Any] = {
        "join": made.join,
        "hub_key": made.hub_key,
        "logs": [{"origin": origin, "vkey": vkey} for origin, vkey in made.logs],
    }
    if arguments.admin:
        answer["admin"] = _new_user(arguments.admin, arguments.admin, "admin")
    _say(answer)
    return 0


def _new_user(username: str, name: str, role: str) -> dict[str, str]:
    from fairwitness.kit.accounts import services as accounts  # noqa: PLC0415 - needs the settings

    user = accounts.create_user(username, name, role)
    return {"username": user.username, "code": accounts.issue_code(user)}


def _run(arguments: argparse.Namespace) -> int:
    if not (arguments.dir / "genesis.json").exists():
        raise HubState(f"{arguments.dir} holds no hub; run: fairwitness hub init {arguments.dir}")
    return supervise.run("hub", arguments.dir)


def _witness_trust(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    from fairwitness.hub.services import identity  # noqa: PLC0415 - needs the settings

    for log in identity.LOGS:
        vkey = identity.load().vkey(log)
        _say(f"{vkey.name} {vkey.encode()}")
    return 0


def _add_agency(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    from fairwitness.hub.services import agencies  # noqa: PLC0415 - needs the settings

    try:
        value = json.loads(arguments.registration.read_bytes())
    except ValueError as error:
        raise HubState(f"{arguments.registration} is no JSON: {error}") from error
    rows = agencies.register(value, days=arguments.days)
    _say({"queued": [row.kind for row in rows]})
    return 0


def _suspend_agency(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    from fairwitness.hub.services import agencies  # noqa: PLC0415 - needs the settings

    _say({"queued": [agencies.suspend(arguments.agency, arguments.reason).kind]})
    return 0


def _invite(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    from fairwitness.hub.services import tokens  # noqa: PLC0415 - needs the settings
    from fairwitness.kit import clock  # noqa: PLC0415

    for code in tokens.create_invites(arguments.count, arguments.uses, clock.now()):
        _say(code)
    return 0


def _invites(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    from fairwitness.hub.services import sheets  # noqa: PLC0415 - needs the settings

    made = sheets.make(arguments.sheet.absolute(), arguments.count, uses=arguments.uses, language=arguments.lang)
    _say({"sheet": str(arguments.sheet), "pages": made})
    print(
        f"{arguments.sheet} holds {made} invites that count from now on: print it, then destroy the file (shred -u). Lost pages: "
        "an administrator makes a code worthless on the hub's pages.",
        file=sys.stderr,
    )
    return 0


def _user(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    _say(_new_user(arguments.username, arguments.name or arguments.username, arguments.role))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    from fairwitness.hub.services import health, publishing  # noqa: PLC0415 - needs the settings

    found = health.look()
    places = [
        {"to": p.to, "tick": p.tick, "behind_seconds": late, "round_seconds_ago": publishing.stale(p), "problem": p.problem}
        for p, late in publishing.look()
    ]
    _say(asdict(found) | ({"publish": places} if places else {}))
    return 0 if found.ok else 1


def _publish(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    from fairwitness.hub.services import publishing  # noqa: PLC0415 - needs the settings
    from fairwitness.kit.operate.publish import PublishError  # noqa: PLC0415

    done = publishing.run()
    if not done:
        raise HubState("config.toml has no [[publish]]; see docs/operate/hub.md, Static copies")
    for outcome in done:
        if isinstance(outcome, PublishError):
            print(f"fairwitness hub: {outcome}", file=sys.stderr)
        else:
            _say({"to": outcome.to, "tick": outcome.tick, "sizes": dict(outcome.sizes)})
    return 1 if any(isinstance(outcome, PublishError) for outcome in done) else 0


def _recover(arguments: argparse.Namespace) -> int:
    _setup(arguments)
    from fairwitness.hub.services import recover  # noqa: PLC0415 - needs the settings

    if arguments.mirror:
        _say({"entries": recover.from_mirror(arguments.mirror)})
    elif arguments.rows:
        recover.rebuild()
        _say({"rows": "made anew"})
    else:
        document = recover.successor()
        _say({"origin": document.public_log.split("+", 1)[0], "join": "changed: homes and agencies must accept it"})
    return 0
