"""A home's own paths move with it."""

import pytest
from django.db import connection

from fairwitness.home.fields import data_folder
from fairwitness.home.models import Source
from tests.unit.home.conftest import folders, home, hub, lone, moment  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db


def stored(row):
    with connection.cursor() as cursor:
        cursor.execute("SELECT folder FROM home_source WHERE id = %s", [row.pk])
        return cursor.fetchone()[0]


def test_a_folder_of_its_own_is_stored_relative_and_read_absolute(home):  # noqa: F811
    own, other = data_folder() / "recordings" / "00ff", data_folder().parent / "elsewhere"
    row = Source.objects.create(camera=home.porch, folder=str(own))
    assert stored(row) == "recordings/00ff"
    assert Source.objects.get(folder=str(own)).folder == str(own)
    row.folder = str(other)
    row.save()
    assert stored(row) == str(other)
    assert Source.objects.get(pk=row.pk).folder == str(other)


def test_what_an_earlier_version_stored_is_rewritten(home, tmp_path):  # noqa: F811
    from importlib import import_module  # noqa: PLC0415

    from django.apps import apps  # noqa: PLC0415

    row = Source.objects.create(camera=home.porch, folder="x")
    with_camera = tmp_path / "recordings" / "0123456789abcdef"  # an owner's folder that only looks like a recorder's
    with_camera.mkdir(parents=True)
    for before, after in (
        (str(data_folder() / "recordings" / "00aa"), "recordings/00aa"),
        ("/gone/home/recordings/0123456789abcdef", "recordings/0123456789abcdef"),
        (str(with_camera), str(with_camera)),
        ("/srv/cams/front", "/srv/cams/front"),
    ):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE home_source SET folder = %s WHERE id = %s", [before, row.pk])
        import_module("fairwitness.home.migrations.0006_own_places").store_again(apps, None)
        assert stored(row) == after
