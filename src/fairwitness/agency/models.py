"""The agency's tables. No row holds what an owner wrote, showed or is called: that lies sealed in files.

Rows hold ids, hashes, states, times (whole Unix seconds, UTC) and what the agency itself wrote. Nothing here exists for an
owner who did not answer: there is no recipient, delivery, view, decline or count of any of them to hold (P1, P2).
"""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Officer(models.Model):
    """A person of the agency with a signing key of their own. `actor` is the pseudonym in custody records.

    `trained_until`: when their training runs out (`training` says which it was); `renewed_at`: when somebody last confirmed
    that they need access.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="officer")
    actor = models.CharField(max_length=64, unique=True)
    public_key = models.BinaryField(max_length=32, unique=True)
    created_at = models.BigIntegerField()
    removed_at = models.BigIntegerField(null=True)
    trained_until = models.BigIntegerField()
    training = models.CharField(max_length=120, blank=True)
    renewed_at = models.BigIntegerField()

    class Meta:
        """One order everywhere."""

        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return self.actor


class Freeze(models.Model):
    """The whole agency stands still: from `at` on nobody but an administrator may do anything, until it is lifted."""

    by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    at = models.BigIntegerField()
    reason = models.CharField(max_length=300)
    lifted_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+", null=True)
    lifted_at = models.BigIntegerField(null=True)

    class Meta:
        """The newest first."""

        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.reason


class RetentionClass(models.Model):
    """How long accepted evidence of some offences stays before a supervisor has to look at it again. Nothing goes by itself."""

    name = models.CharField(max_length=80, unique=True)
    days = models.IntegerField()
    offenses = models.JSONField(default=list)

    class Meta:
        """The shortest first."""

        ordering: ClassVar = ["days", "name"]

    def __str__(self) -> str:
        return self.name


class Case(models.Model):
    """An investigation of the agency."""

    number = models.CharField(max_length=40, unique=True)
    offense = models.CharField(max_length=10)
    title = models.CharField(max_length=200, blank=True)
    opened_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    opened_at = models.BigIntegerField()

    class Meta:
        """The newest first."""

        ordering: ClassVar = ["-opened_at", "-id"]

    def __str__(self) -> str:
        return self.number


class CaseMember(models.Model):
    """An officer who works on a case. A row ends, it is never removed: who could see what, and when, stays known."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="members")
    officer = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    added_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    added_at = models.BigIntegerField()
    removed_at = models.BigIntegerField(null=True)

    class Meta:
        """In the order of joining."""

        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["case", "officer"], condition=models.Q(removed_at=None), name="case_member_once")
        ]

    def __str__(self) -> str:
        return f"{self.case_id} {self.officer_id}"


class AuditRecord(models.Model):
    """One act of one person on this node: the same fields for every act, inserted and never changed.

    `actor` is the officer's pseudonym, `node` where nobody acted but the program. `subject` names what was acted on
    (`case 12`, `request <id>`, `response <id>`, `officer o-…`), `case` the case's number where there is one, `words` what
    the person gave as a reason, or what changed. Custody has its own chain; this is everything beside it.
    """

    at = models.BigIntegerField(db_index=True)
    actor = models.CharField(max_length=64, db_index=True)
    action = models.CharField(max_length=40, db_index=True)
    subject = models.CharField(max_length=80, db_index=True)
    case = models.CharField(max_length=40, blank=True, db_index=True)
    words = models.CharField(max_length=600, blank=True)

    class Meta:
        """The newest first."""

        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


