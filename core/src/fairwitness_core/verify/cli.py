"""`fairwitness-verify`: the one file of the core that touches the disk. Only `log URL` loads `remote`, which uses the network."""

import argparse
import errno
import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, BinaryIO

from fairwitness_core.model.hub import LogGenesis
from fairwitness_core.model.recording import MAX_PROOF, RecordingProof
from fairwitness_core.tlog import checkpoint, merkle, note, tiles
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.verify import report as reports
from fairwitness_core.verify.bag import verify_bag
from fairwitness_core.verify.checks import BagReport
from fairwitness_core.verify.log import LogCheck, LogReport, check_log
from fairwitness_core.verify.recording import digest_of, verify_recording
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

MAX_TRUST = 1 << 16
MAX_FETCH = 32 << 20  # a full entry bundle has at most 256 entries of 64 KiB

Fetch = Callable[[str], bytes]

VERIFIED, FAILED, USAGE, NOT_PINNED = 0, 1, 2, 3


class UsageError(Exception):
    """The command cannot begin; the message says why and what to do."""


class FolderFiles:
    """A folder as `Files`: lists everything below it, opens plain files only, follows no link."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)

    def list(self) -> Iterable[str]:
        """Name every entry that is no folder, links included; raises OSError where a folder cannot be read."""
        pending = [""]
        while pending:
            base = pending.pop()
            with os.scandir(f"{self._root}/{base}") as entries:
                for entry in entries:
                    name = base + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name + "/")
                    else:
                        yield name

    def open(self, name: str, /) -> BinaryIO:
        """Open a plain file; raises ProtocolError `bag.link` for a link, `bag.special` for a pipe, socket or device."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        path = f"{self._root}/{name}"
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ProtocolError("bag.link", "this is a symbolic link; evidence is plain files") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ProtocolError("bag.special", "this is not a plain file")
        return os.fdopen(descriptor, "rb")


def _read(path: str, limit: int) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise UsageError(f"{path} is larger than {limit} bytes; is it the right file?")
    return data


def _trust(path: str | None) -> TrustPolicy | None:
    if path is None:
        return None
    try:
        return TrustPolicy.read(_read(path, MAX_TRUST))
    except ProtocolError as error:
        hint = "make one with `fairwitness home trust` or from a join file that you compared"
        raise UsageError(f"{path} is not a trust policy: {error.message} [{error.code}]; {hint}") from error


def _folder(text: str) -> Path:
    """Return the folder that holds `bag` and `seal`, also where the bag itself was named."""
    path = Path(text)
    if not path.is_dir():
        raise UsageError(f"{text} is not a folder; name the one that holds `bag` and `seal`")
    if (path / "bagit.txt").is_file() and path.resolve().name == "bag":
        return path.resolve().parent
    if not (path / "bag").is_dir():
        raise UsageError(f"{text} holds no folder `bag`; name the folder that the agency exported")
    return path


def _progress(stream: IO[str]) -> Callable[[int], None] | None:
    if not stream.isatty():
        return None
    shown = 0

    def show(done: int) -> None:
        nonlocal shown
        if done - shown >= 64 << 20:
            shown = done
            stream.write(f"\r{done >> 20} MiB read")
            stream.flush()

    return show


def _bag(arguments: argparse.Namespace) -> int:
    trust = _trust(arguments.trust)
    folder = _folder(arguments.bag)
    progress = _progress(sys.stderr)
    try:
        report = verify_bag(FolderFiles(folder), trust, progress=progress)
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}") from error
    if progress:
        sys.stderr.write("\r\x1b[K")
    return _report(arguments, report)


def _report(arguments: argparse.Namespace, report: BagReport) -> int:
    """Print a report, write its page where one is wanted, and return its exit code."""
    if arguments.html:
        try:
            Path(arguments.html).write_text(reports.to_html(report, str(arguments.bag)), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {arguments.html}: {error.strerror}") from error
    sys.stdout.write(reports.to_json(report) if arguments.json else reports.to_text(report, str(arguments.bag)))
    return report.exit_code


def _recording(arguments: argparse.Namespace) -> int:
    trust = _trust(arguments.trust)
    folder = _folder(arguments.bag)
    try:
        proof = RecordingProof.read(_read(arguments.proof, MAX_PROOF + 1))
    except ProtocolError as error:
        raise UsageError(f"{arguments.proof} is no recording proof: {error.message} [{error.code}]") from error
    originals = []
    for name in arguments.original:
        try:
            with Path(name).open("rb") as stream:
                originals.append((name, digest_of(stream)))
        except OSError as error:
            raise UsageError(f"cannot read {name}: {error.strerror}") from error
    progress = _progress(sys.stderr)
    try:
        report = verify_recording(FolderFiles(folder), proof, trust, originals, progress=progress)
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}") from error
    if progress:
        sys.stderr.write("\r\x1b[K")
    return _report(arguments, report)


