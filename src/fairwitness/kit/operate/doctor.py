"""The checks that every node shares. Each says in plain words what is wrong and what to do; none changes anything."""

import email.utils
import ipaddress
import os
import shutil
import stat
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from fairwitness_core.crypto import seal
from fairwitness_core.tlog import checkpoint, note
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import clock, config, files, http
from fairwitness.kit.files import FileLock, Locked, UnsafeMode
from fairwitness.kit.operate import drill
from fairwitness.kit.operate.checks import FAILED, Check, failed, ok, warn
from fairwitness.kit.operate.metrics import heartbeat_age
from fairwitness.kit.operate.role import Operations

SKEW_WARN = 5
SKEW_FAIL = 60
_BEAT_LATE = 300
_CERTIFICATE_DAYS = 14
_ANSWER = 1 << 16


def examine(role: Operations, folder: Path) -> list[Check]:
    """Return every finding about the node in `folder`, which may be running or not."""
    folder = folder.absolute()
    if not role.is_node(folder):
        return [failed("folder", f"{folder} holds no {role.role}", f"make one: fairwitness {role.role} init {folder} ...")]
    found = [modes(folder), *keys(role, folder), disk(folder, role.min_free_bytes)]
    cfg: config.RoleConfig | None = None
    if role.config is not None:
        try:
            cfg = config.load(role.config, folder)
            found.append(ok("config", f"{config.FILE_NAME} is understood"))
        except config.ConfigError as error:
            found.append(failed("config", str(error), f"mend it, then: fairwitness {role.role} config --check {folder}"))
            return found
        found += [*address(cfg), *certificate(cfg), *alive(folder), *drill.check(role, folder, cfg.drill_days)]
    try:
        found += role.check(folder)
    except (OSError, UnsafeMode, ProtocolError, config.ConfigError) as error:
        found.append(
            failed("node", str(error), "mend what the line names; if it says nothing to you, restore a backup elsewhere")
        )
    return found


def modes(folder: Path) -> Check:
    """Nothing in the data folder can be read or written by another user."""
    wrong = []
    for base, _, names in os.walk(folder):
        for path in (Path(base), *(Path(base) / name for name in names)):
            try:
                seen = path.lstat()
            except FileNotFoundError:
                continue
            bits = stat.S_IMODE(seen.st_mode)
            # Served protocol files are public; their folder is closed to others all the same.
            if seen.st_uid != os.geteuid() or (bits & 0o077 and (path == folder or not _below_closed(path, folder))):
                wrong.append(f"{path.relative_to(folder)} ({bits:04o})")
    if not wrong:
        return ok("file modes", "nobody but this user can read the data folder")
    return failed(
        "file modes",
        f"others can reach, or own, {', '.join(wrong[:5])}" + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""),
        f"as the user that runs it: chmod -R go= {folder}",
    )


def _below_closed(path: Path, folder: Path) -> bool:
    """Tell whether a folder between `path` and the data folder keeps others out, and `path` is no key."""
    if "keys" in path.relative_to(folder).parts[:1] or path.name in ("key", config.FILE_NAME):
        return False
    return any(not stat.S_IMODE(parent.stat().st_mode) & 0o077 for parent in path.parents if parent.is_relative_to(folder))


def keys(role: Operations, folder: Path) -> list[Check]:
    """Each key that the role cannot work without is there, is ours alone, and is a key."""
    found = []
    for name in role.keys:
        path = folder / name
        try:
            data = files.read_secret(path)
            if path.name == "node.key":
                seal.recipient_of(data.decode().strip())
        except FileNotFoundError:
            given = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / path.name
            if not given.exists():
                what = f"put it back: fairwitness {role.role} restore ARCHIVE NEWDIR --keys FILE --identity FILE"
                found.append(failed("keys", f"{name} is missing", what))
        except (UnsafeMode, OSError, ValueError) as error:
            found.append(failed("keys", str(error), f"chmod 0600 {path}, or put the key back from the sealed keys"))
        except ProtocolError:
            found.append(failed("keys", f"{name} is no key", "put it back from the sealed keys"))
    return found or [ok("keys", f"{len(role.keys)} keys are there and this user's alone")]


