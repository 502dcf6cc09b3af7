"""The health pages and metrics of whatever role runs; the role's own test files take these."""

import importlib
import re

import pytest
from django.test import Client

from fairwitness.kit import config
from fairwitness.kit.operate import metrics

pytestmark = pytest.mark.django_db
LISTED = {
    "hub": {
        "fairwitness_log_entries",
        "fairwitness_tick",
        "fairwitness_publish_lag_seconds",
        "fairwitness_publish_problems",
        "fairwitness_state",
    },
    "agency": {"fairwitness_joined", "fairwitness_collect_age_seconds"},
    "home": {"fairwitness_feed_tick", "fairwitness_feed_state"},
}
COMMON = {"fairwitness_ready", "fairwitness_disk_low", "fairwitness_beat_age_seconds"}


def operations():
    return importlib.import_module(f"fairwitness.{config.role_name()}.operate").OPERATIONS


def test_metrics_are_for_this_machine_alone():
    client = Client(SERVER_NAME="localhost")
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == metrics.TYPE
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.9").status_code == 404
    assert client.get("/metrics", headers={"x-forwarded-for": "192.0.2.9"}).status_code == 404
    assert client.post("/metrics").status_code == 405


def test_the_list_of_metrics_is_closed():
    names = {metric.name for metric in (*metrics.COMMON, *operations().metrics)}
    assert names == COMMON | LISTED[config.role_name()]
    text = Client(SERVER_NAME="localhost").get("/metrics").content.decode()
    seen = set(re.findall(r"^([a-z_]+)[ {]", text, re.MULTILINE))
    assert seen <= names
    for word in ("owner", "camera", "match", "answer", "response", "inbox", "upload", "officer", "case"):
        assert word not in text


def test_health_says_one_bit():
    client = Client(SERVER_NAME="localhost")
    assert client.get("/readyz").json() in ({"ready": True}, {"ready": False})
    assert client.get("/healthz").status_code == 200


def test_every_setting_has_a_meaning():
    from fairwitness.kit.operate import settings_page  # noqa: PLC0415 - Django is set up by now

    role = operations()
    assert [item.name for item in settings_page.settings_of(role, role.config()) if not item.meaning] == []
