"""The first pages of an agency with 10,000 cases: server time of a page, from request to last byte, in this process.

The aim is 200 ms. There is no peer: other consoles of this field cannot be run here.
"""

# ruff: noqa: PLC0415 - Django is set up in between

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = int(os.environ.get("FAIRWITNESS_BENCHMARK_CASES", "10000"))
TRIES = 15
AIM_MS = 200
PEOPLE = (("ana", "officer"), ("sam", "supervisor"))
SQUARE = [[-122.35, 37.70], [-122.10, 37.70], [-122.10, 37.90], [-122.35, 37.90], [-122.35, 37.70]]


def main(_arguments: list[str]) -> None:
    """Print the median and the slowest of some tries of each page."""
    with tempfile.TemporaryDirectory(prefix="fairwitness-start-") as folder:
        subprocess.run([sys.executable, "-m", "benchmarks.start_pages", folder], check=True)


def _measure(folder: Path) -> None:
    from fairwitness.kit import config, supervise

    config.write(
        folder,
        {
            "agency": "us-ca-harbor",
            "ori": "CA0010900",
            "state": "CA",
            "name": "Harbor City Police",
            "allowed_hosts": ["testserver"],
        },
    )
    supervise.setup("agency", folder)
    from fairwitness.agency.models import AuditRecord, Case, CaseMember, Clip, Request, Response
    from fairwitness.agency.services import officers, setup
    from fairwitness.kit import clock, database
    from fairwitness.kit.accounts.models import SignIn
    from tests.permissions.cases import signed_in

    database.migrate_at_start()
    setup.make_keys({"type": "Polygon", "coordinates": [SQUARE]})
    people = {
        name: officers.enrol(name, name.title(), role).officer for name, role in (("ana", "officer"), ("sam", "supervisor"))
    }
    ana, now = people["ana"], clock.now()
    cases = Case.objects.bulk_create(
        Case(number=f"26-{n:06}", offense="nibrs:240", title=f"Car taken, {n}", opened_by=ana, opened_at=now - n * 600)
        for n in range(CASES)
    )
    CaseMember.objects.bulk_create(CaseMember(case=one, officer=ana, added_by=ana, added_at=one.opened_at) for one in cases)
    requests = Request.objects.bulk_create(
        Request(
            id=f"{n:032x}", case=one, state="expired", payload=b"{}", drafted_by=ana, draft_signature=b"0" * 64, emergency=False,
            created_at=one.opened_at, expires_at=one.opened_at + 86400,
        )
        for n, one in enumerate(cases)
    )  # fmt: skip
    responses = Response.objects.bulk_create(
        Response(
            id=f"{n:064x}", request=one, state="accepted" if n % 50 else "collected", sealed="0" * 64, size=1, tick=n,
            inbox_day="20260101", collected_at=one.created_at, decided_at=one.created_at,
        )
        for n, one in enumerate(requests)
    )  # fmt: skip
    Clip.objects.bulk_create(Clip(response=one, name="clip-01.mp4", sha256="0" * 64, size=1) for one in responses)
    AuditRecord.objects.bulk_create(
        AuditRecord(at=one.opened_at, actor=ana.actor, action="case.opened", subject=f"case {one.pk}", case=one.number)
        for one in cases
    )
    for name, role in PEOPLE:
        _, client = signed_in(role, name=f"{name}-browser")
        session = client.session
        user = people[name].user
        SignIn.objects.filter(user__username=f"{name}-browser").update(user=user)
        session.update({"_auth_user_id": str(user.pk), "_auth_user_hash": user.get_session_auth_hash()})
        session.save()
        for path in ("/", "/cases", "/cases?q=0042", f"/cases/{cases[0].pk}", "/evidence"):
            _time(client, name, path)


def _time(client: object, name: str, path: str) -> None:
    took = []
    for _ in range(TRIES):
        began = time.perf_counter()
        answer = client.get(path, headers={"accept": "text/html"})  # type: ignore[attr-defined]
        content = answer.content
        took.append(1000 * (time.perf_counter() - began))
        assert answer.status_code == 200, (path, answer.status_code)
    median = statistics.median(took)
    verdict = "ok" if median < AIM_MS else f"MISSES the aim of {AIM_MS} ms"
    print(f"{name:4} {path:22} median {median:6.1f} ms, slowest {max(took):6.1f} ms, {len(content) / 1e3:5.0f} kB  {verdict}")


if __name__ == "__main__":
    _measure(Path(sys.argv[1]))