def _entry(arguments: argparse.Namespace) -> int:
    """Check one log entry and its proof, as the public page hands them out."""
    trust = _trust(arguments.trust)
    entry = _read(arguments.entry, tiles.MAX_ENTRY)
    try:
        proof = TlogProof.parse(_read(arguments.proof, MAX_TRUST))
        head = checkpoint.Checkpoint.parse(proof.checkpoint.text)
        times: tuple[tuple[str, int], ...] = ()
        if trust is not None:
            times = proof.verify(trust.witness_policy, entry).checkpoint.times
        else:
            merkle.verify_inclusion(merkle.leaf_hash(entry), proof.index, head.size, proof.path, head.root)
    except ProtocolError as error:
        sys.stdout.write(f"FAILED: {reports.plain(error.message)} ({reports.plain(error.evidence)}) [{error.code}]\n")
        return FAILED
    place = f"entry {proof.index} of {reports.plain(head.origin)}, under a head of {head.size} entries"
    seen = ", ".join(f"{reports.plain(name)} at {_moment(at)}" for name, at in times)
    sys.stdout.write(f"{place}\n" + (f"seen by {seen}\nVERIFIED under the keys that you pinned.\n" if trust else ""))
    if trust is None:
        sys.stdout.write("CONSISTENT, KEYS NOT PINNED: its witnesses were not checked; run again with --trust.\n")
        return NOT_PINNED
    return VERIFIED


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _folder_fetch(base: Path) -> Fetch:
    def fetch(path: str) -> bytes:
        with (base / path).open("rb") as stream:
            data = stream.read(MAX_FETCH + 1)
        if len(data) > MAX_FETCH:
            raise ProtocolError("log.too_large", f"this file has more than {MAX_FETCH} bytes", evidence=path)
        return data

    return fetch


def _url_fetch(base: str) -> Fetch:
    from fairwitness_core.verify import remote  # noqa: PLC0415  checking a bag loads no network code at all

    return remote.fetcher(base, MAX_FETCH)


