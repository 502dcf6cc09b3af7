"""What a home keeps: its own data and public requests, nobody else's. Times are Unix seconds, UTC.

Secrets (response keys, token states, an owner's name) are wrapped by `kit.secrets_store` before they are stored.
"""

from typing import Any

from django.conf import settings
from django.db import models

from fairwitness.home.fields import PlaceField


class _Row(models.Model):
    """A row shows its key and nothing else: rows get into error reports."""

    class Meta:
        """No table of its own."""

        abstract = True

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.pk}"


class Singleton(_Row):
    """A table of at most one row."""

    class Meta:
        """Abstract."""

        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store as the one row."""
        self.pk = 1
        super().save(*args, **kwargs)


class Pin(Singleton):
    """The join file that the owner accepted, entry 0 of its log, and the invite, if one was given."""

    join = models.BinaryField()
    genesis = models.BinaryField()
    invite = models.TextField(default="")
    accepted_at = models.BigIntegerField()


class Feed(Singleton):
    """Where this home stands in the feed. `state`: rules.feed.FeedState; `directory`: the agencies' lines."""

    state = models.BinaryField()
    directory = models.BinaryField()
    directory_sha256 = models.CharField(max_length=64)
    outcome = models.CharField(max_length=16, default="ok")
    opaque = models.BigIntegerField(default=0)
    polled_at = models.BigIntegerField(default=0)
    last_code = models.CharField(max_length=64, default="")


class Alarm(_Row):
    """Something about the feed that the owner must see. `evidence`: file below the data folder."""

    code = models.CharField(max_length=64)
    message = models.TextField()
    at = models.BigIntegerField()
    last_at = models.BigIntegerField()
    count = models.IntegerField(default=1)
    cleared_at = models.BigIntegerField(null=True)
    evidence = models.CharField(max_length=200, default="")


class Choices(Singleton):
    """What the owner does not want to hear of. `quiet_from`, `quiet_to`: minutes of the day in `zone`, None = none."""

    alerts_off = models.BooleanField(default=False)
    quiet_from = models.IntegerField(null=True)
    quiet_to = models.IntegerField(null=True)
    zone = models.CharField(max_length=64, default="UTC")
    digest_minute = models.IntegerField(default=18 * 60)
    digest_day = models.CharField(max_length=8, default="")


class OptOut(_Row):
    """One agency or one offence code that the owner opted out of."""

    kind = models.CharField(max_length=8, choices=[("agency", "agency"), ("offense", "offense")])
    value = models.CharField(max_length=40)

    class Meta:
        """Each once."""

        constraints = [models.UniqueConstraint(fields=["kind", "value"], name="optout_once")]  # noqa: RUF012 - Django's form


class Camera(_Row):
    """A camera: its place and view stay in this table. `pre_roll`: seconds offered before a request's window.

    `lat`, `lon` None: the owner has not said where it stands, so no request can concern it.
    """

    name = models.CharField(max_length=80, unique=True)
    lat = models.FloatField(null=True)
    lon = models.FloatField(null=True)
    heading = models.FloatField(default=0.0)
    fov = models.FloatField(default=360.0)
    range_m = models.FloatField(default=30.0)
    pre_roll = models.IntegerField(default=30)
    marks_on = models.BooleanField(default=False)


class Mask(_Row):
    """An area of a camera's picture that is black in everything shared. `points`: [x, y] of 0..1, as the picture is displayed."""

    camera = models.ForeignKey(Camera, on_delete=models.CASCADE, related_name="masks")
    name = models.CharField(max_length=80)
    points = models.JSONField()
    added_at = models.BigIntegerField()

    class Meta:
        """A camera's areas have different names."""

        constraints = [models.UniqueConstraint(fields=["camera", "name"], name="mask_once")]  # noqa: RUF012


