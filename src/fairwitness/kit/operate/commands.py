"""`fairwitness ROLE doctor|config|backup|restore` for every role, and `fairwitness mirror`."""

import argparse
import contextlib
import functools
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairwitness_core.model.hub import JoinFile
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import config, files
from fairwitness.kit.errors import Refused
from fairwitness.kit.operate import backup as backups
from fairwitness.kit.operate import checks, doctor, drill, mirror, rotate, servers, settings_page, upgrade
from fairwitness.kit.operate.archive import BackupError
from fairwitness.kit.operate.role import Operations

_TOLD = (
    BackupError,
    upgrade.UpgradeError,
    drill.DrillError,
    mirror.MirrorError,
    config.ConfigError,
    files.UnsafeMode,
    Refused,
    ProtocolError,
    OSError,
)


def register(actions: Any, role: Operations) -> None:
    """Add the operator's actions of `role` to its sub-parsers."""
    found = _add(actions, "doctor", lambda o: _doctor(role, o), "look whether everything is as it should be; changes nothing")
    found.add_argument("--json", action="store_true", help="for programs")
    if role.config is not None:
        page = _add(actions, "config", lambda o: _config(role, o), "read config.toml and list every setting, limit and meaning")
        page.add_argument("--check", action="store_true", required=True, help="check it; nothing is changed")
        page.add_argument("--json", action="store_true", help="for programs")
    save = _add(actions, "backup", lambda o: _backup(role, o), "copy everything but keys into one file, while the node runs")
    save.add_argument("out", type=Path, help="the archive to make")
    save.add_argument(
        "--with-keys", type=Path, metavar="FILE", help="a second file with all keys, sealed to the recovery recipient"
    )
    save.add_argument("--recipient", default="", metavar="AGE", help="seal them to this one instead (age1...)")
    if role.config is not None:
        servers.add_backup_options(save)
    back = actions.add_parser("restore", help="make an empty folder the node that an archive was made of")
    back.add_argument("archive", type=Path)
    back.add_argument("directory", type=Path, help="the data folder to make; empty or absent")
    back.add_argument("--keys", type=Path, metavar="FILE", help="the sealed keys that belong to it")
    back.add_argument("--identity", metavar="FILE", help="file (mode 0600) with the recovery identity; - reads standard input")
    back.add_argument("--expect", default="", metavar="SHA256", help="the hash that backup printed")
    if role.config is not None:
        servers.add_restore_options(back)
    back.set_defaults(run=_told(role.role, lambda o: _restore(role, o)))
    _register_rotate(actions, role)
    if role.prove is not None:
        tried = _add(actions, "drill", lambda o: _drill(role, o), "try a backup in a folder of its own, calling nobody")
        tried.add_argument("--archive", type=Path, required=True, help="the newest backup")
        tried.add_argument("--keys", type=Path, required=True, metavar="FILE", help="the sealed keys that belong to it")
        tried.add_argument(
            "--identity", required=True, metavar="FILE", help="recovery identity (mode 0600); - reads standard input"
        )
        tried.add_argument("--expect", default="", metavar="SHA256", help="the hash that backup printed")
        tried.add_argument("--items", type=int, default=5, help="pieces of evidence to open (default: 5)")
        tried.add_argument("--work", type=Path, metavar="DIR", help="where there is room for a second copy (default: beside DIR)")
    new = _add(actions, "upgrade", lambda o: _upgrade(role, o), "bring a stopped node up to this version, with a backup before")
    new.add_argument("--check", action="store_true", help="only say from which version and schema to which")
    new.add_argument("--backup", type=Path, metavar="FILE", help="the archive to make (default: beside DIR, named after it)")
    if role.config is not None:
        new.add_argument(
            "--only",
            choices=("expand", "fill", "contract"),
            help="one state of a schema change; the first two while the old version still runs",
        )
        new.add_argument("--owner", type=Path, metavar="FILE", help="PostgreSQL: user and password of the database's owner")


def _register_rotate(actions: Any, role: Operations) -> None:
    text = "replace a key; says first what follows from it"
    kinds = actions.add_parser("rotate", help=text, description=text).add_subparsers(dest="what", metavar="WHAT", required=True)
    for one in role.rotations:
        parser = _add(kinds, one.what, functools.partial(_rotate, role, one), one.text)
        parser.add_argument("--dry-run", action="store_true", help="only look, and say what would be done")
        one.options(parser)