def _locate(place: str, ledger: str) -> Fetch:
    """Return how to read the log at `place`: the log itself, or a hub's folder or address with `log/p` and `log/s`."""
    letter = ledger[0]
    tails = ("", f"/{letter}", f"/log/{letter}", "/public", f"/{letter}/public", f"/log/{letter}/public")
    scheme, colon, _ = place.partition("://")
    if colon and scheme not in {"http", "https"}:
        raise UsageError(f"{place}: only http and https addresses can be read")
    if not colon and not Path(place).is_dir():
        raise UsageError(f"{place} is not a folder; name the one with the file `checkpoint`, or its address")
    for tail in tails:
        fetch = _url_fetch(place.rstrip("/") + tail) if colon else _folder_fetch(Path(place + tail))
        try:
            fetch("checkpoint")
        except (LookupError, FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(f"{place} cannot be read: {error}") from error
        return fetch
    raise UsageError(f"there is no log at {place}: no file `checkpoint` was found there")


def _genesis(fetch: Fetch, size: int) -> tuple[bytes, LogGenesis]:
    """Read entry 0 of a public log; raises ProtocolError, LookupError or OSError."""
    width = min(size, tiles.WIDTH)
    entry = tiles.parse_bundle(tiles.fetch_tile(fetch, None, 0, width), width)[0]
    return entry, LogGenesis.parse(dsse.Envelope.parse(entry).payload)


def _log_key(fetch: Fetch, place: str, ledger: str, trust: TrustPolicy | None) -> note.VerifierKey:
    signed = note.Note.parse(fetch("checkpoint"))
    origin, size = ([*signed.text.split("\n"), "", ""])[:2]
    if trust is not None:
        keys = trust.witness_policy.log_keys(origin)
        if not keys:
            raise ProtocolError("policy.unknown_log", "the pinned policy does not list this log", evidence=origin)
        return next((key for key in keys if signed.verified_by(key)), keys[0])
    # Unpinned, the log's own genesis names its key: enough to see that the log agrees with itself.
    source = fetch if ledger == "public" else _locate(place, "public")
    if ledger != "public":
        size = ([*note.Note.parse(source("checkpoint")).text.split("\n"), "", ""])[1]
    if not size.isdigit() or not int(size):
        raise ProtocolError("log.empty", "this log is empty: it has no genesis that names its key")
    _, genesis = _genesis(source, int(size))
    return note.VerifierKey.parse(genesis.public_log if ledger == "public" else genesis.sealed_log)


def _log(arguments: argparse.Namespace) -> int:
    trust = _trust(arguments.trust)
    fetch = _locate(arguments.log, arguments.ledger)
    extra: LogCheck | None = None
    report: LogReport | None = None
    failure = ""
    try:
        key = _log_key(fetch, arguments.log, arguments.ledger, trust)
        report = check_log(fetch, trust.witness_policy if trust else None, key)
        failure = report.first_failure
        if trust is not None and arguments.ledger == "public" and not failure:
            extra = _pinned_genesis(fetch, report, trust)
            failure = "" if extra.ok else extra.detail
    except ProtocolError as error:
        failure = f"checkpoint: {error.message} ({error.evidence}) [{error.code}]"
    except (LookupError, OSError) as error:
        failure = f"cannot be read: {error}"
    code = FAILED if failure else VERIFIED if trust is not None else NOT_PINNED
    checks = [*(report.checks if report else ()), *([extra] if extra else [])]
    _print_log(arguments, report, checks, failure, code)
    return code


def _pinned_genesis(fetch: Fetch, report: LogReport, trust: TrustPolicy) -> LogCheck:
    title = "it begins with the pinned genesis, signed by the pinned hub key"
    try:
        entry, genesis = _genesis(fetch, report.size)
        trust.check_genesis(entry)
    except (ProtocolError, IndexError) as error:
        return LogCheck(len(report.checks) + 1, title, ok=False, detail=f"entry 0: {error}")
    return LogCheck(len(report.checks) + 1, title, ok=True, detail=genesis.name)


def _print_log(
    arguments: argparse.Namespace, report: LogReport | None, checks: Sequence[LogCheck], failure: str, code: int
) -> None:
    verdict = {
        VERIFIED: "VERIFIED under the keys that you pinned.",
        FAILED: f"FAILED: {failure}",
        NOT_PINNED: "CONSISTENT, KEYS NOT PINNED: its witnesses were not checked; run again with --trust.",
    }[code]
    if arguments.json:
        value = {
            "v": 1,
            "exit": code,
            "origin": report.origin if report else "",
            "size": report.size if report else 0,
            "root": report.root.hex() if report else "",
            "first_failure": failure,
            "pinned": bool(arguments.trust),
            "checks": [{"number": c.number, "title": c.title, "ok": c.ok, "detail": c.detail} for c in checks],
            "entries": dict(report.entry_kinds) if report else {},
        }
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
        return
    lines = ["LOG REPORT", reports.plain(arguments.log)]
    if report is not None:
        lines += [f"{reports.plain(report.origin)}, {report.size} entries, root {report.root.hex()}"]
    lines += [f"{c.number:2}. {'holds ' if c.ok else 'FAILED'}  {c.title}: {reports.plain(c.detail)}" for c in checks]
    sys.stdout.write("\n".join([*lines, reports.plain(verdict)]) + "\n")


def _parser(kind: str) -> argparse.ArgumentParser:
    if kind == "recording":
        parser = argparse.ArgumentParser(
            "fairwitness-verify recording",
            description="Check an owner's proof of where a clip of an exported evidence folder comes from, offline.",
        )
        parser.add_argument("bag", metavar="BAG", help="the exported folder, which holds `bag` and `seal`")
        parser.add_argument("proof", metavar="PROOF", help="the file that the owner made with `reveal-recording`")
        parser.add_argument(
            "--original", metavar="FILE", action="append", default=[], help="an untouched original, if you have any"
        )
        parser.add_argument("--html", metavar="FILE", help="also write the report as a page for printing")
    elif kind == "entry":
        parser = argparse.ArgumentParser("fairwitness-verify entry", description="Check one log entry and its proof, offline.")
        parser.add_argument("entry", metavar="ENTRY", help="the signed entry, as the hub's public page hands it out")
        parser.add_argument("--proof", metavar="FILE", required=True, help="its tlog-proof, from the same page")
    elif kind == "log":
        parser = argparse.ArgumentParser("fairwitness-verify log", description="Re-verify a whole published log.")
        parser.add_argument("log", metavar="DIR-or-URL", help="the log, or the hub's folder or address that holds it")
        parser.add_argument("--ledger", choices=("public", "sealed"), default="public", help="which of a hub's two logs")
    else:
        parser = argparse.ArgumentParser(
            "fairwitness-verify",
            description="Check an exported evidence folder, offline.",
            epilog="Exit: 0 all holds under the pinned keys; 1 something failed; 2 wrong use; 3 consistent, keys not pinned. "
            "`fairwitness-verify log` checks a whole log, `entry` one entry of it, `recording` where a clip comes from.",
        )
        parser.add_argument("bag", metavar="BAG", help="the exported folder, which holds `bag` and `seal`")
        parser.add_argument("--html", metavar="FILE", help="also write the report as a page for printing")
    parser.add_argument("--trust", metavar="FILE", help="trust policy or join file, from somewhere other than the evidence")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 verified, 1 failed, 2 wrong use, 3 consistent but not pinned."""
    words = list(sys.argv[1:] if argv is None else argv)
    kind = words[0] if words[:1] in (["entry"], ["log"], ["recording"]) else "bag"
    # `bag` before a folder is the subcommand's name; alone it is a folder of that name.
    if kind != "bag" or (words[:1] == ["bag"] and len(words) > 1 and not words[1].startswith("-")):
        words = words[1:]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without an agency's letters is no failed check
    try:
        arguments = _parser(kind).parse_args(words)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    try:
        return {"entry": _entry, "log": _log, "recording": _recording, "bag": _bag}[kind](arguments)
    except UsageError as error:
        sys.stderr.write(f"fairwitness-verify: {reports.plain(str(error))}\n")
        return USAGE


if __name__ == "__main__":
    sys.exit(main())
