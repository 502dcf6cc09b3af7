"""Every column of the hub, reviewed: none can hold an owner, a place, a match, a read receipt, a decline or an address."""

import pytest
from django.apps import apps
from django.core.management import call_command

# Each table's columns and why they may be there. A new column fails this test until somebody has thought about it here.
REVIEWED = {
    "mark": "name number text",
    "agency": "agency name state level federal polygon_sha256 expires suspended",
    "polygon": "sha256 geojson",  # an agency's public jurisdiction
    "request": "id agency case offense envelope envelope_sha256 state emergency flags rule required log_index "
    "withdrawn_index extended_index resolved_index submitted_at expires review_due",
    "violation": "id request rule message hint",
    "approval": "id request moderator",  # a staff account's number
    "pendingentry": "id sha256 agency kind envelope state rule log_index at",  # the public agency that an entry is about
    "logentry": "index sha256 kind",
    "directoryline": "index envelope",
    "tick": "number state sha256 index gzip rollup_end",
    "sealedpending": "id commitment index",
    "invite": "code_sha256 epoch uses fetches_left",
    "issuance": "digest epoch",
    "issuerkey": "epoch key_id public wrapped",
    "spenttoken": "nonce epoch response_id",
    "upload": "response_id agency size parts nonce state opened_at ended_at sealed tick inbox_day promise withdrawal collected",
    "inboxleaf": "id day leaf",
    "inboxday": "day root leaves",
    "withdrawalnotice": "id agency response_id envelope",
    "status": "response_id agency envelope at",  # the agency's signed word about evidence that it has
    "callnonce": "id agency nonce at",
    "shift": "id moderator begins ends",  # a staff account's number
    "legaldemand": "id at kind reference asked answer silent_until",  # about the keepers, entered by them
}


@pytest.mark.claim("P3", "P4", "P18")
def test_every_column_was_reviewed():
    found = {
        model._meta.model_name: " ".join(field.name for field in model._meta.fields)
        for model in apps.get_app_config("hub").get_models()
    }
    assert found == REVIEWED


@pytest.mark.claim("P3")
def test_no_column_is_named_for_what_must_not_be_known():
    forbidden = ("owner", "home", "user", "email", "phone", "address", "ip", "lat", "lon", "cell", "camera", "match", "seen")
    forbidden += ("read", "declin", "recipient", "subscriber", "device", "session", "browser", "agent_")
    for columns in REVIEWED.values():
        for name in columns.split():
            assert not any(name == word or name.startswith(f"{word}_") for word in forbidden), name


def test_the_models_are_the_migrated_schema(db):
    call_command("makemigrations", "hub", check=True, dry_run=True, verbosity=0)
