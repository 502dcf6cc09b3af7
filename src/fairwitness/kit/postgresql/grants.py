"""What a role's own database user may do, table by table: exactly this, and nothing else.

Migrations run as the schema's owner, another user. The owner runs `fairwitness ROLE database migrate`, which ends with
these grants; the node never has the owner's password. A table that nobody wrote a grant for cannot be touched, and
`sql` refuses to guess: a new model fails its test until somebody has thought about it.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.apps import apps
from django.db import connection, models
from django.db.migrations.recorder import MigrationRecorder

from fairwitness.kit import config

ALL = ("*",)


class UnknownTable(Exception):
    """A table has no grant written down, or a grant names no table."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Privileges on one table beside SELECT. `update`: the fields that may change, ALL for any."""

    insert: bool = False
    update: tuple[str, ...] = ()
    delete: bool = False
    select: bool = True


NONE = Grant(select=False)
READ = Grant()
APPEND = Grant(insert=True)
"""Rows are written once: no user of the node can change or remove one."""
ANY = Grant(insert=True, update=ALL, delete=True)

COMMON: Mapping[str, Grant] = {
    "contenttypes.contenttype": READ,
    "auth.permission": NONE,
    "auth.group": NONE,
    "auth.group_permissions": NONE,
    "sessions.session": ANY,
    "accounts.user": Grant(insert=True, update=ALL),
    "accounts.enrolmentcode": Grant(insert=True, update=("used_at",), delete=True),
    "accounts.signin": Grant(insert=True, update=("stage", "method", "seen_at", "ends_at", "revoked_at"), delete=True),
    "accounts.totpgrant": Grant(insert=True, update=("secret_wrapped", "last_counter", "failures", "revoked_at")),
    "account.emailaddress": READ,
    "account.emailconfirmation": NONE,
    "mfa.authenticator": ANY,
    "socialaccount.socialaccount": ANY,
    "socialaccount.socialapp": READ,
    "socialaccount.socialtoken": Grant(delete=True),  # none is kept; an account's end looks for its own
}
MIGRATIONS = MigrationRecorder.Migration._meta.db_table  # noqa: SLF001 - Django's documented Meta API


def tables() -> dict[str, tuple[type[models.Model], Grant]]:
    """Return table name to (model, grant) of every table of this role. Raises UnknownTable."""
    own = importlib.import_module(f"fairwitness.{config.role_name()}.grants").GRANTS
    wanted = dict(COMMON) | dict(own)
    found = {}
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.managed or model._meta.proxy:  # noqa: SLF001 - see MIGRATIONS
            continue
        label = model._meta.label_lower  # noqa: SLF001
        if label not in wanted:
            raise UnknownTable(f"{label}: what may its node's user do with it? Say so in the role's grants.py")
        found[model._meta.db_table] = (model, wanted.pop(label))  # noqa: SLF001
    left = [label for label in wanted if label in own]
    if left:
        raise UnknownTable(f"{left[0]}: there is no such table")
    return found


def privileges() -> dict[tuple[str, str], tuple[str, ...] | None]:
    """Return (table, privilege) to the columns that it is for, None for the whole table: all that the user has."""
    found: dict[tuple[str, str], tuple[str, ...] | None] = {(MIGRATIONS, "SELECT"): None}
    for table, (model, grant) in tables().items():
        for privilege, given in (("SELECT", grant.select), ("INSERT", grant.insert), ("DELETE", grant.delete)):
            if given:
                found[(table, privilege)] = None
        if grant.update == ALL:
            found[(table, "UPDATE")] = None
        elif grant.update:
            columns = [str(model._meta.get_field(name).column) for name in grant.update]  # type: ignore[union-attr]  # noqa: SLF001
            found[(table, "UPDATE")] = tuple(sorted(columns))
    return found


