import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction

from fairwitness.kit import config, database
from tests.harness.rows import as_owner

POSTGRESQL = connection.vendor == "postgresql"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.skipif(POSTGRESQL, reason="says what SQLite does")
def test_pragmas(tmp_path):
    with connection.cursor() as cursor:
        found = {
            name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "secure_delete", "foreign_keys")
        }
    assert found == {"synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    data = config.current(config.RoleConfig).data_dir
    assert (data / "db.sqlite3").stat().st_mode & 0o777 == 0o600
    assert (data / "keys/django.key").stat().st_mode & 0o777 == 0o600


def test_models_and_migrations_agree():
    call_command("makemigrations", "accounts", check=True, dry_run=True, verbosity=0)


def test_start_migrates_and_refuses_a_newer_schema(journal_lines):
    assert database.migrate_at_start() == 0
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('accounts', '9999_later', '2030-01-01')")
    try:
        with pytest.raises(database.NewerSchema, match=r"accounts\.9999_later"):
            database.migrate_at_start()
    finally:
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '9999_later'")
    assert [line["event"] for line in journal_lines] == ["migrated"]


def test_durable_is_the_outermost_transaction():
    @database.durable
    def step():
        get_user_model().objects.create(username="a", display_name="a", role="admin", created_at=0)

    step()
    with pytest.raises(RuntimeError), transaction.atomic():
        step()


def test_scrub_refuses_inside_a_transaction():
    with transaction.atomic(), pytest.raises(RuntimeError, match="no open transaction"):
        database.scrub()
    assert database.scrub() is not POSTGRESQL  # there it is for the owner of the tables
    with as_owner():
        assert database.scrub()