class Source(_Row):
    """A folder of a camera's recordings. `offset`: seconds that the camera's clock is ahead of true time.

    `kind`: `folder`, or `upload` for what the owner brings in with a browser (one for each camera).
    """

    camera = models.ForeignKey(Camera, on_delete=models.CASCADE, related_name="sources")
    kind = models.CharField(max_length=8, default="folder", choices=[("folder", "folder"), ("upload", "upload")])
    folder = PlaceField()
    zone = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null means: the owner has not said
    offset = models.IntegerField(default=0)
    container_trusted = models.BooleanField(default=False)
    scanned_at = models.BigIntegerField(null=True)
    refused = models.JSONField(default=list)
    pending = models.IntegerField(default=0)
    problem = models.CharField(max_length=64, default="")


class Recorder(_Row):
    """What fills a source's folder: a camera's stream (`rtsp`) or another recorder (`frigate`, `onvif`, `plugin`).

    `address` never holds credentials; `secret` holds them, wrapped. `keep_bytes` 0 = no limit. `cursor`, `checked_at`: how far
    and when its chain was read. `problem` since `problem_at` (0: none).
    """

    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="recorder")
    kind = models.CharField(
        max_length=16, choices=[("rtsp", "rtsp"), ("frigate", "frigate"), ("onvif", "onvif"), ("plugin", "plugin")]
    )
    address = models.TextField()
    secret = models.BinaryField()
    options = models.JSONField(default=dict)
    keep_days = models.IntegerField()
    keep_bytes = models.BigIntegerField(default=0)
    cursor = models.CharField(max_length=64, default="")
    checked_at = models.BigIntegerField(default=0)
    problem = models.CharField(max_length=32, default="")
    problem_at = models.BigIntegerField(default=0)
    kept_at = models.BigIntegerField(default=0)
    added_at = models.BigIntegerField()


class Recording(_Row):
    """A file of footage, as last seen. `start` is None until its time is known: ask the owner, never guess.

    `hidden`: the owner had it deleted here but kept the file in their own folder; it is not found again while it stays the same.
    """

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="recordings")
    path = models.TextField()
    identity = models.JSONField()
    start = models.BigIntegerField(null=True)
    end = models.BigIntegerField(null=True)
    seconds = models.FloatField()
    time_source = models.CharField(max_length=16)
    why = models.TextField(default="")
    codec = models.CharField(max_length=40)
    size = models.BigIntegerField()
    container_time = models.BigIntegerField(null=True)
    gone = models.BooleanField(default=False)
    hidden = models.BooleanField(default=False, db_default=False)

    class Meta:
        """A path stands once in a source."""

        constraints = [models.UniqueConstraint(fields=["source", "path"], name="recording_once")]  # noqa: RUF012
        indexes = [models.Index(fields=["start", "end"])]  # noqa: RUF012


class Deletion(_Row):
    """What the owner had deleted, kept for good: recordings of a camera between `start` and `end` (Unix seconds UTC).

    `items`: of each its file, times, size, and its link's number and hash where it stood in a chain. `shared`: the answers that
    had left by then. `originals`: files in the owner's own folder went too; `proofs`: so did copies kept with answers that were
    sent. `done_at` None: not all files are gone yet; `problem` says why.
    """

    camera = models.ForeignKey(Camera, null=True, on_delete=models.SET_NULL, related_name="deletions")
    camera_name = models.CharField(max_length=80)
    by = models.CharField(max_length=150)
    at = models.BigIntegerField()
    start = models.BigIntegerField(null=True)
    end = models.BigIntegerField(null=True)
    count = models.IntegerField()
    size = models.BigIntegerField()
    originals = models.BooleanField()
    proofs = models.BooleanField(default=False)
    items = models.JSONField()
    shared = models.JSONField(default=list)
    done_at = models.BigIntegerField(null=True)
    problem = models.CharField(max_length=64, default="")


