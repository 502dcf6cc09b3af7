# ruff: noqa: PLC0415 - a role can be imported only in a process that is set up as it
"""Officers and their supervisor."""

from pathlib import Path
from typing import Any

PLACE = (37.8044, -122.2712)
AGENCY = "us-ca-oakland"
POLYGON = {
    "type": "Polygon",
    "coordinates": [[[-122.40, 37.70], [-122.10, 37.70], [-122.10, 37.90], [-122.40, 37.90], [-122.40, 37.70]]],
}
PEOPLE = (("diaz", "Ana Diaz", "officer"), ("okafor", "Chidi Okafor", "supervisor"), ("lee", "Sam Lee", "supervisor"))


def build(folder: Path) -> dict[str, Any]:
    """Make the agency with its people; returns its registration."""
    from fairwitness.kit import config, database, files, supervise
    from tests.harness import acts

    files.private_dir(folder)
    config.write(
        folder,
        {
            "agency": AGENCY,
            "ori": "CA0010900",
            "name": "Oakland Police",
            "state": "CA",
            "level": "municipal",
            "federal": False,
            "vouched": ["the test"],
            "public_url": "http://agency.test",
            "collect_seconds": 120,
            "emergency_collect_seconds": 60,
            "prove_seconds": 30,
            **acts.STATE,
        },
    )
    supervise.setup("agency", folder)
    database.migrate_at_start()
    from fairwitness.agency.services import officers, setup

    setup.make_keys(POLYGON)
    for name, shown, role in PEOPLE:
        officers.enrol(name, shown, role)
    return officers.registration()


def registration() -> dict[str, Any]:
    from fairwitness.agency.services import officers

    return officers.registration()


def remove_officer(name: str) -> None:
    from fairwitness.agency.services import officers

    officers.remove(officers.by_name(name))


def trust(join: bytes) -> None:
    from fairwitness.agency.services import setup

    setup.trust(join, accept=True)


def request(
    area: list[str], from_: int, to: int, *, case: str, msg: str, expires: int, approve: bool = True, **more: Any
) -> tuple[str, str]:
    """Draft as one officer, approve as another; returns (id, state)."""
    from fairwitness.agency.models import Case
    from fairwitness.agency.services import cases, officers, requests

    officer = officers.by_name("diaz")
    found = Case.objects.filter(number=case).first() or cases.open_case(officer, case, more.pop("offense", "nibrs:220"))
    more.pop("offense", None)
    draft = requests.Draft(
        area=tuple(area), from_=from_, to=to, msg=msg, expires=expires, **{"contact": "Det. Diaz 510-555-0100"} | more
    )
    row = requests.draft(officer, found, draft)
    if approve:
        row = requests.approve(officers.by_name("okafor"), row)
    return row.id, row.state


def withdraw(request_id: str) -> str:
    from fairwitness.agency.services import officers, requests

    return requests.withdraw(officers.by_name("diaz"), requests.get(request_id)).state


def states() -> dict[str, str]:
    from fairwitness.agency.models import Request

    return dict(Request.objects.values_list("id", "state"))


def responses() -> list[tuple[str, str, str]]:
    """Return (id, request, state) of each response that was collected."""
    from fairwitness.agency.models import Response

    return [(r.id, r.request_id or "", r.state) for r in Response.objects.order_by("id")]


def collect() -> dict[str, list[str]]:
    from fairwitness.agency.services import collect as collecting
    from fairwitness.kit import clock

    done = collecting.run(clock.now())
    return {name: getattr(done, name) for name in ("collected", "quarantined", "gone", "kept")}


def _response(response_id: str) -> Any:
    from fairwitness.agency.models import Response

    return Response.objects.get(pk=response_id)


def _gated(act: Any) -> Any:
    """Return what the act gives, or None while its custody record is not proven yet."""
    from fairwitness.agency.errors import NotYetLogged
    from fairwitness.kit.errors import Refused

    try:
        return act()
    except NotYetLogged:
        return None
    except Refused as error:
        if error.code != "custody.unlogged":
            raise
        return None


