"""After a loss: refill the ledgers from a mirror's tiles, or open a successor log that names this one (design.md 9.14)."""

import json
import shutil
from pathlib import Path

from django.db import transaction
from fairwitness_core.crypto.tokens import EPOCH_SECONDS
from fairwitness_core.model import agency as agencies
from fairwitness_core.model import hub as documents
from fairwitness_core.model import request as requests
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire import dsse

from fairwitness.hub.errors import HubState
from fairwitness.hub.models import IssuerKey, Mark, PendingEntry, Request
from fairwitness.hub.services import directory as directories
from fairwitness.hub.services import entries, feed, identity, ledger, setup
from fairwitness.kit import clock, database, files, http
from fairwitness.kit.logstore import LogError, LogReader, LogStore, refill

_TILE = 1 << 25


def from_mirror(mirror: str) -> dict[str, int]:
    """Bring both ledgers up to what `mirror` (an address) serves and make the rows again; returns the sizes.

    1. a mirror's checkpoint is taken only with a quorum of this hub's witnesses; 2. what is here must be its beginning;
    3. the old folders are kept beside the new. Raises HubState, LogError, ProtocolError; nothing is changed then.
    """
    _need_owner()
    client = http.Http()
    policy = Policy.parse(directories.policy_text(clock.now()).encode())
    sizes = {}
    for name in identity.LOGS:
        base = f"{mirror.rstrip('/')}/log/{name}"

        def fetch(path: str, base: str = base) -> bytes:
            answer = client.get(f"{base}/{path}", max_bytes=_TILE)
            if answer.status != 200:
                raise LookupError(path)
            return answer.body

        # 1.
        checkpoint = fetch("checkpoint")
        head = policy.verify(checkpoint).checkpoint
        vkey = identity.load().vkey(name)
        folder = identity.log_folder(name)
        work = folder.with_name(f"{name}.recovered")
        shutil.rmtree(work, ignore_errors=True)
        sizes[name] = refill(work, fetch, checkpoint=checkpoint, log=vkey)
        # 2.
        if folder.exists():
            _check_beginning(folder, name, work, head.size)
            # 3.
            folder.rename(folder.with_name(f"{name}.before-{clock.now()}"))
        work.rename(folder)
        files.sync_folder(folder.parent)
    rebuild()
    return sizes


def _check_beginning(folder: Path, name: str, work: Path, size: int) -> None:
    vkey = identity.load().vkey(name)
    with LogStore.open(folder, vkey.name, identity.read_log_key(name)) as ours, LogReader.open(work, vkey.name, vkey) as theirs:
        if ours.size > size:
            raise HubState(f"the mirror has {size} entries of {vkey.name}, here are {ours.size}; find a newer mirror")
        if ours.size and theirs.root_at(ours.size) != ours.root():
            raise HubState(f"what the mirror has of {vkey.name} does not begin with what is here; nothing was changed")


def _need_owner() -> None:
    """Projections are written once by the hub's own user of a PostgreSQL database; only the owner can begin them anew."""
    if not database.owned():
        raise HubState(
            "making the rows anew is for the database's owner: "
            "set FAIRWITNESS_DATABASE_OWNER to the file with its name and password"
        )


def rebuild() -> None:
    """Make the projection anew from the ledgers' files. The sequencer must not run. Raises HubState."""
    _need_owner()
    with (
        LogStore.open(identity.log_folder("p"), identity.load().vkey("p").name, identity.read_log_key("p")) as public,
        LogStore.open(identity.log_folder("s"), identity.load().vkey("s").name, identity.read_log_key("s")) as secret,
    ):
        ledger.forget_rows()
        directories.forget()
        ledger.forget_readers()
        ledger.catch_up(public)
        ledger.catch_up_sealed(secret)
        served = public.cosigned
        ledger.settle(served.size if served else 0)
        feed.serve(public)


