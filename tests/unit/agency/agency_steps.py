"""What tests do with an agency, step by step."""

from dataclasses import dataclass
from pathlib import Path

import h3
from fairwitness_core.model.request import Request as Document

from fairwitness.agency.models import Request, Response
from fairwitness.agency.services import cases, collect, custody, officers, requests, setup, status
from fairwitness.kit import clock
from tests.unit.agency.world import POLYGON, Owner, SmallHub

AREA = tuple(sorted(h3.grid_disk(h3.latlng_to_cell(37.80, -122.22, 9), 1)))
MESSAGE = "A cyclist was struck near the crossing by a silver hatchback with a broken left tail light that drove on to the north."
PURPOSE = "identify the hatchback that struck the cyclist"


@dataclass
class Agency:
    hub: SmallHub
    clip: bytes
    moment: dict
    folder: Path

    def begin(self):
        setup.make_keys(POLYGON)
        people = {
            "ana": "officer", "sam": "supervisor", "sue": "supervisor", "tom": "technician", "adm": "admin",
        }  # fmt: skip
        self.codes = {}
        for name, role in people.items():
            done = officers.enrol(name, name.title(), role)
            setattr(self, name, done.officer)
            self.codes[name] = done.code
        setup.trust(self.hub.join.encode(), accept=True)
        self.hub.authorise(officers.registration())
        return self

    def step(self, seconds: float) -> int:
        self.moment["now"] += seconds
        return clock.now()

    def draft(self, **changes) -> requests.Draft:
        now = clock.now()
        fields = {
            "area": AREA,
            "from_": now - 7200,
            "to": now - 3600,
            "msg": MESSAGE,
            "expires": now + 7 * 86400,
            "contact": "Traffic desk, 510 555 0100",
        } | changes
        return requests.Draft(**fields)

    def case(self, number="26-001873"):
        from fairwitness.agency.models import Case  # noqa: PLC0415 - found or made

        return Case.objects.filter(number=number).first() or cases.open_case(self.ana, number, "nibrs:13A", "Hit and run")

    def published(self, number="26-001873", **changes) -> Request:
        request = requests.draft(self.ana, self.case(number), self.draft(**changes))
        requests.approve(self.sam, request)
        self.hub.publish(request.id)
        assert requests.poll(request) == "published"
        return requests.get(request.id)

    def document(self, request: Request) -> Document:
        return requests.document_of(request)

    def collected(self, request: Request, *owners: Owner) -> list[Response]:
        for owner in owners:
            self.hub.answer(self.document(request), owner)
        collect.run(clock.now())
        return [Response.objects.get(pk=owner.response_id) for owner in owners]

    def told(self, response: Response) -> list[str]:
        status.send(clock.now())
        return [item["status"] for item in self.hub.statuses if item["response_id"] == response.id]

    def settle(self) -> int:
        return custody.settle()
