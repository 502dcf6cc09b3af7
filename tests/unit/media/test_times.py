from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairwitness.home.recordings.times import CameraClock, TimeSource, decide, from_name


def unix(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp())


HERE = CameraClock(zone="America/Los_Angeles")
AFTERNOON = unix(2025, 11, 3, 22, 5, 0)  # 14:05 in California


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("recordings/2025-11-03/22/front/05.00.mp4", "frigate-segment"),
        ("front-1762207500.123456-abc123.mp4", "frigate-event"),
        ("record/20251103/14/05.mp4", "wyze-card"),
        ("25-11-03/14-05-00_Porch_017.mp4", "blink-storage"),
        ("Mp4Record/2025-11-03/RecM01_20251103_140500_140530_6D28808_1F2E3D.mp4", "reolink-card"),
        ("RecS02_DST20251103_140500_140530_0_1.mp4", "reolink-card"),
        ("Front Door-00-20251103140500.mp4", "plain"),
        ("RingVideo_20251103_140500.mp4", "plain"),
        ("Front_Door_2025-11-03_14-05-00.mp4", "plain"),
        ("front_20251103_140500-20251103_141000_abc.mp4", "plain"),
        ("2025-11-03 14.05.00.mov", "plain"),
        ("PXL_20251103_140500.mp4", "plain"),
        ("porch_2025-11-03_14h05m00.mkv", "plain"),
        ("20251103T220500Z.mp4", "iso-zone"),
        ("cam 2025-11-03T14:05:00-08:00.mp4", "iso-zone"),
        ("cam_2025-11-03T23-05-00.250+0100.mp4", "iso-zone"),
    ],
)
def test_forms_of_names(name, form):
    assert from_name(name).form == form
    verdict = decide(name, None, 30.0, HERE)
    assert (verdict.start, verdict.source) == (AFTERNOON, TimeSource.NAME)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("G4 Doorbell 11-23-2025, 14.05.00.mp4", unix(2025, 11, 23, 22, 5)),
        ("G4 Doorbell 23-11-2025, 14.05.00.mp4", unix(2025, 11, 23, 22, 5)),
        ("Drive 11-23-2025, 2.05.00 PM - 11-23-2025, 2.10.00 PM.mp4", unix(2025, 11, 23, 22, 5)),
        ("Drive 11-23-2025, 12.05.00 a.m..mp4", unix(2025, 11, 23, 8, 5)),
        ("Drive 11-11-2025, 14.05.00 GMT+2.mp4", unix(2025, 11, 11, 12, 5)),
        ("Drive 11-03-2025, 14.05.00.mp4", None),  # the eleventh of March or the third of November
        ("Drive 11-23-2025, 14.05.00 PM.mp4", None),
    ],
)
def test_unifi_exports(name, expected):
    assert decide(name, None, 10.0, HERE).start == expected


@pytest.mark.parametrize(
    "name",
    [
        "movie.mp4",
        "clip_1234567890123456789.mp4",
        "20251303_140500.mp4",
        "2025-02-30 10.00.00.mp4",
        "20251103.mp4",
        "",
        "x" * 5000,
    ],
)
def test_other_names_say_nothing(name):
    assert from_name(name) is None
    assert decide(name, None, 1.0, HERE).source is TimeSource.UNKNOWN


@given(st.text(alphabet="0123456789-_. TZ:/+PMapGUC,hm", max_size=60))
def test_no_name_breaks_it(name):
    from_name(name)


def test_the_camera_clock_is_corrected():
    ahead = CameraClock(zone="America/Los_Angeles", offset=120)
    assert decide("20251103_140500.mp4", None, 5.0, ahead).start == AFTERNOON - 120
    trusted = CameraClock(offset=-60, container_trusted=True)
    assert decide("movie.mp4", AFTERNOON, 5.0, trusted).start == AFTERNOON + 60
    assert decide("movie.mp4", AFTERNOON, 5.0, trusted).source is TimeSource.CONTAINER


def test_doubt_is_never_resolved_by_guessing():
    local = "20251103_140500.mp4"
    for name, container, clock, why in [
        (local, None, CameraClock(), "time zone is not set"),
        (local, None, CameraClock(zone="Mars/Olympus"), "does not exist"),
        (local, None, CameraClock(zone="../etc/passwd"), "does not exist"),
        ("20251102_013000.mp4", None, HERE, "clocks changed"),  # happens twice
        ("20250309_023000.mp4", None, HERE, "clocks changed"),  # does not happen
        (local, AFTERNOON + 600, HERE, "disagree"),
        ("movie.mp4", AFTERNOON, HERE, "never checked"),
        ("movie.mp4", None, HERE, "neither"),
    ]:
        verdict = decide(name, container, 30.0, clock)
        assert (verdict.start, verdict.source) == (None, TimeSource.UNKNOWN)
        assert why in verdict.why


@pytest.mark.parametrize("container", [AFTERNOON, AFTERNOON + 4, AFTERNOON + 30, AFTERNOON - 8 * 3600, AFTERNOON - 8 * 3600 + 30])
def test_known_habits_of_containers_agree_with_the_name(container):
    assert decide("20251103_140500.mp4", container, 30.0, HERE).start == AFTERNOON


def test_the_owner_has_the_last_word():
    said = CameraClock(owner_start=5, offset=99)
    verdict = decide("20251103_140500.mp4", AFTERNOON + 999, 1.0, said)
    assert (verdict.start, verdict.source) == (5, TimeSource.OWNER)
