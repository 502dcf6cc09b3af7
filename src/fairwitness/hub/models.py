"""The hub's tables.

None can hold an owner, a place, a match, a read receipt or a decline, an address or a browser's name: a test compares every
column with a reviewed list. Rows about the logs are a projection of the log files and can be rebuilt from them.
"""

from typing import ClassVar

from django.db import models


class _Row(models.Model):
    """A row shows its key and nothing else: rows get into error reports."""

    class Meta:
        """No table of its own."""

        abstract = True

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.pk}"


class Mark(_Row):
    """A counter of the sequencer: how far a log is projected, the last sealed beat, the state shown as health."""

    name = models.CharField(max_length=32, primary_key=True)
    number = models.BigIntegerField(default=0)
    text = models.CharField(max_length=200, default="")


class Agency(_Row):
    """Projection of the directory, and the polygon that the logged authorisation names by hash."""

    agency = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=120)
    state = models.CharField(max_length=2)
    level = models.CharField(max_length=16)
    federal = models.BooleanField()
    polygon_sha256 = models.CharField(max_length=64)
    expires = models.BigIntegerField()
    suspended = models.BooleanField(default=False)


class Polygon(_Row):
    """A jurisdiction as GeoJSON, by the hash that the log carries."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    geojson = models.BinaryField()


class Request(_Row):
    """A request on its way into public: submitted, approved, published, refused, withdrawn, expired or resolved.

    `expires` is the end that counts now: an extension, whose place in the log is `extended_index`, moves it.
    """

    id = models.CharField(max_length=32, primary_key=True)
    agency = models.CharField(max_length=32, db_index=True)
    case = models.CharField(max_length=40)
    offense = models.CharField(max_length=10)
    envelope = models.BinaryField()
    envelope_sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=16, db_index=True)
    emergency = models.BooleanField()
    flags = models.TextField(default="")
    rule = models.CharField(max_length=64, default="")
    required = models.IntegerField(default=1)
    log_index = models.BigIntegerField(null=True, db_index=True)
    withdrawn_index = models.BigIntegerField(null=True)
    extended_index = models.BigIntegerField(null=True)
    resolved_index = models.BigIntegerField(null=True)
    submitted_at = models.BigIntegerField()
    expires = models.BigIntegerField()
    review_due = models.BigIntegerField(null=True, db_index=True)


class Violation(_Row):
    """Why a request was refused by rule, so that a retry is answered alike. Never public beyond the first rule's name."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="violations")
    rule = models.CharField(max_length=64)
    message = models.CharField(max_length=400)
    hint = models.CharField(max_length=400)


class Approval(_Row):
    """A moderator agreed to a request (kept inside the hub; the log gets the count)."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="approvals")
    moderator = models.BigIntegerField()

    class Meta:
        """One each."""

        constraints: ClassVar = [models.UniqueConstraint(fields=["request", "moderator"], name="one_approval_each")]


class PendingEntry(_Row):
    """An envelope for the public log: queued until the sequencer has appended it, or refused it. `agency`: whom it names."""

    sha256 = models.CharField(max_length=64, unique=True)
    agency = models.CharField(max_length=64, default="", db_index=True)
    kind = models.CharField(max_length=40)
    envelope = models.BinaryField()
    state = models.CharField(max_length=10, default="queued", db_index=True)
    rule = models.CharField(max_length=64, default="")
    log_index = models.BigIntegerField(null=True)
    at = models.BigIntegerField()


class LogEntry(_Row):
    """Projection of the public log: which entry is of which kind."""

    index = models.BigIntegerField(primary_key=True)
    sha256 = models.CharField(max_length=64, db_index=True)
    kind = models.CharField(max_length=40)

    class Meta:
        """Ticks ask for the feed's kinds in a range of indexes."""

        indexes: ClassVar = [models.Index(fields=["kind", "index"], name="kind_then_index")]


class DirectoryLine(_Row):
    """A directory entry's envelope, so that every process folds the same directory."""

    index = models.BigIntegerField(primary_key=True)
    envelope = models.BinaryField()


class Tick(_Row):
    """A tick of the feed: prepared, appended, cosigned, served. `gzip` goes when the container is served."""

    number = models.BigIntegerField(primary_key=True)
    state = models.CharField(max_length=10, db_index=True)
    sha256 = models.CharField(max_length=64)
    index = models.BigIntegerField(null=True)
    gzip = models.BinaryField(null=True)
    rollup_end = models.BigIntegerField(null=True)