class Upload(_Row):
    """A file that the owner brings in with a browser. `state`: receiving, checking, kept, refused, duplicate.

    `offset`: bytes that are on disk for good. `lease`: which transfer writes now, and when it last got on. `mark`: the browser's
    own word by which it knows the file again. `problem`: why it was refused, or the id of the upload that it repeats.
    """

    id = models.CharField(max_length=32, primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="uploads")
    name = models.CharField(max_length=200)
    mark = models.CharField(max_length=100, default="")
    size = models.BigIntegerField()
    offset = models.BigIntegerField(default=0)
    state = models.CharField(max_length=12, default="receiving")
    problem = models.CharField(max_length=64, default="")
    sha256 = models.CharField(max_length=64, default="", db_index=True)
    lease = models.CharField(max_length=32, default="")
    lease_at = models.FloatField(default=0.0)
    created_at = models.BigIntegerField()
    touched_at = models.BigIntegerField()
    recording = models.OneToOneField(Recording, null=True, on_delete=models.SET_NULL, related_name="upload")


class Pairing(_Row):
    """A one-time code by which a browser on the owner's network becomes somebody's: `user`'s, or the owner's where None.

    Only its hash is kept.
    """

    code_hash = models.BinaryField(unique=True)
    created_at = models.BigIntegerField()
    expires_at = models.BigIntegerField()
    used_at = models.BigIntegerField(null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")


class Member(_Row):
    """What an owner lets a member do beyond looking and preparing. `may_answer`: send answers, and take them back."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="member")
    may_answer = models.BooleanField(default=False)


class CameraShare(_Row):
    """A camera that an owner shares with a viewer."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="shared_cameras")
    camera = models.ForeignKey(Camera, on_delete=models.CASCADE, related_name="shares")

    class Meta:
        """Each once."""

        constraints = [models.UniqueConstraint(fields=["user", "camera"], name="share_once")]  # noqa: RUF012


class Mark(_Row):
    """Something moved (`motion`) or looked like a person (`person`) between `start` and `end`, Unix seconds UTC.

    `score` is 0..1: how much of the picture moved, or how sure the detector was. There is nothing else on purpose.
    """

    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="marks")
    start = models.FloatField()
    end = models.FloatField()
    kind = models.CharField(max_length=8, choices=[("motion", "motion"), ("person", "person")])
    score = models.FloatField()


class Look(_Row):
    """A recording was looked through for marks; again where the file, `identity`, changed. `problem`: why it could not be."""

    recording = models.OneToOneField(Recording, on_delete=models.CASCADE, related_name="look")
    identity = models.JSONField()
    at = models.BigIntegerField()
    problem = models.CharField(max_length=64, default="")


class LookBudget(Singleton):
    """Seconds of processor time that looking for marks took on one day (UTC)."""

    day = models.CharField(max_length=10, default="")
    cpu = models.FloatField(default=0.0)


class Request(_Row):
    """A public request that this home believes, with the proof that it does. `near`: a camera sees its area.

    `expires` is the end that counts now; `extended_at` and `extension` tell that and why it is later than the signed one.
    `withdrawn` is why it ended early, `resolved` too where an outcome ended it; `outcome` and `outcome_words` are the agency's.
    """

    id = models.CharField(max_length=32, primary_key=True)
    agency = models.CharField(max_length=32)
    agency_name = models.CharField(max_length=120)
    offense = models.CharField(max_length=10)
    envelope = models.BinaryField()
    log_index = models.BigIntegerField()
    tick = models.BigIntegerField()
    tick_index = models.BigIntegerField()
    proof = models.TextField()
    witnesses = models.JSONField()
    signers = models.JSONField()
    flags = models.JSONField()
    witnessed_at = models.BigIntegerField()
    start = models.BigIntegerField()
    end = models.BigIntegerField()
    expires = models.BigIntegerField()
    emergency = models.BooleanField(default=False)
    near = models.BooleanField(default=False)
    withdrawn = models.CharField(max_length=24, default="")
    withdrawn_at = models.BigIntegerField(null=True)
    extended_at = models.BigIntegerField(null=True)
    extension = models.CharField(max_length=300, default="", db_default="")
    outcome = models.CharField(max_length=24, default="", db_default="")
    outcome_words = models.CharField(max_length=300, default="", db_default="")
    resolved_at = models.BigIntegerField(null=True)
    matched_at = models.BigIntegerField(null=True)
    hits = models.JSONField(default=list)
    alerted_at = models.BigIntegerField(null=True)
    instant_sent = models.JSONField(default=list)
    seen_at = models.BigIntegerField(null=True)
    ignored_at = models.BigIntegerField(null=True)


