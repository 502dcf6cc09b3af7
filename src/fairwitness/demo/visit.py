"""What the demo prints for who looks around: a few things to try, each with an address that leads straight there."""

import json
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from fairwitness.demo.door import Door
from fairwitness.demo.play import CASE, Story
from fairwitness.demo.processes import DemoError, command
from fairwitness.demo.town import OFFICERS, Neighbourhood

RESIDENT = "ignores"
"""The part (see places.PARTS) of the home whose answer is left to the visitor."""


def guests(story: Story) -> dict[str, str]:
    """Make a guest for each role, working on the demo's case where the role needs it; returns one-time codes by role."""
    town = story.town
    codes = {}
    for role in sorted({role for _, _, role in OFFICERS}):
        codes[role] = _code(
            "agency", "officer", "add", str(town.agency), f"guest-{role}", "--name", f"Guest {role}", "--role", role
        )
    codes["moderator"] = _code(
        "hub", "user", str(town.hub), "guest-moderator", "--role", "moderator", "--name", "Guest moderator"
    )
    # The new officers' keys count from the log entry that names them.
    command("hub", "add-agency", town.hub, town.agency / "registration.json")
    ana = town.people["ana"].client
    for role in ("officer", "supervisor"):
        added = ana.post(f"/cases/{story.case_id}/members/add", form={"username": f"guest-{role}"}, accept="text/html")
        if added.status != 302:
            raise DemoError(
                f"the agency answered {added.status} when guest-{role} was added to the case; see {town.data / 'logs'}"
            )
    return codes


def _code(*words: str) -> str:
    return str(json.loads(command(*words))["code"])


def show(console: Console, story: Story, door: Door, codes: dict[str, str]) -> None:
    """Print it. Addresses stand alone on their lines and are never broken, so that a terminal can open them."""
    town = story.town
    for line in _lines(town, story, door, codes):
        console.print(line, soft_wrap=True)


def _lines(town: Neighbourhood, story: Story, door: Door, codes: dict[str, str]) -> Iterable[str]:
    desk = f"{town.agency_url}/requests/{story.request_id}/responses"
    [visited] = [one.name for one in town.town.residents if one.part == RESIDENT]
    yield ""
    yield "[bold]The neighbourhood is running. Open these in a browser on this computer.[/bold]"
    yield ""
    yield "[bold]1. Be a resident[/bold], and answer the police"
    yield f"   {door.address(visited)}"
    yield '   Press "Pair". A request waits: open it, press "Look and answer", and follow the four steps.'
    yield ""
    yield "[bold]2. Be a detective[/bold], and open a clip that a neighbour sent"
    yield f"   {town.agency_url}/auth/enrol"
    yield f"   Your one-time code: [bold]{codes['officer']}[/bold]"
    yield "   It adds a passkey: your browser asks for a fingerprint, a PIN or a security key. Sign in with it, then:"
    yield f"   {desk}"
    yield '   Press "Start with the oldest", write what you open it for, and press "Log it and open".'
    yield "   What you send as a resident comes in here within a minute."
    yield ""
    yield "[bold]3. Be anybody[/bold], and see what everybody may see"
    yield f"   {town.hub_url}/"
    yield ""
    yield "[bold]4. Be somebody else[/bold]: each code adds a passkey of its own"
    yield f"   The supervisor, who signs second     {town.agency_url}/auth/enrol   {codes['supervisor']}"
    yield f"   The evidence technician              {town.agency_url}/auth/enrol   {codes['technician']}"
    yield f"   The agency's administrator           {town.agency_url}/auth/enrol   {codes['admin']}"
    yield f"   The hub's moderator                  {town.hub_url}/auth/enrol   {codes['moderator']}"
    yield f"   The moderator's desk, signed in      {town.hub_url}/desk"
    yield "   A detective asks, a supervisor approves, a moderator passes it: it starts at"
    yield f"   {town.agency_url}/cases   (this story's case is {CASE})"
    for resident in town.town.residents:
        if resident.name != visited:
            yield f"   {_PARTS[resident.part]:<36} {door.address(resident.name)}"
    yield ""
    yield "[bold]The evidence bag[/bold] of this story, checked as a court would, offline:"
    yield f"   fairwitness verify {escape(str(story.outcome.bag))} --trust {escape(str(story.outcome.trust))}"
    yield ""
    yield "Control-C stops everything; the data stays."


_PARTS = {
    "shares": "The home that shared with a name",
    "withdraws": "The home that took its answer back",
    "muted": "The home that answered later",
    "outside": "A home outside the area",
}
