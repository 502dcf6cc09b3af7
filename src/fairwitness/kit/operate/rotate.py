"""`fairwitness ROLE rotate WHAT`: replacing a key, in steps of which each can be the last and none leaves two truths.

The node key and the recovery recipient are replaced by sealing every secret anew. What will take their place lies beside them,
`keys/node.key.next` or `keys/recovery.next`, until all is sealed to it; meanwhile the node does not start, and the same
command goes on. Whatever opens with the old or the new key is sealed to the new one, so nothing depends on where it was cut off.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairwitness_core.crypto import seal
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import config, files, supervise
from fairwitness.kit.journal import Event, log

NODE, RECOVERY = "keys/node.key", "keys/recovery.recipient"
NODE_NEXT, RECOVERY_NEXT = "keys/node.key.next", "keys/recovery.next"
NEXT = ".next"
_AGE = b"age-encryption.org/v1\n"


class RotationError(config.ConfigError):
    """A key that cannot be replaced so; nothing was changed, or the message says what to run again."""


def no_options(_parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """One key that a role's keeper can replace.

    `consequences`: what follows, in plain sentences, told before anything is done. `act(folder, options)` does it and returns
    what is printed. `plan(folder, options)` only looks, for --dry-run, and refuses what `act` would. `stopped`: the node must
    not run.
    """

    what: str
    text: str
    consequences: Sequence[str]
    act: Callable[[Path, argparse.Namespace], Mapping[str, Any]]
    plan: Callable[[Path, argparse.Namespace], Mapping[str, Any]] = lambda _folder, _options: {}
    options: Callable[[argparse.ArgumentParser], None] = no_options
    stopped: bool = True


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was found sealed: how many secrets were sealed anew, and which files open with none of our keys."""

    count: int
    strangers: tuple[str, ...]


def never(what: str, text: str, why: str) -> Rotation:
    """Return a rotation that always refuses, and says what is done instead."""

    def refuse(_folder: Path, _options: argparse.Namespace) -> Mapping[str, Any]:
        raise RotationError(why)

    return Rotation(what, text, (why,), refuse, refuse, stopped=False)


def unfinished(folder: Path) -> list[str]:
    """Return which replacements were begun in `folder` and have to be finished before the node may start."""
    keys = folder / "keys"
    if not keys.is_dir():
        return []
    found = [name for name, path in (("node-key", NODE_NEXT), ("recovery", RECOVERY_NEXT)) if (folder / path).exists()]
    return [*found, *(f"officer {path.stem}" for path in sorted(keys.glob(f"officers/*{NEXT}")))]


def refuse_unfinished(folder: Path) -> None:
    """Raise RotationError where a replacement of keys was cut off."""
    begun = unfinished(folder)
    if begun:
        raise RotationError(
            f"the replacement of a key was cut off ({', '.join(begun)}): run the same rotate command again, it goes on where it "
            "stopped; until then this node does not start"
        )


# ---------------------------------------------------------------- the node key


