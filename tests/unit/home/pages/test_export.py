"""Everything in one ZIP: whole, readable, of the length that was said, and without a key or a password."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import io
import json
import tracemalloc
import zipfile

import pytest

from fairwitness.home.services import export, household, notifier
from tests.unit.home.pages.test_household import paired
from tests.unit.home.pages.test_start import text

SECRET = "Sw0rdfish-7"


@pytest.fixture
def full(home, tmp_path):
    """A home with a request, an answer, channels with passwords and two recordings on disk."""
    from fairwitness.home.models import Recording, Request, Source
    from fairwitness.home.services import answers, matching

    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    home.recording(home.porch, Request.objects.get().start)
    matching.rematch(home.now)
    draft = answers.draft(Request.objects.get().pk)
    answers.set_statement(draft.pk, "A grey van, turning left.")
    answers.set_mode(draft.pk, "identified", name="Sam Vega", contact="sam@home.example")
    notifier.add_channel("Mail", f"mailto://me:{SECRET}@192.168.1.7?to=me@home.lan")
    folder = tmp_path / "cam"
    folder.mkdir()
    Recording.objects.all().delete()
    for name, data in (("one.mp4", b"1" * 700_000), ("two.mp4", b"2" * 300)):
        (folder / name).write_bytes(data)
        made = home.recording(home.porch, home.now - 900, path=name)
        Recording.objects.filter(pk=made.pk).update(size=len(data))
    Source.objects.update(folder=str(folder))
    home.folder = folder
    return home


def read(made):
    data = b"".join(export.stream(made))
    assert len(data) == made.length
    return zipfile.ZipFile(io.BytesIO(data)), data


def test_all_of_it_and_nothing_secret(full):
    from fairwitness.kit import config

    out, data = read(export.plan(with_recordings=True))
    assert out.testzip() is None
    names = out.namelist()
    for name in ("index.html", "home.json", "cameras.json", "settings.json", "recordings.json", "recordings/Porch/one.mp4"):
        assert name in names, name
    (request,) = [json.loads(out.read(name)) for name in names if name.startswith("requests/")]
    (answer,) = [json.loads(out.read(name)) for name in names if name.startswith("answers/")]
    assert request["words"]
    assert request["envelope"]
    assert (answer["statement"], answer["identity"]["name"]) == ("A grey van, turning left.", "Sam Vega")
    assert json.loads(out.read("settings.json"))["channels"] == [{"name": "Mail", "third_party": False, "at_once": False}]
    assert len(json.loads(out.read("recordings.json"))) == 2
    assert out.read("recordings/Porch/one.mp4") == b"1" * 700_000
    assert b"Nothing was left out." in out.read("recordings/left-out.txt")
    page = out.read("index.html").decode()
    assert "Porch" in page
    assert "A grey van, turning left." in page
    assert SECRET.encode() not in data
    for key in (config.current(config.RoleConfig).folder() / "keys").iterdir():
        if key.is_file() and key.stat().st_size > 8:
            assert key.read_bytes().strip() not in data, key.name


def test_what_vanishes_meanwhile_is_named_and_the_length_holds(full):
    made = export.plan(with_recordings=True)
    (full.folder / "one.mp4").unlink()
    (full.folder / "two.mp4").write_bytes(b"2")
    out, _data = read(made)
    told = out.read("recordings/left-out.txt").decode().split()
    assert told == ["recordings/Porch/one.mp4", "recordings/Porch/two.mp4"]


def test_the_page_says_how_much_and_sends_it(full):
    client = paired()
    page = text(client.get("/settings/export"))
    assert "2 recordings as well (683.9" in page
    small = client.post("/settings/export")
    assert small.headers["Content-Disposition"].startswith('attachment; filename="fairwitness-home-')
    data = b"".join(small.streaming_content)
    assert len(data) == int(small.headers["Content-Length"])
    assert not [n for n in zipfile.ZipFile(io.BytesIO(data)).namelist() if n.startswith("recordings/")]
    whole = client.post("/settings/export", {"recordings": "on"})
    assert len(b"".join(whole.streaming_content)) == int(whole.headers["Content-Length"]) > 700_000
    assert paired(household.add("Maya", "member")).post("/settings/export").status_code == 403


@pytest.mark.parametrize("limit", [1, 300, 5_000, 20_000, (1 << 31) - 1])
@pytest.mark.parametrize("most", [1, 3, 65535])
def test_the_length_is_zipfiles_own_whatever_needs_zip64(monkeypatch, limit, most):
    """The limits are drawn in, so that each number of each header takes its long form somewhere."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", most)
    made = export.Plan(1_780_272_000, io.BytesIO())
    for number, size in enumerate((0, 1, 299, 300, 301, 4_999, 20_001, 7)):
        export._put(made, f"é-{number}.bin", bytes(size))
    if limit == 1:
        # zipfile itself refuses sizes beyond its limit only where it was not told to expect them.
        assert len(b"".join(export.stream(made))) == made.length
        return
    assert read(made)[0].testzip() is None


def test_memory_stays_bounded_however_much_goes_out(full):
    from fairwitness.home.models import Recording

    with (full.folder / "one.mp4").open("r+b") as file:
        file.truncate(96 << 20)
    Recording.objects.update(size=1)
    made = export.plan(with_recordings=True)
    tracemalloc.start()
    total = sum(len(block) for block in export.stream(made))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == made.length > 96 << 20
    assert peak < 8 << 20, peak