class CaseNote(models.Model):
    """What an officer wrote down in a case. A note that no longer holds is struck, never removed."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="notes")
    officer = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    at = models.BigIntegerField()
    text = models.TextField()
    struck_at = models.BigIntegerField(null=True)
    struck_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+", null=True)

    class Meta:
        """In the order of writing."""

        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.case_id} {self.pk}"


class Request(models.Model):
    """A Community Request. `payload` are the bytes that both officers sign; they never change once drafted.

    Its age identity is the file `keys/requests/<id>.key`; `key_destroyed_at` tells when that went. `expires_at` is the end that
    counts now, which an extension moves. `return_note` came back with a draft from `returned_by`; `replaces` is the draft that
    this one was written anew from.
    """

    id = models.CharField(max_length=32, primary_key=True)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="requests")
    state = models.CharField(max_length=16)
    payload = models.BinaryField()
    drafted_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    draft_signature = models.BinaryField(max_length=64)
    approved_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+", null=True)
    envelope = models.BinaryField(null=True)
    emergency = models.BooleanField()
    created_at = models.BigIntegerField()
    expires_at = models.BigIntegerField()
    log_index = models.BigIntegerField(null=True)
    proof = models.BinaryField(null=True)
    refusal = models.TextField(blank=True)
    ended_at = models.BigIntegerField(null=True)
    key_destroyed_at = models.BigIntegerField(null=True)
    returned_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+", null=True)
    returned_at = models.BigIntegerField(null=True)
    return_note = models.TextField(blank=True, default="", db_default="")
    replaces = models.ForeignKey("self", on_delete=models.PROTECT, related_name="replaced_by", null=True)

    class Meta:
        """The newest first."""

        ordering: ClassVar = ["-created_at", "id"]

    def __str__(self) -> str:
        return self.id


class RequestChange(models.Model):
    """An extension or an outcome of a public request (`kind`: the log entry's type), from its first signature to its proof."""

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(max_length=24)
    state = models.CharField(max_length=10)
    payload = models.BinaryField()
    drafted_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    draft_signature = models.BinaryField(max_length=64)
    approved_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+", null=True)
    envelope = models.BinaryField(null=True)
    at = models.BigIntegerField()
    log_index = models.BigIntegerField(null=True)
    proof = models.BinaryField(null=True)
    refusal = models.TextField(blank=True)

    class Meta:
        """In the order of making."""

        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.request_id}"


class Response(models.Model):
    """A response that was collected. What it holds lies in `evidence/<id>/`, sealed to the key file of this response alone.

    `request` is null for one in quarantine that no key of ours opens. `until` is the end of the owner's consent. `late`:
    it came in after its request had ended. `about`: set on a step-forward, the id of the answer whose owner it names.
    `mode`: whether its owner gave a name (identified) or not (anonymous); the name itself is sealed with the rest.
    `destroy_at` is set by a decline.
    """

    id = models.CharField(max_length=64, primary_key=True)
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="responses", null=True)
    state = models.CharField(max_length=16)
    sealed = models.CharField(max_length=64)
    size = models.BigIntegerField()
    tick = models.BigIntegerField()
    inbox_day = models.CharField(max_length=8)
    collected_at = models.BigIntegerField()
    acknowledged = models.BooleanField(default=False)
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    manifest_size = models.BigIntegerField(default=0)
    until = models.BigIntegerField(null=True)
    late = models.BooleanField(default=False)
    about = models.CharField(max_length=64, blank=True)
    mode = models.CharField(max_length=10, blank=True, default="", db_default="")
    reason = models.CharField(max_length=64, blank=True)
    triage_level = models.IntegerField(default=0)
    decided_at = models.BigIntegerField(null=True)
    destroy_at = models.BigIntegerField(null=True)
    destroyed_at = models.BigIntegerField(null=True)
    withdrawn_at = models.BigIntegerField(null=True)
    exported = models.BooleanField(default=False)

    class Meta:
        """By arrival."""

        ordering: ClassVar = ["collected_at", "id"]

    def __str__(self) -> str:
        return self.id


class Clip(models.Model):
    """One clip's neutral name, hash, size in bytes and length in seconds as its owner signed it (None in older rows)."""

    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="clips")
    name = models.CharField(max_length=11)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    seconds = models.BigIntegerField(null=True)

    class Meta:
        """In the owner's order."""

        ordering: ClassVar = ["response", "name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["response", "name"], name="clip_once")]

    def __str__(self) -> str:
        return self.name


class Annotation(models.Model):
    """What an officer wrote about a piece of evidence: a `note`, a `marker` at one moment of a clip, or a `clip` (in and out).

    `clip`: the original's name, empty for the whole; `start_ms`, `end_ms`: milliseconds into it. The original is never touched:
    a derived clip is these two numbers, cut anew each time it is downloaded. A row that no longer holds is struck, never removed.
    """

    response = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="annotations")
    kind = models.CharField(max_length=8)
    clip = models.CharField(max_length=11, blank=True)
    start_ms = models.BigIntegerField(null=True)
    end_ms = models.BigIntegerField(null=True)
    text = models.TextField()
    officer = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    at = models.BigIntegerField()
    struck_at = models.BigIntegerField(null=True)
    struck_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+", null=True)
    struck_words = models.CharField(max_length=300, blank=True)

    class Meta:
        """In the order of writing."""

        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.response_id}"

    @property
    def start_seconds(self) -> str:
        """Where it begins, in seconds, as a player's script reads it."""
        return f"{(self.start_ms or 0) / 1000:.3f}"

    @property
    def span(self) -> str:
        """Where it is in the clip, for reading: 1:05.2, or 1:05.2-1:12.0."""
        return "\u2013".join(_clock(at) for at in (self.start_ms, self.end_ms) if at is not None)


