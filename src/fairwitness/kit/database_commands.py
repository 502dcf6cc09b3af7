"""`fairwitness ROLE database ...`: what the owner of a PostgreSQL database does, and what can be looked at."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairwitness.kit import config, files, supervise

_TEXTS = {
    "migrate": "bring the schema up to date and give the node's user exactly its rights (needs --owner)",
    "grants": "print the SQL that gives the node's user exactly its rights",
    "check": "say in what the user's rights are not those; status 1 if in anything",
    "scrub": "rewrite the tables without what was deleted (needs --owner)",
}


def add_init_options(parser: argparse.ArgumentParser) -> None:
    """Let `init` say where rows and sealed bytes will lie."""
    parser.add_argument("--database-url", default="", metavar="URL", help="postgresql://user@host/name; SQLite where absent")
    parser.add_argument("--blobs-url", default="", metavar="URL", help="s3://bucket/prefix; files where absent")
    parser.add_argument("--blobs-endpoint", default="", metavar="URL", help="the S3 server's address")


def settings_of(arguments: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Return what `add_init_options` was given, as tables of config.toml."""
    found: dict[str, dict[str, str]] = {}
    if arguments.database_url:
        found["database"] = {"url": arguments.database_url}
    if arguments.blobs_url:
        found["blobs"] = {"url": arguments.blobs_url}
        if arguments.blobs_endpoint:
            found["blobs"]["endpoint"] = arguments.blobs_endpoint
    return found


def register(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", role: str, *, scrubbed: Callable[[], object] = lambda: None
) -> None:
    """Add the role's `database` command. `scrubbed` is called, as the owner, when everything deleted is gone."""
    text = "look after this node's PostgreSQL database"
    parser = commands.add_parser("database", help=text, description=text)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, words in _TEXTS.items():
        action = actions.add_parser(name, help=words, description=words)
        action.add_argument("dir", type=Path, help="the node's data folder")
        action.add_argument("--owner", type=Path, metavar="FILE", help="a file (0600): user = ..., password = ... of the owner")
        action.set_defaults(run=lambda arguments: _run(role, arguments, scrubbed))


def _run(role: str, arguments: argparse.Namespace, scrubbed: Callable[[], object]) -> int:
    from django.db import DatabaseError  # noqa: PLC0415 - commands start quickly

    try:
        return _act(role, arguments, scrubbed)
    except (config.ConfigError, OSError) as error:
        sys.stderr.write(f"fairwitness {role}: {error}\n")
    except DatabaseError as error:
        sys.stderr.write(f"fairwitness {role}: the database refused: {str(error).splitlines()[0]}\n")
    return 1


def _act(role: str, arguments: argparse.Namespace, scrubbed: Callable[[], object]) -> int:
    if not (arguments.dir / config.FILE_NAME).exists():
        raise config.ConfigError(f"{arguments.dir} holds no node")
    if arguments.owner is not None:
        files.require_mode(arguments.owner)
        os.environ[config.OWNER_VARIABLE] = str(arguments.owner.absolute())
    elif arguments.action in ("migrate", "scrub") and not os.environ.get(config.OWNER_VARIABLE):
        raise config.ConfigError(f"database {arguments.action} is the owner's to do: name a file with --owner")
    supervise.setup(role, arguments.dir)
    url = config.current(config.RoleConfig).database.url
    if not url:
        raise config.ConfigError("this node keeps its rows in SQLite: there is nothing to look after")
    from fairwitness.kit import database  # noqa: PLC0415 - needs the settings
    from fairwitness.kit.postgresql import connecting, grants  # noqa: PLC0415

    address = connecting.address_of(url)
    user, name = address["user"], address["dbname"]
    if arguments.action == "grants":
        sys.stdout.write(grants.sql(user, name))
        return 0
    if arguments.action == "migrate":
        applied = database.migrate_at_start()
        database.run_script(grants.sql(user, name))
        return _answer({"applied": applied, "user": user}, grants.differences(user))
    if arguments.action == "check":
        return _answer({"user": user}, grants.differences(user))
    if not database.scrub():
        raise config.ConfigError("this user does not own the tables")
    scrubbed()
    return _answer({"scrubbed": True}, [])


def _answer(value: dict[str, Any], differences: list[str]) -> int:
    sys.stdout.write(json.dumps(value | {"differences": differences}) + "\n")
    return 1 if differences else 0
