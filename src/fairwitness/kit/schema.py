"""Changes of the schema in three states (docs/adr/0008-schema-changes.md): expand, fill, contract.

Expand adds what older code does not see and need not write. Fill writes it for the rows that are there, a batch a transaction,
beside an older process and after any crash. Contract demands it, once every row has it and nothing older runs. A role lists its
changes as `CHANGES` in `fairwitness.<role>.schema`.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.management import call_command
from django.db import connection, migrations, transaction
from django.db.migrations.loader import MigrationLoader

from fairwitness.kit import config

BATCH = 500
STATES = ("expand", "fill", "contract")


class Unfilled(config.ConfigError):
    """A row still lacks what the last state of a change demands; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `expand`, `contract`: names of its migrations in `app`.

    `batch(most)` fills at most so many rows and returns how many it did, 0 when none is left; it looks for its rows anew each
    time, so it can be cut off anywhere. `left()`: how many rows wait.
    """

    app: str
    expand: str
    contract: str
    batch: Callable[[int], int]
    left: Callable[[], int]

    @property
    def name(self) -> str:
        """How the change is called to people."""
        return f"{self.app}.{self.expand}"


def changes() -> tuple[Change, ...]:
    """Return the changes of the role that this process runs, in their order."""
    name = f"fairwitness.{config.role_name()}.schema"
    if importlib.util.find_spec(name) is None:
        return ()
    found: tuple[Change, ...] = importlib.import_module(name).CHANGES
    return found


def state_of(change: Change) -> str:
    """Return how far a change has come: `none`, `expand` or `contract`."""
    applied = set(MigrationLoader(connection).applied_migrations)
    if (change.app, change.contract) in applied:
        return "contract"
    return "expand" if (change.app, change.expand) in applied else "none"


def expand(change: Change) -> None:
    """Make room for the new; does nothing where that is done."""
    if state_of(change) == "none":
        call_command("migrate", change.app, change.expand, interactive=False, verbosity=0)


def fill(change: Change, told: Callable[[int], object] = lambda _rows: None) -> int:
    """Write the new for all rows, a batch a transaction, and return how many that were; goes on where it was cut off."""
    if state_of(change) != "expand":
        return 0
    total = 0
    while True:
        with transaction.atomic():
            done = change.batch(BATCH)
        if not done:
            return total
        total += done
        told(total)


def contract(change: Change) -> None:
    """Demand the new of every row. Raises Unfilled."""
    if state_of(change) == "contract":
        return
    left = change.left() if state_of(change) == "expand" else -1
    if left:
        raise Unfilled(f"{change.name}: {'it was not expanded' if left < 0 else f'{left} rows are not filled'} yet")
    call_command("migrate", change.app, change.contract, interactive=False, verbosity=0)


def bring_up() -> None:
    """Take every change through its three states, and apply all other migrations."""
    for change in changes():
        expand(change)
        fill(change)
        contract(change)
    call_command("migrate", interactive=False, verbosity=0)


def demand(app: str, model: str, **unfilled: Any) -> migrations.RunPython:
    """Return the operation with which a contracting migration begins: it refuses while a row matches `unfilled`."""

    def look(apps: Any, _editor: Any) -> None:
        left = apps.get_model(app, model).objects.filter(**unfilled).count()
        if left:
            raise Unfilled(f"{left} rows of {app}.{model} are not filled yet: fairwitness {app} upgrade DIR --only fill")

    return migrations.RunPython(look, migrations.RunPython.noop)