def _clock(at_ms: int) -> str:
    minutes, rest = divmod(at_ms, 60_000)
    return f"{minutes}:{rest / 1000:04.1f}"


class CustodyRecord(models.Model):
    """One link of a response's chain: the signed event, its nonce, and the proof that its commitment stands in the ledger.

    States: pending (written here), submitted (the hub took the commitment), proven (a quorum's proof is stored).
    """

    response = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="custody")
    number = models.IntegerField()
    action = models.CharField(max_length=20)
    actor = models.CharField(max_length=64)
    at = models.BigIntegerField()
    envelope = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    nonce = models.BinaryField(max_length=32)
    commitment = models.BinaryField(max_length=32, unique=True)
    state = models.CharField(max_length=10, default="pending")
    index = models.BigIntegerField(null=True)
    proof = models.BinaryField(null=True)

    class Meta:
        """In the order of the chain."""

        ordering: ClassVar = ["response", "number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["response", "number"], name="custody_link_once")]

    def __str__(self) -> str:
        return f"{self.response_id} {self.number}"


class Touch(models.Model):
    """What one officer asked to do with one response: the custody record of it opens the gate, for a while.

    `target` is a clip's name or `manifest.dsse.json`; empty for acts on the whole. `key` makes a repeated question find the
    same record instead of writing a second one.
    """

    id = models.CharField(max_length=32, primary_key=True)
    record = models.OneToOneField(CustodyRecord, on_delete=models.PROTECT, related_name="touch")
    officer = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    target = models.CharField(max_length=40, blank=True)
    key = models.CharField(max_length=64)
    expires_at = models.BigIntegerField()
    done_at = models.BigIntegerField(null=True)

    class Meta:
        """The newest first."""

        ordering: ClassVar = ["-record"]

    def __str__(self) -> str:
        return self.id


class Status(models.Model):
    """A signed status on its way to the owner who answered."""

    response_id = models.CharField(max_length=64)
    status = models.CharField(max_length=16)
    envelope = models.BinaryField()
    at = models.BigIntegerField()
    sent_at = models.BigIntegerField(null=True)

    class Meta:
        """In the order of making."""

        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.response_id} {self.status}"


class Withdrawal(models.Model):
    """An owner's signed withdrawal as the hub handed it on."""

    seq = models.BigIntegerField(unique=True)
    response_id = models.CharField(max_length=64)
    envelope = models.BinaryField()
    at = models.BigIntegerField()
    noted = models.BooleanField(default=False)

    class Meta:
        """In the hub's order."""

        ordering: ClassVar = ["seq"]

    def __str__(self) -> str:
        return self.response_id


class Hold(models.Model):
    """A legal hold or a defence preservation demand on one response."""

    response = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="holds")
    kind = models.CharField(max_length=24)
    reference = models.CharField(max_length=120)
    placed_by = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    placed_at = models.BigIntegerField()
    lifted_at = models.BigIntegerField(null=True)

    class Meta:
        """In the order of placing."""

        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"


class Export(models.Model):
    """A bag: prepared (all its hashes fixed, the events logged), then written once the proofs are there."""

    id = models.CharField(max_length=32, primary_key=True)
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="exports")
    officer = models.ForeignKey(Officer, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=64, unique=True)
    folder = models.TextField()
    tagmanifest = models.CharField(max_length=64)
    seal = models.BinaryField()
    records = models.JSONField()
    at = models.BigIntegerField()
    written_at = models.BigIntegerField(null=True)

    class Meta:
        """The newest first."""

        ordering: ClassVar = ["-at", "id"]

    def __str__(self) -> str:
        return self.id


class Notice(models.Model):
    """Something the agency's people must see: an untriaged response, a withdrawal, a quarantine, an end of consent."""

    kind = models.CharField(max_length=24)
    request = models.ForeignKey(Request, on_delete=models.CASCADE, null=True, related_name="notices")
    response = models.ForeignKey(Response, on_delete=models.CASCADE, null=True, related_name="notices")
    level = models.IntegerField(default=0)
    at = models.BigIntegerField()
    seen_at = models.BigIntegerField(null=True)

    class Meta:
        """The newest first; each thing is said once."""

        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["kind", "request", "response", "level"], name="notice_once")]

    def __str__(self) -> str:
        return self.kind


class Mark(models.Model):
    """How far something was followed, by name (`withdrawals`: the last sequence number read)."""

    name = models.CharField(max_length=40, primary_key=True)
    value = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.name} {self.value}"
