"""`fairwitness witness ...`: make a witness, tell it which logs to follow, run it."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import process
from fairwitness.kit.errors import Refused
from fairwitness.kit.files import UnsafeMode
from fairwitness.kit.operate import commands as operate
from fairwitness.witness import app, config
from fairwitness.witness import operate as operations
from fairwitness.witness.errors import WitnessError


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the witness's actions to the command line."""
    parser = commands.add_parser(
        "witness", help="cosign a log's growth", description="Cosign a log's growth (C2SP tlog-witness)."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    init = actions.add_parser("init", help="make a witness's folder and key; prints its verifier key")
    init.add_argument("directory", type=Path)
    init.add_argument("--name", required=True, help="a schema-less address or other unique name, e.g. witness.example.org/press")
    init.set_defaults(run=_told(_init))

    trust = actions.add_parser("trust", help="follow a log from now on")
    trust.add_argument("directory", type=Path)
    trust.add_argument("origin")
    trust.add_argument("vkey", help="the log's verifier key, as its hub publishes it")
    trust.set_defaults(run=_told(_trust))

    run = actions.add_parser("run", help="answer add-checkpoint until told to stop")
    run.add_argument("directory", type=Path)
    run.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    run.add_argument("--port", type=int, default=8950, help="port to listen on, 0 for a free one (default: %(default)s)")
    run.set_defaults(run=_told(_run))

    status = actions.add_parser("status", help="what was cosigned last, as JSON")
    status.add_argument("directory", type=Path)
    status.set_defaults(run=_told(_status))

    resume = actions.add_parser("resume", help="after a restore: take over the newest witnessed heads, then sign again")
    resume.add_argument("directory", type=Path)
    resume.add_argument("join_file", type=Path, help="the hub's join file, compared as a home compares it")
    resume.add_argument("url", nargs="+", help="a hub that this witness watches, or a mirror of it")
    resume.set_defaults(run=_told(_resume))
    operate.register(actions, operations.OPERATIONS)


def _told(action: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], int]:
    """Turn what an operator can mend into one line and exit status 1."""

    def run(options: argparse.Namespace) -> int:
        process.harden()
        try:
            action(options)
        except (WitnessError, UnsafeMode, Refused, ProtocolError, LookupError, OSError) as error:
            print(f"fairwitness witness: {error}", file=sys.stderr)
            return 1
        return 0

    return run


def _init(options: Any) -> None:
    print(config.init(options.directory, options.name))


def _trust(options: Any) -> None:
    config.trust(options.directory, options.origin, options.vkey)


def _run(options: Any) -> None:
    app.run(options.directory, options.host, options.port)


def _status(options: Any) -> None:
    print(json.dumps(operations.status(options.directory)))


def _resume(options: Any) -> None:
    print(json.dumps(operations.resume(options.directory, options.join_file.read_bytes(), options.url)))
