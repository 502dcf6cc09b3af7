"""Views: what an actor can see of a world, in order, and the first difference between two of them."""

import json
from typing import TYPE_CHECKING, Any

from fairwitness.kit.notify import Reach, classify
from tests.harness import unseeded
from tests.harness.net import Message

if TYPE_CHECKING:
    from tests.harness.world import World

type View = dict[str, Any]


def agency(world: "World") -> View:
    """Every byte and moment that the agency sends and receives, its rows, files and journal, and all public files."""
    return {
        "exchanges": [_exchange(m) for m in world.net.messages if m.source == "agency" or m.target == "agency.test"],
        **_inside(world, "agency"),
        "public": public_files(world),
    }


def hub(world: "World") -> View:
    """Every exchange at the hub's door with headers and source address, its own calls, its rows, files and journal."""
    return {
        "exchanges": [_exchange(m, address=True) for m in world.net.messages if m.source == "hub" or m.target == "hub.test"],
        **_inside(world, "hub"),
    }


def mirror(world: "World") -> View:
    """Every fetch of a static file with headers and source address."""
    static = ("/feed/", "/log/", "/join.json")
    found = [m for m in world.net.messages if m.target == "hub.test" and m.path.startswith(static)]
    return {"exchanges": [_exchange(m, address=True) for m in found]}


def network(world: "World") -> View:
    """Every exchange of every home, wherever it goes: what whoever carries its packets could see without encryption."""
    found = [m for m in world.net.messages if m.source.startswith("home-")]
    return {"exchanges": [_exchange(m, address=True) for m in found]}


def provider(world: "World") -> View:
    """Every message that is handed to a company, with its moment. Channels on an owner's own network are not theirs."""
    return {"pushes": [(at, who, what) for at, who, what in world.net.pushes if classify(what[0]) is Reach.THIRD_PARTY]}


def public_files(world: "World") -> dict[str, bytes]:
    """What anybody can fetch from the hub."""
    folder = world.hub.folder
    found = {}
    for top in ("feed", "log/p/public", "log/s/public"):
        for path in sorted((folder / top).rglob("*")):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def _exchange(m: Message, *, address: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "at": m.at,
        "from": m.source if m.source in ("hub", "agency") else "(somebody)",
        "to": m.target,
        "call": f"{m.method} {m.path}",
        "headers": m.headers,
        "body": m.body,
        "status": m.status,
        "answer headers": m.answer_headers,
        "answer": m.answer,
    }
    if address:
        found["address"] = m.address
    return found


def _inside(world: "World", name: str) -> View:
    dumped = world.dump(name)
    for table, column in unseeded.MASKED:
        for row in dumped["tables"].get(table, []):
            row[column] = f"<{len(row[column] or b'')} bytes>"
    return dumped


def diff(left: Any, right: Any, where: str = "") -> str:
    """Return the first difference between two views in words, or an empty text."""
    if type(left) is not type(right):
        return f"{where}: {_show(left)} != {_show(right)}"
    if isinstance(left, dict):
        for key in [*left, *(k for k in right if k not in left)]:
            if key not in left or key not in right:
                there = "second" if key not in left else "first"
                return f"{where}/{key}: only in the {there} view: {_show((left if key in left else right)[key])}"
            if found := diff(left[key], right[key], f"{where}/{key}"):
                return found
        return ""
    if isinstance(left, list | tuple):
        for place, (a, b) in enumerate(zip(left, right, strict=False)):
            if found := diff(a, b, f"{where}[{place}]"):
                return found
        if len(left) != len(right):
            longer, word = (left, "first") if len(left) > len(right) else (right, "second")
            more = _show(longer[min(len(left), len(right))])
            return f"{where}: the {word} view has {abs(len(left) - len(right))} more, first {more}"
        return ""
    return "" if left == right else f"{where}: {_show(left, right)} != {_show(right, left)}"


def same(left: View, right: View, actor: str) -> None:
    """Assert that an actor cannot tell two worlds apart."""
    found = diff(left, right)
    assert not found, f"VIEW DIFFERS ({actor}): {found}"


def _show(value: Any, other: Any = None) -> str:
    if isinstance(value, bytes):
        start = 0
        if isinstance(other, bytes):
            start = max(next((i for i, (a, b) in enumerate(zip(value, other, strict=False)) if a != b), 0) - 40, 0)
        return f"{len(value)} bytes ...{value[start : start + 160]!r}"
    text = json.dumps(value, default=repr) if isinstance(value, dict | list) else repr(value)
    return text if len(text) < 400 else f"{text[:400]}..."
