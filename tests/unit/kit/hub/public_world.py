"""The public files of a made-up hub, in the layout of a mirror: what the public page is drawn from."""

from fairwitness_core.model.agency import AgencySuspended
from fairwitness_core.model.hub import InboxEpoch, PolicyChanged
from fairwitness_core.model.request import (
    ModerationAction,
    RequestExtended,
    RequestRefused,
    RequestResolved,
    RequestWithdrawn,
)
from fairwitness_core.tlog import merkle, tiles

from core.tests.rules.feed_world import World

DAY = 86_400


def write(world: World, folder):
    """Write a world's public files as `fairwitness mirror` lays them out; returns the folder."""
    site = folder / "site"
    log = site / "log" / "p"
    entries = world.log.entries
    size = len(entries)

    def put(path, data):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    rows = [[merkle.leaf_hash(entry) for entry in entries]]
    while len(rows[-1]) >= tiles.WIDTH:
        row = rows[-1]
        rows.append([_top(row[i : i + 256]) for i in range(0, len(row) - len(row) % 256, 256)])
    for n in range(-(-size // tiles.WIDTH)):
        part = entries[n * 256 : (n + 1) * 256]
        put(log / tiles.entries_path(n, len(part)), tiles.encode_bundle(part))
    for level, row in enumerate(rows):
        for n in range(-(-len(row) // tiles.WIDTH)):
            part = row[n * 256 : (n + 1) * 256]
            put(log / tiles.tile_path(level, n, len(part)), b"".join(part))
    newest = world.next_tick - 1
    put(log / "checkpoint", head_of(world, newest).encode())
    for number, container in world.containers.items():
        put(site / "feed" / "v1" / "all" / str(number), container.encode())
    put(site / "feed" / "v1" / "latest", b"%d\n" % newest)
    put(site / "join.json", world.join.encode())
    return folder


def head_of(world, tick):
    from fairwitness_core.tlog.proof import TlogProof  # noqa: PLC0415

    return TlogProof.parse(world.containers[tick].proof.encode()).checkpoint


def _top(row):
    while len(row) > 1:
        row = [merkle.node_hash(row[k], row[k + 1]) for k in range(0, len(row), 2)]
    return row[0]


def act(world, number, action, *, rule="moderation.approved", moderators=1, flags=(), at=None):
    """Log what moderators did to request `number`."""
    world.publish(
        ModerationAction(
            request_id=f"{number:032x}", action=action, rule=rule, flags=flags, moderators=moderators, at=at or world.now + 60
        )
    )


def eventful(**changes):
    """A hub at which everything that can happen to a request has happened, over two weeks of ticks."""
    world = World(**changes)
    agency = world.authorized()
    world.publish(agency)
    world.tick()
    at = world.now
    for number in range(1, 8):
        lane = number == 6
        world.publish(world.request(number, at=at + number, expires=at + (2 if number == 4 else 9) * DAY, emergency=lane))
        done, rule = ("emergency_published", "emergency_lane") if lane else ("approved", "moderation.approved")
        act(world, number, done, rule=rule, at=at + 600 * number, flags=("dwellings_unchecked",))
    refused = {"agency": agency.agency, "offense": "nibrs:220", "at": at}
    world.publish(RequestRefused(request_id=f"{99:032x}", rule="text.address", **refused))
    act(world, 99, "refused", rule="moderation.vague")
    world.tick()
    said = {"agency": agency.agency, "at": world.now}
    ana, ben = world.officers
    world.publish(RequestWithdrawn(request_id=f"{1:032x}", reason="withdrawn", **said), ana)
    world.publish(RequestResolved(request_id=f"{2:032x}", outcome="solved_with_footage", words="Thank you all.", **said), ana)
    world.publish(RequestWithdrawn(request_id=f"{3:032x}", reason="moderation", **said))
    act(world, 3, "withdrawn", rule="moderation.withdrawn")
    longer = RequestExtended(request_id=f"{5:032x}", expires=at + 12 * DAY, reason="New leads came in.", **said)
    world.publish(longer, ana, ben)
    act(world, 6, "reviewed", rule="emergency_lane")
    world.publish(InboxEpoch(day="20270115", root=b"r" * 32, leaves=64, at=world.now))
    text = "Two moderators from the town council decide."
    world.publish(policy(world, text))
    # Of a kind that this program does not know, and one that breaks a rule: nobody signed it who may.
    world.log.append(unknown(world))
    world.publish(RequestWithdrawn(request_id=f"{7:032x}", reason="withdrawn", **said), world.console)
    world.tick()
    days = 3 * DAY // world.tick_seconds
    world.next_tick += days
    world.tick()
    return world


def suspend(world):
    world.publish(AgencySuspended(agency=world.authorized().agency, reason="misuse", at=world.now))
    world.tick()


def policy(world, text, kind="moderation"):
    import hashlib  # noqa: PLC0415

    digest = hashlib.sha256(text.encode()).hexdigest()
    return PolicyChanged(kind=kind, sha256=digest, text=text, supersedes="0" * 64, effective_at=world.now + 2 * DAY, at=world.now)


def unknown(world):
    from fairwitness_core.wire import canonical, dsse  # noqa: PLC0415

    return dsse.sign(dsse.ENTRY, canonical.encode({"type": "from_the_future", "v": 3, "at": 1}), world.hub).encode()


__all__ = ["act", "eventful", "suspend", "write"]
