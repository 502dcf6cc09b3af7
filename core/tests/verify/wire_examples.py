"""One worked example of every wire document, from one seed; `scripts/make_vectors.py` writes them down."""

import hashlib

from fairwitness_core.model import agency, call, custody, hub, recording, request, response
from fairwitness_core.verify import layout
from fairwitness_core.wire import dsse

from core.tests.verify.bagworld import AGENCY, AREA, CASE, REQUEST_AT, T0, World


def documents(world: World):
    """Yield (document, payload type of its envelope or None, its signing keys)."""
    hub_key, console, officers = world.hub, world.console, world.officers
    mine = world.key("response Ortiz")
    pk, rid = mine.public.raw, response.response_id(mine.public.raw)
    manifest = world.make_manifest(mine, "identified", [world.make_clip("Ortiz 0")], "")
    text = '["us-nv-renopd"]'
    yield world.genesis, dsse.ENTRY, [hub_key]
    yield world.join, None, []
    yield world.trust, None, []
    yield world.authorized, dsse.ENTRY, [hub_key]
    yield (
        agency.KeyRotated(
            agency=AGENCY, add=(world.registered(officers[2], "officer"),), remove=(officers[0].public.kid,), at=T0 + 300
        ),
        dsse.ENTRY,
        [hub_key],
    )
    yield agency.AgencySuspended(agency=AGENCY, reason="court_order", at=T0 + 400), dsse.ENTRY, [hub_key]
    yield (
        hub.PolicyChanged(
            kind="standing", sha256=hashlib.sha256(text.encode()).hexdigest(), text=text, supersedes="0" * 64,
            effective_at=T0 + 90_000, at=T0 + 500,
        ),
        dsse.ENTRY,
        [hub_key],
    )  # fmt: skip
    token_key = b"\x02" + world.secret("token key") + world.secret("token key, rest")[:16]
    yield (
        hub.IssuerKey(epoch=1479, alg="voprf-p384", pk=token_key, not_before=T0, not_after=T0 + 1_209_600, at=T0),
        dsse.ENTRY,
        [hub_key],
    )
    yield world.request, dsse.ENTRY, officers[:2]
    yield (
        request.RequestWithdrawn(request_id=world.request_id, agency=AGENCY, reason="resolved", at=REQUEST_AT + 9000),
        dsse.ENTRY,
        [officers[0]],
    )
    yield (
        request.RequestExtended(
            request_id=world.request_id, agency=AGENCY, expires=world.request.expires + 86_400,
            reason="Two neighbours were away and asked for more time.", at=REQUEST_AT + 8000,
        ),
        dsse.ENTRY,
        officers[:2],
    )  # fmt: skip
    yield (
        request.RequestResolved(
            request_id=world.request_id, agency=AGENCY, outcome="solved_with_footage",
            words="The van was found. Thank you.", at=REQUEST_AT + 9500,
        ),
        dsse.ENTRY,
        [officers[0]],
    )  # fmt: skip
    yield (
        request.RequestRefused(
            request_id=world.request_id, agency=AGENCY, offense="nibrs:90Z", rule="offense.catch_all", at=REQUEST_AT
        ),
        dsse.ENTRY,
        [hub_key],
    )
    yield (
        request.ModerationAction(
            request_id=world.request_id, action="approved", rule="moderation.approved", flags=("dwellings_unchecked",),
            moderators=1, at=REQUEST_AT + 60,
        ),
        dsse.ENTRY,
        [hub_key],
    )  # fmt: skip
    yield (
        hub.FeedTick(
            tick=REQUEST_AT // 300, root=world.secret("root"), scopes=1, agencies=world.directory.digest(), prev_tick_index=0,
            at=REQUEST_AT + 300,
        ),
        dsse.ENTRY,
        [hub_key],
    )  # fmt: skip
    yield hub.InboxEpoch(day="20260922", root=world.secret("inbox"), leaves=64, at=REQUEST_AT + 86_400), dsse.ENTRY, [hub_key]
    yield (
        hub.LegalProcess(
            month="202609",
            counts=(
                hub.LegalCount(kind="subpoena", asked=2, sealed_bytes_given=0),
                hub.LegalCount(kind="warrant", asked=1, sealed_bytes_given=1),
            ),
            at=REQUEST_AT + 90_000,
        ),
        dsse.ENTRY,
        [hub_key],
    )
    token = b"\x00\x01" + b"".join(world.secret(f"token {n}") for n in range(5))[:144]
    yield (
        response.UploadOpen(response_id=rid, pk=pk, agency=AGENCY, size=4_194_305, parts=2, token=token, at=REQUEST_AT + 5000),
        dsse.RESPONSE,
        [mine],
    )
    yield response.UploadPart(response_id=rid, pk=pk, part=0, sha256=world.secret("part").hex()), dsse.RESPONSE, [mine]
    sealed = world.secret("sealed Ortiz").hex()
    yield (
        response.Finalize(response_id=rid, pk=pk, agency=AGENCY, sealed=sealed, size=4_194_305, parts=2, token=token),
        dsse.RESPONSE,
        [mine],
    )
    yield manifest, dsse.RESPONSE, [mine]
    yield response.Promise(response_id=rid, sealed=sealed, tick=REQUEST_AT // 300, inbox_day="20260922"), dsse.RECEIPT, [hub_key]
    yield (
        response.ResponseStatus(response_id=rid, agency=AGENCY, status="accepted", note="", at=REQUEST_AT + 30_000),
        dsse.RECEIPT,
        [console],
    )
    yield response.Withdraw(response_id=rid, pk=pk, at=REQUEST_AT + 6000), dsse.RESPONSE, [mine]
    yield (
        response.StepForward(
            response_id=rid, pk=pk, request_id=world.request_id, name="R. Ortiz", contact="r@example.org", at=REQUEST_AT + 7000
        ),
        dsse.RESPONSE,
        [mine],
    )
    yield (
        call.Call(
            agency=AGENCY, hub=world.join.genesis, op="sealed_proof", nonce=world.secret("call")[:16].hex(), at=REQUEST_AT,
            body={"commitment": dsse.b64(world.secret("commitment"))},
        ),
        dsse.CALL,
        [console],
    )  # fmt: skip
    first, second = (world.secret(f"segment {n}") for n in (1, 2))
    rows = [recording.sample_digest(world.secret("avcC"), world.secret(f"picture {n}")) for n in range(3)]
    links = (
        recording.ProofLink(
            sha256=first.hex(), pictures=recording.pictures_root(rows).hex(), start=1_790_041_000_250, end=1_790_041_060_317,
            after="camera",
        ),
        recording.ProofLink(sha256=second.hex(), start=1_790_041_060_317, end=1_790_041_120_300, after=""),
    )  # fmt: skip
    before = world.secret("record before")
    yield (
        recording.RecordingProof(
            response_id=rid, clip="clip-01.mp4", salt=world.secret("chain salt").hex(), before=before.hex(),
            head=links[1].record(links[0].record(before)).hex(), orig_salt=world.secret("orig salt").hex(), links=links,
            pictures=(b"".join(rows),),
        ),
        None,
        [],
    )  # fmt: skip
    yield layout.SealedFile(sealed=sealed, size=4_194_305), None, []
    event = custody.CustodyEvent(
        agency=AGENCY, actor="officer-1", action="collected", request_id=world.request_id, response_id=rid, case=CASE,
        purpose="Inquiry into the burglary", subjects=(custody.Subject(name="sealed", sha256=sealed),), prev="0" * 64,
        at=REQUEST_AT + 7200,
    )  # fmt: skip
    yield event, dsse.STATEMENT, [console]
    yield (
        layout.Seal(
            agency=AGENCY, case=CASE, request_id=world.request_id, responses=(rid,),
            tagmanifest=world.secret("tagmanifest").hex(), at=REQUEST_AT + 50_000,
        ),
        dsse.STATEMENT,
        [console],
    )  # fmt: skip


assert len(AREA) == 7