def register_mirror(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `fairwitness mirror`."""
    parser = commands.add_parser("mirror", help="copy a hub's feed and ledgers, verifying each file; any web server can serve it")
    parser.add_argument("url", help="the hub's address, or another mirror's")
    parser.add_argument("directory", type=Path, help="the mirror's folder; DIR/site is what a web server serves")
    parser.add_argument("--join", type=Path, metavar="FILE", help="the join file to believe; needed once")
    parser.add_argument("--accept", action="store_true", help="believe the join file that the hub serves, having compared it")
    parser.add_argument("--every", type=int, default=0, metavar="SECONDS", help="go on, a round in so many seconds")
    parser.set_defaults(run=_told("mirror", _mirror))


def _add(actions: Any, name: str, act: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("directory", type=Path, help="the node's data folder")
    parser.set_defaults(run=_told(actions.dest or name, act))
    return parser


def _told(who: str, act: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        try:
            return act(options)
        except _TOLD as error:
            hint = getattr(error, "hint", "") or getattr(error, "evidence", "")
            print(f"fairwitness: {error}" + (f" ({hint})" if hint else ""), file=sys.stderr)
            return 1

    run.__doc__ = who
    return run


def _doctor(role: Operations, options: argparse.Namespace) -> int:
    found = doctor.examine(role, options.directory)
    print(checks.to_json(role.role, found) if options.json else checks.to_text(found))
    return checks.exit_code(found)


def _config(role: Operations, options: argparse.Namespace) -> int:
    if role.config is None or not (options.directory / config.FILE_NAME).exists():
        raise config.ConfigError(f"{options.directory} has no {config.FILE_NAME}")
    found = settings_page.settings_of(role, config.load(role.config, options.directory.absolute()))
    print(json.dumps([asdict(item) for item in found], ensure_ascii=False) if options.json else settings_page.to_text(found))
    return 0


def _backup(role: Operations, options: argparse.Namespace) -> int:
    given = servers.from_options(options)
    made = backups.backup(
        role, options.directory, options.out, keys=options.with_keys, recipient=options.recipient, servers=given
    )
    print(json.dumps(asdict(made), ensure_ascii=False))
    return 0


def _restore(role: Operations, options: argparse.Namespace) -> int:
    identity = _identity(options.identity)
    notes = backups.restore(
        role,
        options.archive,
        options.directory,
        keys=options.keys,
        identity=identity,
        expect=options.expect,
        servers=servers.from_options(options),
    )
    print(json.dumps({"restored": str(options.directory), "next": notes}, ensure_ascii=False))
    return 0


def _identity(given: str | None) -> str:
    if given == "-":
        return sys.stdin.readline().strip()
    return files.read_secret(Path(given)).decode().strip() if given else ""


def _drill(role: Operations, options: argparse.Namespace) -> int:
    done = drill.drill(
        role,
        options.directory,
        archive=options.archive,
        keys=options.keys,
        identity=_identity(options.identity),
        items=options.items,
        expect=options.expect,
        work=options.work,
    )
    print(json.dumps({"held": True, **asdict(done)}))
    return 0


def _rotate(role: Operations, rotation: rotate.Rotation, options: argparse.Namespace) -> int:
    if not role.is_node(options.directory):
        raise rotate.RotationError(f"{options.directory} holds no {role.role}")
    with contextlib.nullcontext() if not rotation.stopped or options.dry_run else upgrade.stopped(role, options.directory):
        done = rotate.run(role.role, rotation, options, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(dict(done), ensure_ascii=False))
    return 0


def _upgrade(role: Operations, options: argparse.Namespace) -> int:
    only, owner = getattr(options, "only", None), getattr(options, "owner", None)
    if options.check:
        plan = upgrade.look(role, options.directory.absolute())
        print(json.dumps({**asdict(plan), "needed": plan.needed}))
        return 0
    if only:
        print(json.dumps({"state": only, "done": upgrade.step(role, options.directory, only, owner=owner)}))
        return 0
    done = upgrade.upgrade(
        role, options.directory, backup=options.backup, owner=owner, told=lambda line: print(line, file=sys.stderr, flush=True)
    )
    value = {"before": done.plan.before, "after": done.plan.after, "applied": done.applied, "backup": done.backup}
    print(json.dumps(value))
    if done.found:
        print(checks.to_text(done.found), file=sys.stderr)
    return 1 if done.found else 0


def _mirror(options: argparse.Namespace) -> int:
    copy = mirror.Mirror(options.url, options.directory)
    if options.join is not None:
        copy.pin(options.join.read_bytes())
    elif copy.pinned() is None:
        served = copy.fetch_join()
        join = JoinFile.parse(served.rstrip(b"\n"))
        if not options.accept:
            print("\n".join(mirror.fingerprints(join)))
            print("Compare these with what the witnesses publish, then run the same with --accept.")
            return 1
        copy.pin(served)
    if options.every <= 0:
        print(copy.run().encode())
        return 0
    pause = threading.Event()
    mirror.watch(copy, options.every, lambda line: print(line, flush=True), pause.wait)
    return 0