def sql(user: str, database: str) -> str:
    """Return what the owner runs, as one transaction, to give `user` exactly its grants, whatever it had before."""
    quote = connection.ops.quote_name
    name, place = quote(user), quote(database)
    lines = [
        f"REVOKE ALL ON DATABASE {place} FROM PUBLIC;",
        f"REVOKE ALL ON DATABASE {place} FROM {name};",
        f"GRANT CONNECT ON DATABASE {place} TO {name};",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
        f"REVOKE ALL ON SCHEMA public FROM {name};",
        f"GRANT USAGE ON SCHEMA public TO {name};",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {name};",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {name};",
        f"REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM PUBLIC, {name};",
    ]
    for (table, privilege), columns in sorted(privileges().items()):
        what = privilege + (f" ({', '.join(map(quote, columns))})" if columns else "")
        lines.append(f"GRANT {what} ON {quote(table)} TO {name};")
    return "\n".join(["BEGIN;", *lines, "COMMIT;", ""])


_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def differences(user: str) -> list[str]:
    """Return every way in which `user`'s rights are not exactly those wanted, in plain words; empty when they are.

    Asks the server what the user can do in the end, by whatever road: own grants, PUBLIC, other roles, ownership.
    """
    return sorted(_differences(user))


def _differences(user: str) -> Iterator[str]:
    wanted = privileges()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s", [user]
        )
        row = cursor.fetchone()
        if row is None:
            yield f"there is no user {user}"
            return
        names = (
            "a superuser",
            "one who makes roles",
            "one who makes databases",
            "one who replicates",
            "one who passes row rules",
        )
        yield from (f"{user} is {name}" for name, given in zip(names, row, strict=True) if given)
        cursor.execute(
            "SELECT r.rolname FROM pg_roles r WHERE r.rolname <> %s AND pg_has_role(%s, r.oid, 'MEMBER')", [user, user]
        )
        yield from (f"{user} is a member of {name}" for (name,) in cursor.fetchall())
        cursor.execute(
            "SELECT p, has_database_privilege(%s, current_database(), p) FROM unnest(ARRAY['CONNECT','CREATE','TEMPORARY']) p",
            [user],
        )
        yield from _compare("the database", dict(cursor.fetchall()), {"CONNECT"})
        cursor.execute(
            "SELECT nspname, p, has_schema_privilege(%s, oid, p) FROM pg_namespace, unnest(ARRAY['USAGE','CREATE']) p "
            "WHERE nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema'",
            [user],
        )
        schemas: dict[str, dict[str, bool]] = {}
        for schema, privilege, given in cursor.fetchall():
            schemas.setdefault(schema, {})[privilege] = given
        for schema, held in schemas.items():
            yield from _compare(f"the schema {schema}", held, {"USAGE"} if schema == "public" else set())
        cursor.execute(
            "SELECT c.relname, a.attname, p, has_column_privilege(%s, c.oid, a.attnum, p) FROM pg_class c "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "CROSS JOIN unnest(ARRAY['SELECT','INSERT','UPDATE','REFERENCES']) p "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r','p','v','m','f')",
            [user],
        )
        for table, column, privilege, given in cursor.fetchall():
            columns = wanted.get((table, privilege), ())
            may = columns is None or column in columns
            if may != given:
                yield f"{privilege} on {table}.{column} is {'given' if given else 'missing'}"
        cursor.execute(
            "SELECT c.relname, p, has_table_privilege(%s, c.oid, p) FROM pg_class c CROSS JOIN unnest(ARRAY['DELETE','TRUNCATE',"
            "'TRIGGER']) p WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r','p','v','m','f')",
            [user],
        )
        for table, privilege, given in cursor.fetchall():
            if ((table, privilege) in wanted) != given:
                yield f"{privilege} on {table} is {'given' if given else 'missing'}"
        cursor.execute(
            "SELECT c.relname, p FROM pg_class c CROSS JOIN unnest(ARRAY['USAGE','SELECT','UPDATE']) p "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S' AND has_sequence_privilege(%s, c.oid, p)",
            [user],
        )
        yield from (f"{privilege} on the sequence {name} is given" for name, privilege in cursor.fetchall())
        cursor.execute(
            "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace "
            "AND has_function_privilege(%s, p.oid, 'EXECUTE')",
            [user],
        )
        yield from (f"EXECUTE on {name} is given" for (name,) in cursor.fetchall())


def _compare(what: str, held: Mapping[str, bool], wanted: set[str]) -> Iterator[str]:
    for privilege, given in held.items():
        if given != (privilege in wanted):
            yield f"{privilege} on {what} is {'given' if given else 'missing'}"
