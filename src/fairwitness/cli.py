"""The one command line: `fairwitness ROLE ACTION`, `fairwitness verify`, `fairwitness log check`, `fairwitness demo`.

Each role registers its own actions in its `commands.py`; nothing of a role is imported before it is asked for, so that
`verify` starts fast and needs nothing but the core.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from fairwitness_core.verify import cli as verify_cli
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire.errors import ProtocolError

ROLES = ("hub", "home", "agency", "witness")
USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (2 for bad usage)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["verify"]:
        return verify_cli.main(words[1:])
    if words[:2] == ["log", "check"]:
        return verify_cli.main(["log", *words[2:]])
    parser = argparse.ArgumentParser(
        prog="fairwitness",
        description="Ask a neighbourhood for footage in a way that nobody has to take on trust.",
    )
    parser.add_argument("--version", action="version", version=f"fairwitness {metadata.version('fairwitness')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("verify", help="check an evidence bag offline", add_help=False)
    commands.add_parser("log", help="log check DIR-or-URL: re-verify a whole log", add_help=False)
    trust = commands.add_parser("trust", help="turn a join file into a trust policy for `verify --trust`")
    trust.add_argument("join_file", type=Path)
    trust.set_defaults(run=_trust)
    for role in ROLES:
        if words[:1] == [role]:
            importlib.import_module(f"fairwitness.{role}.commands").register(commands)
        else:
            commands.add_parser(role, help=f"run and manage a {role}", add_help=False)
    if words[:1] == ["mirror"]:
        importlib.import_module("fairwitness.kit.operate.commands").register_mirror(commands)
    else:
        commands.add_parser("mirror", help="copy and verify a hub's feed and ledgers", add_help=False)
    if words[:1] == ["public"]:
        importlib.import_module("fairwitness.kit.public.commands").register(commands)
    else:
        commands.add_parser("public", help="draw a hub's public page again from a copy of its log, or compare it", add_help=False)
    if words[:1] == ["demo"]:
        importlib.import_module("fairwitness.demo.commands").register(commands)
    else:
        commands.add_parser("demo", help="the whole neighbourhood on one machine", add_help=False)
    options = parser.parse_args(words)
    try:
        return int(options.run(options) or 0)
    except ProtocolError as error:
        print(f"fairwitness: {error.message} ({error.code}){_hint(error.hint)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130


def _hint(text: str) -> str:
    return f" - {text}" if text else ""


def _trust(options: argparse.Namespace) -> int:
    try:
        data = options.join_file.read_bytes()
    except OSError as error:
        print(f"fairwitness: cannot read {options.join_file}: {error.strerror}", file=sys.stderr)
        return USAGE
    sys.stdout.buffer.write(TrustPolicy.read(data).encode() + b"\n")
    return 0