class RefusedLine(_Row):
    """A line of the log that this home refused to show as a request, and why."""

    log_index = models.BigIntegerField(primary_key=True)
    tick = models.BigIntegerField()
    kind = models.CharField(max_length=40)
    rule = models.CharField(max_length=64)
    message = models.TextField()
    request_id = models.CharField(max_length=64)
    agency = models.CharField(max_length=64)
    at = models.BigIntegerField()


class InboxRoot(_Row):
    """A day's inbox root, as the feed carried it."""

    day = models.CharField(max_length=8, primary_key=True)
    root = models.BinaryField()
    leaves = models.IntegerField()


class Channel(_Row):
    """Where to tell the owner. `url` is wrapped; `instant`: the owner ticked that the company may learn of alerts."""

    name = models.CharField(max_length=80, unique=True)
    url = models.BinaryField()
    third_party = models.BooleanField()
    instant = models.BooleanField(default=False)
    failed_at = models.BigIntegerField(null=True)


class Token(_Row):
    """One token and the response key it is bound to. `state`: asked, ready, used, dead. `secret` is wrapped."""

    epoch = models.BigIntegerField()
    position = models.IntegerField()
    secret = models.BinaryField()
    issuer = models.BinaryField()
    token = models.BinaryField(null=True)
    state = models.CharField(max_length=8, default="asked")
    usable_until = models.BigIntegerField()

    class Meta:
        """Eight positions in an epoch, each once."""

        constraints = [models.UniqueConstraint(fields=["epoch", "position"], name="token_once")]  # noqa: RUF012


class Answer(_Row):
    """An owner's answer to a request, from draft to its end. `kind` is `clips` or `step_forward`.

    `state`: draft, queued, sealed, uploading, uploaded, cancelled, withdrawn, failed. `status`: the agency's latest word.
    `blur`: faces and plates that are found are covered (`on`), or not, by the owner's word (`off`).
    """

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="answers")
    kind = models.CharField(max_length=16, default="clips")
    state = models.CharField(max_length=12, default="draft")
    mode = models.CharField(max_length=12, default="anonymous")
    statement = models.TextField(default="")
    identity = models.BinaryField(null=True)
    terms_sha256 = models.CharField(max_length=64, default="")
    until = models.BigIntegerField(null=True)
    redactions = models.JSONField(default=list)
    blur = models.CharField(max_length=3, default="on", choices=[("on", "on"), ("off", "off")])
    gaps = models.JSONField(default=list)
    token = models.OneToOneField(Token, null=True, on_delete=models.PROTECT)
    of = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="steps")
    response_id = models.CharField(max_length=64, default="")
    created_at = models.BigIntegerField()
    confirmed_at = models.BigIntegerField(null=True)
    not_before = models.BigIntegerField(null=True)
    spool = models.CharField(max_length=80, default="")
    sealed = models.CharField(max_length=64, default="")
    size = models.BigIntegerField(default=0)
    finalizing = models.BooleanField(default=False)
    promise = models.BinaryField(null=True)
    uploaded_at = models.BigIntegerField(null=True)
    inbox_state = models.CharField(max_length=12, default="")
    status = models.CharField(max_length=12, default="")
    status_at = models.BigIntegerField(null=True)
    status_checked_at = models.BigIntegerField(null=True)
    statuses = models.JSONField(default=list)
    withdrawal = models.BinaryField(null=True)
    withdrawn_from = models.CharField(max_length=12, default="")
    withdrawal_sent_at = models.BigIntegerField(null=True)
    problem = models.CharField(max_length=64, default="")
    try_after = models.BigIntegerField(default=0)
    tries = models.IntegerField(default=0)