def node_key(folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    """Replace the node key: 1. the new one is on disk; 2. every secret opens with it; 3. it takes the old one's place.

    With `options.identity`, the recovery identity, also where the old one is lost. Raises RotationError.
    """
    _check_room(folder, RECOVERY_NEXT)
    identities, lost = _identities(folder, options)
    # 1.
    place = folder / NODE_NEXT
    if not place.exists():
        files.write_atomic(place, seal.new_identity()[0].encode())
    fresh = files.read_secret(place).decode().strip()
    # 2.
    recovery = _recovery(folder)
    found = _reseal(folder, [fresh, *identities], [seal.recipient_of(fresh), *recovery], check=fresh)
    # 3.
    replace_shredding(place, folder / NODE)
    log(Event.ROTATED, key="node-key", count=found.count)
    return {"sealed_anew": found.count, "left_alone": list(found.strangers), "old_key": "lost" if lost else "destroyed"}


def _identities(folder: Path, options: argparse.Namespace) -> tuple[list[str], bool]:
    found = []
    old = folder / NODE
    if old.exists():
        found.append(files.read_secret(old).decode().strip())
    if getattr(options, "identity", None):
        found.append(files.read_secret(Path(options.identity)).decode().strip())
    if not found:
        raise RotationError(
            f"{old} is not there. If it is a systemd credential, put it there (mode 0600) for this, and encrypt the "
            f"new one after; if "
            "it is lost, name the file with the recovery identity: --identity FILE. Without either nothing opens these secrets"
        )
    return found, not old.exists()


def _node_key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--identity", metavar="FILE", help="file (0600) with the recovery identity, where the node key is lost")
    _owner_option(parser)


# ---------------------------------------------------------------- the recovery identity


def recovery(folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    """Have every secret open with another recovery identity, and no longer with the old one. Raises RotationError."""
    _check_room(folder, NODE_NEXT)
    recipient = seal.check_recipient(options.recipient)
    place = folder / RECOVERY_NEXT
    if (folder / RECOVERY).exists() and (folder / RECOVERY).read_text().strip() == recipient and not place.exists():
        raise RotationError("that is the recovery recipient of this node already; nothing was changed")
    if not (folder / NODE).exists():
        raise RotationError(f"{folder / NODE} is not there: bring the node key back first, rotate node-key --identity FILE does")
    node = files.read_secret(folder / NODE).decode().strip()
    files.write_atomic(place, recipient.encode())
    found = _reseal(folder, [node], [seal.recipient_of(node), recipient], check=node)
    place.replace(folder / RECOVERY)
    files.sync_folder(place.parent)
    log(Event.ROTATED, key="recovery", count=found.count)
    return {"sealed_anew": found.count, "left_alone": list(found.strangers), "recipient": recipient}


def _recovery_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipient", required=True, metavar="AGE", help="the new one (age1...), whose identity you made and keep on paper"
    )
    _owner_option(parser)


def _owner_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--owner", type=Path, metavar="FILE", help="PostgreSQL: user and password of the database's owner")


def _recovery(folder: Path) -> list[str]:
    path = folder / RECOVERY
    return [path.read_text().strip()] if path.exists() else []


def _check_room(folder: Path, other: str) -> None:
    if (folder / other).exists():
        raise RotationError(f"another replacement was cut off: finish that first ({', '.join(unfinished(folder))})")


def _plan(folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    if hasattr(options, "recipient"):
        seal.check_recipient(options.recipient)
        identities = [files.read_secret(folder / NODE).decode().strip()] if (folder / NODE).exists() else []
    else:
        identities, _ = _identities(folder, options)
    for name in (NODE_NEXT,):
        if (folder / name).exists():
            identities.append(files.read_secret(folder / name).decode().strip())
    found = [place for place, data in secrets(folder) if opened(data, identities) is not None]
    strangers = [place for place, data in secrets(folder) if opened(data, identities) is None]
    return {"would_seal_anew": len(found), "would_leave_alone": strangers, "goes_on": unfinished(folder)}


COMMON = (
    Rotation(
        what="node-key",
        text="make a new node key and seal every secret of this node to it",
        consequences=(
            "The node must be stopped. It starts with the new key; what was sealed to the old one opens no more here.",
            (
                "Backups made before still open with the recovery identity, and their sealed keys hold the old node "
                "key: make a new backup."
            ),
            "Whoever copied the old key and old files can still read what those files held then: replace those keys too.",
        ),
        act=node_key,
        plan=_plan,
        options=_node_key_options,
    ),
    Rotation(
        what="recovery",
        text="seal every secret of this node to another recovery identity",
        consequences=(
            "The old paper opens nothing that is here from then on; the new one opens all of it.",
            (
                "Backups and sealed keys made before still open with the old paper, and only with it: keep it as long "
                "as them, or make new "
                "ones and destroy both."
            ),
            "If the old paper was stolen, whoever has it and an old backup's sealed keys has the keys: replace those too.",
        ),
        act=recovery,
        plan=_plan,
        options=_recovery_options,
    ),
)


# ---------------------------------------------------------------- sealing anew


def _reseal(folder: Path, identities: Sequence[str], recipients: Sequence[str], *, check: str) -> Sealed:
    """Seal every secret that one of `identities` opens to `recipients`, and see that `check` opens it then."""
    count, strangers = 0, []

    def again(secret: bytes) -> bytes:
        made = seal.seal_bytes(secret, recipients)
        if seal.open_bytes(made, [check]) != secret:
            raise RotationError("a secret that was sealed anew did not open; nothing was destroyed")
        return made

    for path in _sealed_files(folder):
        secret = opened(files.read_secret(path), identities)
        if secret is None:
            strangers.append(path.relative_to(folder).as_posix())
        else:
            files.write_atomic(path, again(secret))
            count += 1
    if (folder / config.FILE_NAME).exists():
        from django.db import connection, transaction  # noqa: PLC0415 - a node that has no database needs none

        with transaction.atomic(), connection.cursor() as cursor:
            for table, key, column in _columns():
                for pk, data in _sealed_rows(cursor, table, key, column):
                    secret = opened(data, identities)
                    if secret is None:
                        strangers.append(f"{table}.{column}")
                    else:
                        quoted = [connection.ops.quote_name(name) for name in (table, column, key)]
                        sql = "UPDATE {} SET {} = %s WHERE {} = %s".format(*quoted)  # noqa: S608 - our own names
                        cursor.execute(sql, [again(secret), pk])
                        count += 1
    return Sealed(count, tuple(sorted(set(strangers))))


def secrets(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every sealed secret of a node with its place: files below keys/, and rows."""
    for path in _sealed_files(folder):
        yield path.relative_to(folder).as_posix(), files.read_secret(path)
    if (folder / config.FILE_NAME).exists():
        from django.db import connection  # noqa: PLC0415 - a node that has no database needs none

        with connection.cursor() as cursor:
            for table, key, column in _columns():
                for _, data in _sealed_rows(cursor, table, key, column):
                    yield f"{table}.{column}", data


def _sealed_files(folder: Path) -> Iterator[Path]:
    for path in sorted((folder / "keys").rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            with path.open("rb") as stream:
                if stream.read(len(_AGE)) == _AGE:
                    yield path


def _columns() -> Iterator[tuple[str, str, str]]:
    """Yield (table, its key, column) of everything in the database that could be a sealed secret."""
    from django.apps import apps  # noqa: PLC0415 - needs the settings
    from django.db.models import BinaryField  # noqa: PLC0415

    for model in apps.get_models():
        for field in model._meta.concrete_fields:  # noqa: SLF001 - Django's own way to look at a model
            if isinstance(field, BinaryField):
                yield model._meta.db_table, str(model._meta.pk.column), str(field.column)  # noqa: SLF001


def _sealed_rows(cursor: Any, table: str, key: str, column: str) -> list[tuple[Any, bytes]]:
    from django.db import connection  # noqa: PLC0415 - needs the settings

    names = [connection.ops.quote_name(name) for name in (key, column, table, column)]
    cursor.execute("SELECT {}, {} FROM {} WHERE substr({}, 1, %s) = %s".format(*names), [len(_AGE), _AGE])  # noqa: S608 - our own names
    return [(pk, bytes(data)) for pk, data in cursor.fetchall()]


def opened(data: bytes, identities: Sequence[str]) -> bytes | None:
    """Return a secret, None where none of `identities` opens it."""
    try:
        return seal.open_bytes(data, list(identities)) if identities else None
    except ProtocolError:
        return None


def replace_shredding(fresh: Path, old: Path) -> None:
    """Give `fresh` the name of `old`, and overwrite what stood there; durable on return."""
    handle = os.open(old, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW) if old.exists() else -1
    try:
        fresh.replace(old)
        files.sync_folder(old.parent)
        if handle >= 0:
            os.pwrite(handle, bytes(os.fstat(handle).st_size), 0)
            os.fsync(handle)
    finally:
        if handle >= 0:
            os.close(handle)


# ---------------------------------------------------------------- the command


def run(role: str, rotation: Rotation, options: argparse.Namespace, told: Callable[[str], object]) -> Mapping[str, Any]:
    """Say what follows, and do it unless it is only tried. Raises RotationError and whatever the rotation raises."""
    folder: Path = options.directory.absolute()
    if getattr(options, "owner", None):
        files.require_mode(options.owner)
        os.environ[config.OWNER_VARIABLE] = str(options.owner.absolute())
    if (folder / config.FILE_NAME).exists():
        supervise.setup(role, folder)
        from fairwitness.kit import database  # noqa: PLC0415 - needs the settings

        database.migrate_at_start()
    for line in rotation.consequences:
        told(line)
    if options.dry_run:
        return {"dry_run": True, **rotation.plan(folder, options)}
    return {"rotated": rotation.what, **rotation.act(folder, options)}