def disk(folder: Path, least: int) -> Check:
    """There is room to go on for a while."""
    usage = shutil.disk_usage(folder)
    text = f"{usage.free >> 20} MiB of {usage.total >> 20} MiB are free"
    if usage.free < least:
        return failed("disk", text, f"free some space: under {least >> 20} MiB this node refuses to store more; nothing is lost")
    if usage.free < max(4 * least, usage.total // 20):
        return warn("disk", text, "make room before it is needed")
    return ok("disk", text)


def address(cfg: config.RoleConfig) -> list[Check]:
    """The address that others use fits how this node listens."""
    parts = urlsplit(cfg.url)
    host = parts.hostname or ""
    listening = ipaddress.ip_address(cfg.host)
    local = host == "localhost" or _is_loopback(host)
    if parts.scheme == "http" and not local:
        todo = "put a TLS proxy in front, set public_url to https://... and behind_tls_proxy = true; see docs/operate"
        return [failed("address", f"{cfg.url} is not https: what people send can be read on its way, passkeys do not work", todo)]
    if local and not listening.is_loopback:
        return [
            failed(
                "address", f"it listens on {cfg.host}, but calls itself {cfg.url}", "set public_url to the name that others use"
            )
        ]
    if parts.scheme == "https" and not cfg.tls_certificate and not cfg.behind_tls_proxy:
        return [
            failed(
                "address",
                "public_url is https, but nothing speaks TLS",
                "set behind_tls_proxy = true, or tls_certificate and tls_key",
            )
        ]
    if cfg.behind_tls_proxy and not listening.is_loopback:
        return [failed("address", f"it trusts a proxy's headers, but listens on {cfg.host}", 'set host = "127.0.0.1"')]
    return [ok("address", cfg.url)]


def certificate(cfg: config.RoleConfig) -> list[Check]:
    """A certificate of our own is readable and good for a while."""
    if not cfg.tls_certificate:
        return []
    try:
        ends = x509.load_pem_x509_certificate(Path(cfg.tls_certificate).read_bytes()).not_valid_after_utc
        files.require_mode(Path(cfg.tls_key))
    except (OSError, ValueError, UnsafeMode) as error:
        return [failed("certificate", str(error), "name a PEM certificate in tls_certificate and its key, mode 0600, in tls_key")]
    left = (ends - datetime.fromtimestamp(clock.now(), UTC)).days
    if left < 0:
        return [failed("certificate", f"it ended {-left} days ago", "renew it and start the node again")]
    if left < _CERTIFICATE_DAYS:
        return [warn("certificate", f"it ends in {left} days", "renew it")]
    return [ok("certificate", f"good for {left} days")]


def alive(folder: Path) -> list[Check]:
    """The node runs and its beat beats; a node that was not started is only worth a word."""
    run = folder / "run"
    if not _held(run / "supervisor.lock"):
        return [warn("running", "the node is not running", "start it: systemctl start, or fairwitness ROLE run DIR")]
    if not _held(run / "beat.lock"):
        return [
            failed(
                "beat",
                "the node runs, but nothing does its timed work",
                "look for child_died and defect in its log, start it again",
            )
        ]
    age = heartbeat_age(folder, clock.now())
    if age > _BEAT_LATE:
        return [
            failed(
                "beat",
                f"the beat last ran {age} seconds ago",
                "start the node again; if it recurs, look for job_failed in its log",
            )
        ]
    return [ok("beat", "running" if age < 0 else f"ran {age} seconds ago")]


def _held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        lock = FileLock(path).acquire(wait=False)
    except Locked:
        return True
    lock.release()
    return False


def skew(peers: Iterable[tuple[str, str]], *, seconds: float = 5.0) -> list[Check]:
    """Compare this clock with the Date of each peer's answer; `peers`: (what it is, an address that answers GET)."""
    found = []
    for name, url in peers:
        label = f"clock, by {name}"
        try:
            sent = clock.now_float()
            answer = http.Http(timeout=seconds).get(url, max_bytes=_ANSWER)
            middle = (sent + clock.now_float()) / 2
            theirs = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (http.Unreachable, http.TooLarge, ValueError):
            found.append(warn(label, f"{name} did not answer", f"see whether {url} can be reached from here"))
            continue
        except (KeyError, TypeError):
            found.append(warn(label, f"{name} does not tell its time", "compare this machine's clock with another source"))
            continue
        off = round(middle - theirs - 0.5)  # a Date has whole seconds: its mean error is half of one
        text = f"{abs(off)} s {'ahead of' if off > 0 else 'behind'} {name}" if abs(off) > 1 else f"agrees with {name}"
        if abs(off) > SKEW_FAIL:
            found.append(failed(label, text, "set this machine's clock; run a time service (chrony, systemd-timesyncd)"))
        elif abs(off) > SKEW_WARN:
            found.append(warn(label, text, "run a time service (chrony, systemd-timesyncd)"))
        else:
            found.append(ok(label, text))
    return found


def migrations() -> Check:
    """The database is of this version. Needs Django."""
    from django.db import connection  # noqa: PLC0415 - not every role has Django
    from django.db.migrations.executor import MigrationExecutor  # noqa: PLC0415

    from fairwitness.kit import database  # noqa: PLC0415

    newer = database.unknown_migrations()
    if newer:
        todo = "install the version that used it last, or restore the backup made before the upgrade"
        return failed("database", f"a newer version used this folder ({', '.join(newer[:3])})", todo)
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        todo = f"stop it, then: fairwitness {config.role_name()} upgrade DIR, which makes a backup first"
        return warn("database", f"the schema is of an older version: {len(waiting)} changes wait", todo)
    return ok("database", "the schema is this version's")


def metrics_are_private(cfg: config.RoleConfig) -> list[Check]:
    """The metrics page cannot be reached through the public address."""
    if urlsplit(cfg.url).hostname in ("localhost", None) or _is_loopback(urlsplit(cfg.url).hostname or ""):
        return []
    try:
        status = http.Http(timeout=5.0).get(f"{cfg.url}/metrics", max_bytes=_ANSWER).status
    except (http.Unreachable, http.TooLarge, ValueError):
        return [warn("public address", f"{cfg.url} cannot be reached from here", "see whether others can reach it")]
    if status == 200:
        return [failed("metrics", "the public can read /metrics", "have the proxy refuse /metrics, and set X-Forwarded-For")]
    return [ok("public address", f"{cfg.url} answers, and keeps /metrics to this machine")]


def heads(
    logs: Sequence[tuple[note.VerifierKey, Path]], witnesses: Iterable[tuple[str, str]], *, seconds: float = 5.0
) -> list[Check]:
    """Compare the served head of each log (verifier key, checkpoint file) with what each witness (name, address) saw last.

    A running hub serves a head a moment after its witnesses signed it, so one that seems behind is read again for `seconds`.
    """
    _, found = _served(logs)
    for name, url in witnesses:
        label = f"log, by witness {name}"
        try:
            theirs = read_heads(http.Http(timeout=seconds).get(f"{url.rstrip('/')}/logs", max_bytes=_ANSWER))
        except (http.Unreachable, http.TooLarge, ProtocolError, ValueError):
            found.append(
                warn(label, f"witness {name} did not answer", f"ask its keeper; without a quorum nothing is served ({url})")
            )
            continue
        until = time.monotonic() + seconds
        check = _compare(label, _served(logs)[0], theirs)
        while check.state == FAILED and time.monotonic() < until:
            time.sleep(0.2)
            check = _compare(label, _served(logs)[0], theirs)
        found.append(check)
    return found


def _served(logs: Sequence[tuple[note.VerifierKey, Path]]) -> tuple[dict[str, checkpoint.Checkpoint], list[Check]]:
    """Read the served head of each log; what cannot be read or believed is a finding."""
    ours: dict[str, checkpoint.Checkpoint] = {}
    found = []
    for vkey, path in logs:
        try:
            ours[vkey.name] = checkpoint.verify(note.Note.parse(path.read_bytes()), vkey)
        except FileNotFoundError:
            found.append(
                warn("log", f"{vkey.name} has no witnessed head yet", "start the hub, and see that two witnesses answer")
            )
        except (ProtocolError, OSError) as error:
            found.append(
                failed("log", f"the head of {vkey.name} cannot be believed: {error}", "restore, or refill from a mirror")
            )
    return ours, found


def read_heads(answer: http.Response) -> dict[str, tuple[int, bytes]]:
    """Read a witness's /logs: origin to size and root. Raises ProtocolError, ValueError, Unreachable."""
    if answer.status != 200:
        raise http.Unreachable(f"status {answer.status}")
    found = {}
    for line in answer.body.decode().splitlines():
        origin, size, root = line.split(" ")
        number = checkpoint.parse_number(size)
        found[origin] = (number, note.decode_base64(root, "witness.root") if number else b"")
    return found


def _compare(label: str, ours: dict[str, checkpoint.Checkpoint], theirs: dict[str, tuple[int, bytes]]) -> Check:
    behind = []
    for origin, head in ours.items():
        size, root = theirs.get(origin, (0, b""))
        if size > head.size:
            todo = "if it runs, look again in a minute; if it was restored: fairwitness hub recover DIR --mirror URL"
            return failed(label, f"it saw {size} entries of {origin}, {head.size} are served here", todo)
        if size == head.size and size and root != head.root:
            todo = "stop the hub; two logs of one name exist: keep both and tell the witnesses' keepers"
            return failed(label, f"it saw another log under {origin}", todo)
        if size < head.size:
            behind.append(f"{head.size - size} entries of {origin}")
    if behind:
        return warn(label, f"it has yet to see {', '.join(behind)}", "look again in a minute; if it stays, ask its keeper")
    return ok(label, "it saw the same heads")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