def successor() -> documents.LogGenesis:
    """Open a new pair of ledgers whose genesis names the head that this hub last had cosigned.

    For a hub that lost its log key, or its log with no mirror left. Agencies with their present keys, token keys and live
    requests are logged again; homes must accept the new join file. Can be run again after a crash. Raises HubState.
    """
    _need_owner()
    folder = identity.settings().folder()
    now = clock.now()
    plan_path = folder / "successor.plan"
    if not plan_path.exists():
        files.write_atomic(plan_path, json.dumps(_plan(now)).encode())
    plan = json.loads(plan_path.read_bytes())
    me = identity.load()
    if me.genesis_sha256 == plan["genesis"]:
        retired = files.private_dir(folder / "log" / "retired" / plan["genesis"][:16])
        for name in identity.LOGS:
            if identity.log_folder(name).exists() and not (retired / name).exists():
                identity.log_folder(name).rename(retired / name)
        files.write_atomic(retired / "genesis.json", me.genesis)
        ledger.forget_readers()
        predecessor = documents.Predecessor(origin=plan["origin"], size=plan["size"], root=bytes.fromhex(plan["root"]))
        setup.make_genesis(folder, _spec(me), at=plan["at"], predecessor=predecessor)
        me = identity.load()
    _log_again(plan, now)
    directories.forget()
    feed.write_join(me.policy_text)
    plan_path.unlink()
    return me.document


def _plan(now: int) -> dict[str, object]:
    me = identity.load()
    try:
        reader = ledger.reader("p")
        head = reader.cosigned
    except LogError:
        head = None
    last = ledger.mark("state")
    ticks = [int(path.name) for path in (feed.root() / "v1" / "all").glob("*") if path.name.isdigit()]
    first_free = (max(ticks) + 1) * me.tick_seconds if ticks else 0
    directory = directories.current()
    again = []
    for name in directory.agencies():
        record = directory.agency(name)
        if record is not None and not record.suspended and record.keys:
            again.append(record.authorized.to_json() | {"keys": [key.to_json() for key in record.keys]})
    live = Request.objects.filter(state="published", expires__gt=now).values_list("id", flat=True)
    return {
        "genesis": me.genesis_sha256,
        "origin": head.origin if head else me.vkey("p").name,
        "size": head.size if head else 0,
        "root": (head.root if head else b"\x00" * 32).hex(),
        "at": max(now, first_free, last),
        "agencies": again,
        "requests": list(live),
    }


def _log_again(plan: dict[str, object], now: int) -> None:
    agencies_again, live = plan["agencies"], plan["requests"]
    if not isinstance(agencies_again, list) or not isinstance(live, list):
        raise HubState("successor.plan is damaged; delete it and run again")
    ledger.forget_rows()
    with transaction.atomic():
        PendingEntry.objects.all().delete()
        Mark.objects.filter(name="sealed_slot").delete()
        for value in agencies_again:
            document = agencies.AgencyAuthorized.from_document(value | {"at": now})
            entries.state(document)
        for key in IssuerKey.objects.order_by("epoch"):
            entries.state(
                documents.IssuerKey(
                    epoch=key.epoch,
                    alg="voprf-p384",
                    pk=bytes(key.public),
                    not_before=key.epoch * EPOCH_SECONDS,
                    not_after=(key.epoch + 2) * EPOCH_SECONDS,
                    at=now,
                )
            )
        Request.objects.exclude(state__in=("submitted", "refused", "lapsed")).update(state="expired", log_index=None)
        # An extension stays behind in the old log: its request is asked anew with the life that it was published with.
        for row in Request.objects.filter(id__in=live):
            first = requests.Request.parse(dsse.Envelope.parse(bytes(row.envelope)).payload)
            if first.expires > now:
                entries.enqueue(requests.Request.TYPE, bytes(row.envelope))
                Request.objects.filter(id=row.id).update(state="approved", expires=first.expires, extended_index=None)


def _spec(me: identity.Identity) -> setup.Spec:
    policy = Policy.parse(directories.policy_text(clock.now()).encode())
    threshold = next((group.threshold for group in policy.groups if group.name == policy.quorum), 1)
    settings = identity.settings()
    return setup.Spec(
        name=me.document.name,
        state=me.document.state,
        public_url=settings.url,
        witnesses=[(w.name, w.url, w.key.encode()) for w in policy.witnesses],
        quorum=threshold,
        tick_seconds=me.tick_seconds,
        sealed_seconds=me.document.sealed_seconds,
        notice_seconds=me.document.notice_seconds,
        embargo_seconds=me.document.embargo_seconds,
        settings={"keep_days": settings.keep_days},
    )
