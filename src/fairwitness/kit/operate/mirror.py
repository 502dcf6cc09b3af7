"""A mirror of a hub: its feed and both ledgers, each file believed before it is kept, laid out for any static web server.

DIR/site      what is served: join.json, feed/v1/..., log/{p,s}/...
DIR/state     where the mirror stands (rules.feed), and the genesis
DIR/part      entries fetched and not yet under a witnessed head

Nothing rests on the hub's word: ledgers are taken entry by entry and their tiles computed here, ticks are verified as a home
verifies them, from the first one on. A copy that was killed goes on where it stood.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fairwitness_core.model.directory import Directory
from fairwitness_core.model.feed import Container, read_containers
from fairwitness_core.model.hub import InboxEpoch, JoinFile
from fairwitness_core.rules import feed
from fairwitness_core.rules.feed import FeedState, Outcome
from fairwitness_core.rules.inbox import inbox_root
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.tlog import checkpoint, merkle, note, tiles
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import clock, files, http

LOGS = ("p", "s")
_SMALL = 1 << 16
_BUNDLE = 1 << 25
_CONTAINER = 17 << 20
_DAY = 256 << 20
_LEAVES = 1 << 28
_WORLD_FILE = 0o644
_WORLD_FOLDER = 0o755


class MirrorError(Exception):
    """The mirror cannot go on; what it has stays, verified, and can be served."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What one round brought. Sizes are entries; `tick` is the newest tick here; `ticks` how many were new."""

    public: int
    sealed: int
    tick: int | None
    ticks: int
    note: str = ""

    def encode(self) -> str:
        """Return one JSON line."""
        return json.dumps(asdict(self))


