"""What the agency's database user may do (see kit.postgresql.grants).

Of a custody record only how far it is proven can change: the signed event, its number, nonce and commitment cannot, and no
record, case, hold or withdrawal can be removed.
"""

from fairwitness.kit.postgresql.grants import ANY, APPEND, Grant

GRANTS = {
    "agency.officer": Grant(
        insert=True, update=("public_key", "created_at", "removed_at", "trained_until", "training", "renewed_at")
    ),
    "agency.freeze": Grant(insert=True, update=("lifted_by_id", "lifted_at")),
    "agency.retentionclass": ANY,
    "agency.case": APPEND,
    "agency.casemember": Grant(insert=True, update=("removed_at",)),
    "agency.casenote": Grant(insert=True, update=("struck_at", "struck_by_id")),
    "agency.auditrecord": APPEND,
    "agency.request": Grant(insert=True, update=("*",)),
    "agency.requestchange": Grant(insert=True, update=("state", "approved_by_id", "envelope", "log_index", "proof", "refusal")),
    "agency.response": Grant(insert=True, update=("*",)),
    "agency.clip": Grant(insert=True, delete=True),
    "agency.annotation": Grant(insert=True, update=("struck_at", "struck_by_id", "struck_words")),
    "agency.custodyrecord": Grant(insert=True, update=("state", "index", "proof")),
    "agency.touch": Grant(insert=True, update=("expires_at", "done_at")),
    "agency.status": Grant(insert=True, update=("sent_at",)),
    "agency.withdrawal": Grant(insert=True, update=("noted",)),
    "agency.hold": Grant(insert=True, update=("lifted_at",)),
    "agency.export": Grant(insert=True, update=("written_at",), delete=True),
    "agency.notice": Grant(insert=True, update=("seen_at",)),
    "agency.mark": ANY,
}
