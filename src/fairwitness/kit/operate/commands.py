"""`fairwitness ROLE doctor|config|backup|restore` for every role, and `fairwitness mirror`."""

import argparse
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
from fairwitness.kit.operate import checks, doctor, mirror, servers, settings_page
from fairwitness.kit.operate.archive import BackupError
from fairwitness.kit.operate.role import Operations

_TOLD = (BackupError, mirror.MirrorError, config.ConfigError, files.UnsafeMode, Refused, ProtocolError, OSError)


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
    identity = ""
    if options.identity == "-":
        identity = sys.stdin.readline().strip()
    elif options.identity:
        identity = files.read_secret(Path(options.identity)).decode().strip()
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
