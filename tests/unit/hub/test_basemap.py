"""The operator's base map is handed out whole: neither a range nor an address says which place somebody looks at."""

import os

import pytest
from django.test import Client

from fairwitness.kit import config


@pytest.fixture
def chart(world):
    """A base map in the hub's data folder, as `basemap` in config.toml names it."""
    cfg = config.current(config.RoleConfig)
    before = cfg.basemap
    path = cfg.data_dir / "town.pmtiles"
    path.write_bytes(b"PMTiles\x03" + bytes(range(256)) * 40)
    object.__setattr__(cfg, "basemap", path.name)
    yield path
    object.__setattr__(cfg, "basemap", before)


def body(answer):
    return b"".join(answer.streaming_content)


def test_a_range_is_answered_with_the_whole_map(chart):
    whole = chart.read_bytes()
    for asked in ("bytes=0-0", "bytes=512-1023", "bytes=-16", "bytes=99999999-"):
        answer = Client().get("/basemap.pmtiles", headers={"Range": asked})
        assert answer.status_code == 200, asked
        assert body(answer) == whole, asked
        assert "Content-Range" not in answer.headers
        assert "Accept-Ranges" not in answer.headers


def test_a_known_map_is_not_sent_again_and_a_changed_one_is(chart):
    first = Client().get("/basemap.pmtiles")
    assert body(first) == chart.read_bytes()
    tag = first.headers["ETag"]
    known = Client().get("/basemap.pmtiles", headers={"If-None-Match": tag})
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", tag)

    moment = chart.stat().st_mtime_ns + 1_000_000
    chart.write_bytes(chart.read_bytes()[::-1])
    os.utime(chart, ns=(moment, moment))
    changed = Client().get("/basemap.pmtiles", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag
    assert body(changed) == chart.read_bytes()


def test_everybody_gets_the_same_answer_without_a_cookie(chart):
    one = Client().get("/basemap.pmtiles")
    other = Client().get("/basemap.pmtiles", headers={"Cookie": "sessionid=x", "Accept-Language": "es"})
    for answer in (one, other):
        assert not answer.cookies
        assert answer.headers["Cache-Control"] == "public, max-age=86400"
    assert body(one) == body(other)
    assert dict(one.headers) == dict(other.headers)


def test_no_map_no_answer_and_nothing_is_written_to_it(chart):
    assert Client().post("/basemap.pmtiles", b"x", content_type="application/octet-stream").status_code == 404
    chart.unlink()
    assert Client().get("/basemap.pmtiles").status_code == 404
