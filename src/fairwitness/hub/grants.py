"""What the hub's database user may do (see kit.postgresql.grants).

Projections of the log are written once, as the log is; making them anew (`hub recover`) is the owner's to do. What a
moderator agreed to, what was refused and what was promised stays as it was written.
"""

from fairwitness.kit.postgresql.grants import ANY, APPEND, Grant

GRANTS = {
    "hub.mark": Grant(insert=True, update=("number", "text")),
    "hub.agency": Grant(insert=True, update=("name", "state", "level", "federal", "polygon_sha256", "expires", "suspended")),
    "hub.polygon": APPEND,
    "hub.request": Grant(
        insert=True,
        update=("state", "rule", "log_index", "withdrawn_index", "extended_index", "resolved_index", "expires", "review_due"),
    ),
    "hub.violation": APPEND,
    "hub.approval": APPEND,
    "hub.pendingentry": Grant(insert=True, update=("state", "rule", "log_index")),
    "hub.logentry": APPEND,
    "hub.directoryline": APPEND,
    "hub.tick": ANY,
    "hub.sealedpending": Grant(insert=True, update=("index",)),
    "hub.invite": Grant(insert=True, update=("epoch", "fetches_left"), delete=True),
    "hub.issuance": Grant(insert=True, delete=True),
    "hub.issuerkey": Grant(insert=True, delete=True),
    "hub.spenttoken": Grant(insert=True, delete=True),
    "hub.upload": Grant(
        insert=True,
        update=("state", "ended_at", "sealed", "tick", "inbox_day", "promise", "withdrawal", "collected"),
        delete=True,
    ),
    "hub.inboxleaf": Grant(insert=True, delete=True),
    "hub.inboxday": APPEND,
    "hub.withdrawalnotice": APPEND,
    "hub.status": Grant(insert=True, update=("agency", "envelope", "at")),
    "hub.shift": Grant(insert=True, delete=True),
    "hub.legaldemand": Grant(insert=True, update=("answer",)),
    "hub.callnonce": Grant(insert=True, delete=True),
}