class Mirror:
    """One mirror of the hub at `url`, in `folder`."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url.rstrip("/")
        self._folder = folder.absolute()
        self.site = self._folder / "site"
        self._state = self._folder / "state"

    # -- trust

    def fetch_join(self) -> bytes:
        """Return the join file that the hub serves now, unbelieved. Raises MirrorError."""
        return self._must("join.json", _SMALL)

    def pin(self, data: bytes) -> JoinFile:
        """Take the join file `data`, which somebody compared, as what this mirror believes; only once for a folder.

        Raises ProtocolError, MirrorError where another one is pinned.
        """
        join = JoinFile.parse(data.rstrip(b"\n"))
        known = self.pinned()
        if known is not None and known.encode() != join.encode():
            raise MirrorError(f"{self._folder} mirrors another hub, or this one under other keys; use a new folder")
        with self._locked():
            _keep(self.site / "join.json", join.encode())
            files.write_atomic(files.private_dir(self._state) / "join.json", join.encode())
        return join

    def pinned(self) -> JoinFile | None:
        """Return the pinned join file, or None."""
        path = self._state / "join.json"
        return JoinFile.parse(path.read_bytes()) if path.exists() else None

    # -- work

    def run(self) -> Mirrored:
        """Bring the mirror up to what the hub serves.

        Raises ProtocolError where the hub served something that its own log, witnesses or earlier words contradict (it is kept in
        `state/evidence`), MirrorError where it cannot be reached or leaves something out.
        """
        join = self.pinned()
        if join is None:
            raise MirrorError("no join file is pinned: give one with --join, or see the fingerprints and --accept")
        with self._locked():
            policy, known = Policy.parse(join.policy.encode()), self._load(join)
            if known is not None:
                policy = known.policy_at(clock.now())
            sizes = {}
            for name in LOGS:
                vkey = note.VerifierKey.parse(join.public_log if name == "p" else join.sealed_log)
                try:
                    sizes[name] = self._log(name, vkey, policy)
                except ProtocolError:
                    # What was fetched for it is believed no more: the next round asks anew.
                    self._forget(name)
                    raise
            pin = Pinned.of(join, self._genesis())
            state = self._load(join) or _beginning(pin)
            state, count, said = self._feed(state)
            newest = state.next_tick - 1
            first = pin.genesis_at // pin.tick_seconds
        return Mirrored(sizes["p"], sizes["s"], newest if newest >= first else None, count, said)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = files.FileLock(files.private_dir(self._state) / "lock")
        try:
            lock.acquire(wait=False)
        except files.Locked:
            raise MirrorError(f"another process mirrors into {self._folder}") from None
        try:
            yield
        finally:
            lock.release()

    # -- ledgers

    def _log(self, name: str, vkey: note.VerifierKey, policy: Policy) -> int:
        """Copy one ledger up to the hub's witnessed head; returns its size.

        1. the head is signed by the log and witnessed by the policy's quorum; 2. it is no smaller than ours, and the same
        where it is equal; 3. the entries between, behind those here, have its root; 4. only then they and their tiles are
        kept, the head last.
        """
        site = self.site / "log" / name

        def held(path: str) -> bytes:
            return (site / path).read_bytes()

        # 1.
        raw = self._must(f"log/{name}/checkpoint", _SMALL)
        head = policy.verify(raw).checkpoint
        if head.origin != vkey.name:
            raise self._evidence("mirror.origin", "the head is of another log", raw)
        # 2.
        old = merkle.Frontier()
        with contextlib.suppress(FileNotFoundError):
            before = checkpoint.Checkpoint.parse(note.Note.parse(held("checkpoint")).text)
            if head.size < before.size:
                raise MirrorError(
                    f"the hub serves {head.size} entries of {vkey.name}, here are {before.size}: is it an old copy?"
                )
            if head.size == before.size and head.root != before.root:
                raise self._evidence("mirror.fork", "the hub signed two heads of one size", held("checkpoint") + b"\n" + raw)
            old = merkle.Frontier.at(before.size, tiles.node_reader(held, before.size))
        if head.size == old.size:
            _keep(site / "checkpoint", raw)
            return head.size
        # 3.
        edge = old.copy()
        part = files.private_dir(self._folder / "part" / name)
        bundles = []
        for n in range(old.size // tiles.WIDTH, -(-head.size // tiles.WIDTH)):
            width = min(tiles.WIDTH, head.size - n * tiles.WIDTH)
            data = self._bundle(name, part, n, width)
            entries = tiles.parse_bundle(data, width)
            begin = n * tiles.WIDTH
            if begin < old.size:
                _check_prefix(entries[: old.size - begin], held(tiles.entries_path(n, old.size - begin)), old.size - begin)
            edge.extend(entries[max(0, old.size - begin) :])
            bundles.append((n, width))
        if edge.root() != head.root:
            raise self._evidence("mirror.root", "the entries that the hub served do not lead to its head", raw)
        # 4.
        for n, width in bundles:
            _keep(site / tiles.entries_path(n, width), (part / _part(n, width)).read_bytes())
        self._tiles(site, old.size, head.size)
        _keep(site / "checkpoint", raw)
        self._forget(name)
        return head.size

    def _forget(self, name: str) -> None:
        for path in files.private_dir(self._folder / "part" / name).iterdir():
            path.unlink()

    def _bundle(self, name: str, part: Path, n: int, width: int) -> bytes:
        path = part / _part(n, width)
        if not path.exists():
            data = tiles.fetch_tile(lambda p: self._maybe(f"log/{name}/{p}", _BUNDLE), None, n, width)
            files.write_atomic(path, data)
        return path.read_bytes()

    @staticmethod
    def _tiles(site: Path, old: int, new: int) -> None:
        """Compute the tiles of a tree that grew, each from those below it, which come first."""

        def read(level: int, n: int, width: int) -> tuple[bytes, ...]:
            return tiles.parse_tile(tiles.fetch_tile(lambda p: (site / p).read_bytes(), level, n, width), width)

        for path in tiles.tiles_for(old, new):
            if path.level is None:
                continue
            if path.level == 0:
                bundle = tiles.fetch_tile(lambda p: (site / p).read_bytes(), None, path.n, path.width)
                row = [merkle.leaf_hash(entry) for entry in tiles.parse_bundle(bundle, path.width)]
            else:
                first = path.n * tiles.WIDTH
                row = [_top(read(path.level - 1, first + i, tiles.WIDTH)) for i in range(path.width)]
            _keep(site / path.encode(), b"".join(row))

    def _genesis(self) -> bytes:
        site = self.site / "log" / "p"
        size = checkpoint.Checkpoint.parse(note.Note.parse((site / "checkpoint").read_bytes()).text).size
        width = min(size, tiles.WIDTH)
        if not width:
            raise MirrorError("the hub's log is empty; come back when it has begun")
        return tiles.parse_bundle((site / tiles.entries_path(0, width)).read_bytes(), width)[0]

    # -- the feed

    def _feed(self, state: FeedState) -> tuple[FeedState, int, str]:
        pin = state.pin
        self._roll_up(state)
        count, said = 0, ""
        while state.next_tick <= (want := feed.wanted_tick(clock.now_float(), pin.tick_seconds)):
            ask = feed.next_poll(state.next_tick, clock.now_float(), pin.tick_seconds)
            body = self._get(ask.path.lstrip("/"), _DAY if ask.day else _CONTAINER)
            if body is None:
                said = f"the hub has not served tick {state.next_tick} yet"
                break
            before = state.next_tick
            for container in read_containers(body):
                number = feed.tick_number(container)
                if number < state.next_tick:
                    continue
                state, clock_wrong = self._take(state, container, newest=number == want)
                if clock_wrong:
                    return state, count, "the witnesses' clocks are over 5 minutes ahead of this machine's: set it"
                count += 1
            if state.next_tick == before:
                said = f"the hub's roll-up has no tick {before} yet"
                break
        return state, count, said

    def _take(self, state: FeedState, container: Container, *, newest: bool) -> tuple[FeedState, bool]:
        """Verify one container as a home does and keep it. The state is stored last, so a killed round repeats it."""
        try:
            verified = feed.verify_container(state, container, now=clock.now(), newest=newest)
        except ProtocolError as error:
            self._evidence(error.code, error.message, container.encode())
            raise
        if verified.outcome is Outcome.CHECK_CLOCK:
            return state, True
        root = self.site / "feed" / "v1"
        after = verified.state
        for epoch in verified.epochs:
            self._inbox(epoch)
        digest = after.directory.digest()
        if digest != state.directory.digest() or not (root / "agencies" / digest).exists():
            _keep(root / "agencies" / digest, after.directory.encode())
        # A tick's entry names the directory below itself, which is the one after its content.
        _keep(root / "all" / str(verified.tick), container.encode())
        day = root / "day" / "all" / feed.day_of(verified.tick, state.pin.tick_seconds)
        _folder(day.parent)
        files.append_durable(day, container.encode(), mode=_WORLD_FILE)
        day.chmod(_WORLD_FILE)
        _keep(root / "latest", b"%d\n" % verified.tick)
        self._store(after)
        return after, False

    def _inbox(self, epoch: InboxEpoch) -> None:
        """Keep a day's inbox leaves, under the root that the log has of them."""
        data = self._must(f"feed/v1/inbox/{epoch.day}", _LEAVES)
        leaves = [data[i : i + 32] for i in range(0, len(data), 32)]
        if len(data) % 32 or len(leaves) != epoch.leaves or inbox_root(leaves) != epoch.root:
            raise self._evidence("mirror.inbox", "a day's inbox is not the one in the log", epoch.encode())
        _keep(self.site / "feed" / "v1" / "inbox" / epoch.day, data)

    def _roll_up(self, state: FeedState) -> None:
        """Make the newest day's roll-up from its ticks, so that what a killed round appended twice is there once."""
        last = state.next_tick - 1
        root = self.site / "feed" / "v1"
        day = feed.day_of(last, state.pin.tick_seconds)
        path = root / "day" / "all" / day
        if not (root / "all").exists():
            return
        data = bytearray()
        tick = last
        parts = []
        while feed.day_of(tick, state.pin.tick_seconds) == day and (root / "all" / str(tick)).exists():
            parts.append((root / "all" / str(tick)).read_bytes())
            tick -= 1
        for item in reversed(parts):
            data += item
        following = root / "day" / "all" / feed.day_of(state.next_tick, state.pin.tick_seconds)
        if following != path:
            following.unlink(missing_ok=True)
        _keep(path, bytes(data))

    # -- small things

    def _load(self, join: JoinFile) -> FeedState | None:
        path = self._state / "feed.json"
        if not path.exists():
            return None
        pin = Pinned.of(join, self._genesis())
        value = json.loads(path.read_bytes())
        snapshot = (self.site / "feed" / "v1" / "agencies" / value["directory"]).read_bytes()
        if hashlib.sha256(snapshot).hexdigest() != value["directory"]:
            raise MirrorError("the directory on this disk is not the one that was verified; mirror into a new folder")
        return FeedState.decode(pin, Directory.read(pin.hub_key, snapshot), value["state"].encode())

    def _store(self, state: FeedState) -> None:
        value = {"directory": state.directory.digest(), "state": state.encode().decode()}
        files.write_atomic(files.private_dir(self._state) / "feed.json", json.dumps(value).encode())

    def _evidence(self, code: str, message: str, data: bytes) -> ProtocolError:
        folder = files.private_dir(self._state / "evidence")
        name = f"{code}-{hashlib.sha256(data).hexdigest()[:16]}"
        if not (folder / name).exists() and sum(1 for _ in folder.iterdir()) < 64:
            files.write_atomic(folder / name, data)
        return ProtocolError(code, message, evidence=f"state/evidence/{name}")

    def _get(self, path: str, most: int) -> bytes | None:
        try:
            answer = http.Http().get(f"{self._url}/{path}", max_bytes=most)
        except (http.Unreachable, ValueError) as error:
            raise MirrorError(f"{self._url} cannot be reached: {error}") from error
        except http.TooLarge as error:
            raise MirrorError(f"{self._url}/{path}: {error}") from error
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise MirrorError(f"{self._url}/{path} answered {answer.status}")
        return answer.body

    def _must(self, path: str, most: int) -> bytes:
        found = self._get(path, most)
        if found is None:
            raise MirrorError(f"{self._url} has no {path}")
        return found

    def _maybe(self, path: str, most: int) -> bytes:
        found = self._get(path, most)
        if found is None:
            raise LookupError(path)
        return found


