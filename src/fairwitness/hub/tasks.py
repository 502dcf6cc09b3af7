"""What the hub does on a beat, beside the sequencer (which makes the ticks and flushes the sealed ledger itself).

Every job can be run again at any time and catches up from what is stored.
"""

from fairwitness.hub.config import Config
from fairwitness.hub.services import calls, inbox, legal, moderation, public, publishing, requests, tokens, uploads
from fairwitness.kit import config
from fairwitness.kit.accounts import services as accounts
from fairwitness.kit.beat import Job


def beat_jobs() -> list[Job]:
    """Return the hub's jobs."""
    return [
        *([Job("publish", 10, publishing.beat, at_start=True, lane="publish")] if config.current(Config).publish else []),
        Job("public", 10, public.draw, at_start=True, lane="public"),
        Job("emergency_review", 30, moderation.withdraw_unreviewed, at_start=True),
        Job("requests_expire", 60, requests.expire, at_start=True),
        Job("inbox_epoch", 60, inbox.close_days, at_start=True),
        Job("issuer_keys", 3600, tokens.ensure_keys, at_start=True),
        Job("issuer_forget", 3600, tokens.forget_old),
        Job("uploads_expire", 300, uploads.expire, at_start=True, lane="files"),
        Job("uploads_sweep", 3600, uploads.sweep, lane="files"),
        Job("nonces_forget", 300, calls.forget_old),
        Job("legal_counts", 3600, legal.close_months, at_start=True),
        Job("accounts_clear", 3600, accounts.clear_expired),
    ]