class AnswerClip(_Row):
    """A chosen stretch of a recording, and of those behind it (`pieces`), that follow each other without a gap.

    `salt` and the originals' hashes open the commitment that was sent, later. `chain_salt` and `chain` do so for the state of the
    camera's chain at sealing: its folder `place`, numbers `first` (of the first segment used) to `head`, `since` (the first's
    begin, ms UTC), and the records `before` the first and of the `head` (`record`); None where there is none.

    `masks`: the camera's covered areas when it was chosen; those at sealing are covered as well. `covered`: how many were.
    """

    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="clips")
    position = models.IntegerField()
    recording = models.ForeignKey(Recording, null=True, on_delete=models.SET_NULL)
    camera = models.ForeignKey(Camera, null=True, on_delete=models.SET_NULL, related_name="+")
    masks = models.JSONField(default=list)
    covered = models.IntegerField(default=0)
    source_path = PlaceField()
    identity = models.JSONField()
    started = models.BigIntegerField()
    time_source = models.CharField(max_length=16)
    cut_start = models.FloatField()
    cut_end = models.FloatField(null=True)
    mute = models.BooleanField(default=True)
    original = models.TextField(default="")
    original_sha256 = models.CharField(max_length=64, default="")
    salt = models.BinaryField(null=True)
    name = models.CharField(max_length=11, default="")
    sha256 = models.CharField(max_length=64, default="")
    size = models.BigIntegerField(default=0)
    start = models.BigIntegerField(null=True)
    end = models.BigIntegerField(null=True)
    seconds = models.FloatField(default=0.0)
    tracks = models.JSONField(default=list)
    transcoded = models.BooleanField(default=False)
    chain_salt = models.BinaryField(null=True)
    chain = models.JSONField(null=True)

    class Meta:
        """In the order that the owner chose."""

        ordering = ["position"]  # noqa: RUF012


class AnswerPiece(_Row):
    """A further recording of a clip: it goes on `offset` seconds after the start of the clip's first one."""

    clip = models.ForeignKey(AnswerClip, on_delete=models.CASCADE, related_name="pieces")
    position = models.IntegerField()
    recording = models.ForeignKey(Recording, null=True, on_delete=models.SET_NULL)
    source_path = PlaceField()
    identity = models.JSONField()
    offset = models.FloatField()
    original = models.TextField(default="")
    original_sha256 = models.CharField(max_length=64, default="")

    class Meta:
        """In order of time."""

        ordering = ["position"]  # noqa: RUF012


class ClipLook(_Row):
    """How far a clip was looked through for faces and plates. `state`: waiting, looking, done, failed; `problem`: a code.

    `share`: 0..1. `begin`, `end`: the first and the last picture looked at, in seconds from the first recording's first picture.
    `asked_at`: when somebody wanted to see it; the latest comes first.
    """

    clip = models.OneToOneField(AnswerClip, on_delete=models.CASCADE, related_name="look")
    state = models.CharField(max_length=8, default="waiting")
    share = models.FloatField(default=0.0)
    begin = models.FloatField(null=True)
    end = models.FloatField(null=True)
    problem = models.CharField(max_length=64, default="")
    asked_at = models.BigIntegerField(default=0)


class ClipRegion(_Row):
    """Something in a clip that may be covered: boxes with their times (kit.video.regions), and nothing else of it.

    `kind`: face, plate, or own (the owner's box). `number` names it among its kind. `state`: covered, clear (it stays readable,
    `why`: `described` by the request, or the owner's choice), removed (a false find).
    """

    clip = models.ForeignKey(AnswerClip, on_delete=models.CASCADE, related_name="regions")
    kind = models.CharField(max_length=8, choices=[("face", "face"), ("plate", "plate"), ("own", "own")])
    number = models.IntegerField()
    state = models.CharField(max_length=8, default="covered")
    why = models.CharField(max_length=12, default="")
    score = models.FloatField(default=1.0)
    track = models.JSONField()

    class Meta:
        """In order of their numbers."""

        ordering = ["kind", "number"]  # noqa: RUF012
        constraints = [models.UniqueConstraint(fields=["clip", "kind", "number"], name="region_once")]  # noqa: RUF012


class AnswerEvent(_Row):
    """What happened to an answer, for its receipt."""

    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="events")
    at = models.BigIntegerField()
    kind = models.CharField(max_length=24)
    detail = models.TextField(default="")

    class Meta:
        """In order."""

        ordering = ["pk"]  # noqa: RUF012