def view(response_id: str, clip: str = "clip-01.mp4") -> int | None:
    """Open a clip; returns how many bytes were read, None while it is not logged."""
    from fairwitness.agency.services import evidence, officers

    def act() -> int:
        with evidence.open_clip(officers.by_name("diaz"), _response(response_id), clip, "viewed", "identify the car") as stream:
            return len(stream.read())

    return _gated(act)


def accept(response_id: str) -> str | None:
    from fairwitness.agency.services import officers, triage

    done = _gated(lambda: triage.accept(officers.by_name("okafor"), _response(response_id), "shows the car"))
    return done and done.state


def decline(response_id: str) -> str | None:
    from fairwitness.agency.services import officers, triage

    done = _gated(lambda: triage.decline(officers.by_name("okafor"), _response(response_id), "shows nothing of use"))
    return done and done.state


def export(request_id: str, response_ids: list[str], out: str) -> str | None:
    from fairwitness.agency.services import export as exporting
    from fairwitness.agency.services import officers, requests

    done = _gated(
        lambda: exporting.export(
            officers.by_name("okafor"),
            requests.get(request_id),
            response_ids,
            purpose="charge the driver of the red hatchback seen near the bakery",
            recipient="District Attorney",
            out=Path(out),
        )
    )
    return done and str(done.path)


def custody(response_id: str) -> list[tuple[str, str, bytes, bytes, bytes | None]]:
    """Return the chain: (action, state, envelope, nonce, proof) each."""
    from fairwitness.agency.services import custody as chains

    return [
        (c.action, c.state, bytes(c.envelope), bytes(c.nonce), bytes(c.proof) if c.proof else None)
        for c in chains.chain(_response(response_id))
    ]


def day_of(response_id: str) -> str:
    return _response(response_id).inbox_day


def findings(day: str) -> list[str]:
    """Return what disagrees in a day's accounts."""
    from fairwitness.agency.services import reconcile

    return [str(one) for one in reconcile.day_report(day).findings]


def lose(response_id: str) -> None:
    """An agency that makes a response disappear: every row and file of it, as if it had never come.

    Rows in a PostgreSQL server are left to the driver: there no user of the node's can do this.
    """
    from django.db import connection

    from fairwitness.agency.services import vault

    vault.drop(response_id)
    if connection.vendor == "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA foreign_keys=OFF")
        for table in connection.introspection.table_names(cursor):
            columns = [c.name for c in connection.introspection.get_table_description(cursor, table)]
            for column in ("response_id", "about"):
                if column in columns:
                    cursor.execute(f'DELETE FROM "{table}" WHERE "{column}" = %s', [response_id])  # noqa: S608 - its own tables
        cursor.execute('DELETE FROM "agency_response" WHERE id = %s', [response_id])


def opened(response_id: str) -> tuple[bytes, list[bytes]] | None:
    """Open the manifest and every clip, each logged first; None while one is not."""
    from fairwitness.agency.services import evidence, officers

    officer, response = officers.by_name("diaz"), _response(response_id)
    manifest = _gated(lambda: evidence.read_manifest(officer, response, "read the owner's words"))
    clips = []
    for clip in response.clips.all():

        def act(name: str = clip.name) -> bytes:
            with evidence.open_clip(officer, response, name, "viewed", "look for the car") as stream:
                return bytes(stream.read())

        clips.append(_gated(act))
    if manifest is None or None in clips:
        return None
    return manifest.encode(), clips


def clips(response_id: str) -> list[str]:
    return list(_response(response_id).clips.values_list("name", flat=True))


def recipient() -> str:
    """Return an age recipient for a bait."""
    from fairwitness_core.crypto import seal

    return seal.new_identity()[1]


def officer_seeds(names: list[str]) -> list[bytes]:
    """Return officers' signing seeds: an agency that is in league with the hub, or whose console was broken into."""
    from fairwitness.agency.services import node, officers

    return [node.get_secret(node.key_file("officers", officers.by_name(name).actor)) for name in names]


def submit(envelope: bytes) -> dict[str, Any]:
    """Hand the hub an envelope past this node's own checks; returns the answer, or the refusal."""
    from fairwitness.agency.services import hubcalls

    try:
        return hubcalls.call("request_submit", {"envelope": hubcalls.b64(envelope)})
    except hubcalls.HubRefused as error:
        return {"refused": error.code, "rules": [d.code for d in error.details]}