class SealedPending(_Row):
    """A commitment for the sealed ledger and, once flushed, where it stands. Not by whom."""

    commitment = models.BinaryField(unique=True, max_length=32)
    index = models.BigIntegerField(null=True, db_index=True)


class Invite(_Row):
    """An invite code's hash, for how many households it is, and how many fetches it has left in its epoch."""

    code_sha256 = models.CharField(max_length=64, primary_key=True)
    epoch = models.BigIntegerField()
    uses = models.IntegerField()
    fetches_left = models.IntegerField()


class Issuance(_Row):
    """The hash of a blind issuance that counted, so that its retry does not count again. Gone with its epoch."""

    digest = models.CharField(max_length=64, primary_key=True)
    epoch = models.BigIntegerField(db_index=True)


class IssuerKey(_Row):
    """An epoch's token key, its seed wrapped to the node key and destroyed when the epoch is over."""

    epoch = models.BigIntegerField(primary_key=True)
    key_id = models.CharField(max_length=64, unique=True)
    public = models.BinaryField()
    wrapped = models.BinaryField()


class SpentToken(_Row):
    """A token that was spent, and on which response."""

    nonce = models.CharField(max_length=64, primary_key=True)
    epoch = models.BigIntegerField(db_index=True)
    response_id = models.CharField(max_length=64, unique=True)


class Upload(_Row):
    """A response's ciphertext: open, sealed, collected, withdrawn or expired. Never what is in it."""

    response_id = models.CharField(max_length=64, primary_key=True)
    agency = models.CharField(max_length=32, db_index=True)
    size = models.BigIntegerField()
    parts = models.IntegerField()
    nonce = models.CharField(max_length=64)
    state = models.CharField(max_length=10, db_index=True)
    opened_at = models.BigIntegerField()
    ended_at = models.BigIntegerField(null=True)
    sealed = models.CharField(max_length=64, default="")
    tick = models.BigIntegerField(null=True)
    inbox_day = models.CharField(max_length=8, default="", db_index=True)
    promise = models.BinaryField(default=b"")
    withdrawal = models.BinaryField(default=b"")
    collected = models.BooleanField(default=False)


class InboxLeaf(_Row):
    """A promised response in its day's accounting."""

    day = models.CharField(max_length=8, db_index=True)
    leaf = models.BinaryField(unique=True, max_length=32)


class InboxDay(_Row):
    """A day that was accounted for: its root is in the log."""

    day = models.CharField(max_length=8, primary_key=True)
    root = models.BinaryField()
    leaves = models.IntegerField()


class WithdrawalNotice(_Row):
    """A responder took back what the agency had collected already; `id` counts up and is the agency's bookmark."""

    agency = models.CharField(max_length=32, db_index=True)
    response_id = models.CharField(max_length=64, unique=True)
    envelope = models.BinaryField()


class Status(_Row):
    """The agency's newest signed word about a response."""

    response_id = models.CharField(max_length=64, primary_key=True)
    agency = models.CharField(max_length=32)
    envelope = models.BinaryField()
    at = models.BigIntegerField()


class CallNonce(_Row):
    """A call that was made; kept as long as its time would be accepted again."""

    agency = models.CharField(max_length=32)
    nonce = models.CharField(max_length=32)
    at = models.BigIntegerField(db_index=True)

    class Meta:
        """A nonce is used once."""

        constraints: ClassVar = [models.UniqueConstraint(fields=["agency", "nonce"], name="nonce_once")]


class Shift(_Row):
    """A moderator (a staff account's number) is on duty from `begins` to `ends`, Unix seconds."""

    moderator = models.BigIntegerField()
    begins = models.BigIntegerField(db_index=True)
    ends = models.BigIntegerField(db_index=True)

    class Meta:
        """In order."""

        ordering: ClassVar = ["begins", "id"]


class LegalDemand(_Row):
    """What somebody demanded of the keepers by law: of which kind, under which number, what for, what was handed over."""

    at = models.BigIntegerField()
    kind = models.CharField(max_length=16)
    reference = models.CharField(max_length=300)
    asked = models.CharField(max_length=300)
    answer = models.CharField(max_length=16)
    silent_until = models.BigIntegerField(null=True)

    class Meta:
        """The newest first."""

        ordering: ClassVar = ["-at", "-id"]