def fingerprints(join: JoinFile) -> list[str]:
    """Return what to compare with what the hub's and each witness's keepers publish themselves."""
    policy = Policy.parse(join.policy.encode())
    pairs = [("log", join.public_log), ("log", join.sealed_log), ("witness policy", join.policy)]
    pairs += [(f"witness {item.name}", item.key.encode()) for item in policy.witnesses]
    lines = [f"{join.name}  {join.url}", f"  genesis   {join.genesis}"]
    for kind, text in pairs:
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        lines.append(f"  {kind:16} {' '.join(digest[i : i + 4] for i in range(0, 32, 4))}")
    return lines


def watch(mirror: Mirror, seconds: int, told: Callable[[str], None], stopped: Callable[[float], bool]) -> None:
    """Run rounds `seconds` apart until `stopped(seconds)` says so; what can pass by itself is told and tried again."""
    while True:
        try:
            told(mirror.run().encode())
        except MirrorError as error:
            told(json.dumps({"note": str(error)}))
        if stopped(seconds):
            return


def _beginning(pin: Pinned) -> FeedState:
    """Return the state before the first tick: an empty directory, and nothing may be missing."""
    first = pin.genesis_at // pin.tick_seconds
    return FeedState(pin, Directory.read(pin.hub_key, b""), first, 0, first - 1, -1)


def _check_prefix(entries: tuple[bytes, ...], held: bytes, width: int) -> None:
    if entries != tiles.parse_bundle(held, width):
        raise ProtocolError("mirror.changed", "the hub serves other entries than before at the same places")


def _part(n: int, width: int) -> str:
    return f"{n}.{width}"


def _top(hashes: tuple[bytes, ...]) -> bytes:
    row = list(hashes)
    while len(row) > 1:
        row = [merkle.node_hash(row[k], row[k + 1]) for k in range(0, len(row), 2)]
    return row[0]


def _folder(path: Path) -> None:
    """Make a folder that a web server of another user can read; the data is public."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=_WORLD_FOLDER)
        folder.chmod(_WORLD_FOLDER)


def _keep(path: Path, data: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    _folder(path.parent)
    files.write_atomic(path, data, mode=_WORLD_FILE)
