#!/usr/bin/env python3
"""Fuzz one parser, or all, led by coverage: `python scripts/fuzz.py TARGET --seconds N`, `--list`, `--all --seconds N`.

Targets, their properties and their corpus are those of tests/fuzz. With atheris (libFuzzer for Python; in
requirements/fuzz.in, for Linux) the inputs are led by coverage; without it the suite's own mutator draws them and says so.
An input that breaks the property is kept in the corpus, so that the suite replays it; so are the smallest inputs that reached
something new, with --keep. `--add TARGET FILE` keeps a file of yours. The exit status is 1 where something broke.
"""

import argparse
import hashlib
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
LARGEST = 16 << 10


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="keep up to N of the inputs that reached something new")
    parser.add_argument("--add", type=Path, metavar="FILE")
    parser.add_argument("--child", metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    role = os.environ.get("FAIRWITNESS_ROLE", "")
    if given.child:
        return _atheris(given.target, Path(given.child), given.seconds)
    names = _names(role)
    if given.list:
        print("\n".join(names))
        return 0
    if given.add:
        from tests.fuzz.harness import keep  # noqa: PLC0415 - after the path is set

        print(keep(given.target, given.add.read_bytes()))
        return 0
    chosen = names if given.all else [given.target]
    if any(name not in names for name in chosen):
        parser.error(f"name one of: {', '.join(names)}")
    return max([_one(name, given.seconds, given.keep) for name in chosen])


def _table(role: str) -> dict[str, object]:
    if role:
        sys.path.insert(0, str(ROOT / "tests"))
        importlib.import_module("tests.conftest")  # the role's settings and a data folder of its own
        return {t.name: t for t in importlib.import_module(f"tests.fuzz.{role}.targets_{role}").TARGETS}
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - after the path is set

    return {t.name: t for t in TARGETS}


def _names(role: str) -> list[str]:
    return sorted(_table(role))


def _one(name: str, seconds: int, kept: int) -> int:
    """Fuzz one target in a child, whose memory is bounded; a broken one does not stop the rest."""
    with tempfile.TemporaryDirectory(prefix="fairwitness-fuzz-") as folder:
        started = time.monotonic()
        if importlib.util.find_spec("atheris") is None:
            print(f"{name}: atheris is not installed; drawing without coverage")
            return _plain(name, seconds)
        command = [sys.executable, __file__, name, "--seconds", str(seconds), "--child", folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, errors="replace")
        runs = [line for line in done.stderr.splitlines() if line.startswith(("Done ", "stat::number_of_executed"))]
        told = runs[-1] if runs else f"status {done.returncode}"
        print(
            f"{name}: {told}, {len(list(Path(folder, 'found').iterdir()))} inputs, {time.monotonic() - started:.0f} s", flush=True
        )
        broken = [path for path in Path(folder).iterdir() if path.name.startswith(("crash-", "timeout-", "oom-", "leak-"))]
        for path in broken:
            print(f"  broken: {_keep(name, path.read_bytes())}")
        if done.returncode or broken:
            lines = [line for line in done.stderr.splitlines() if "Broken" in line or "Error" in line]
            print("  " + "\n  ".join((lines or done.stderr.splitlines())[-6:])[:4000], flush=True)
            return 1
        if kept:
            _keep_some(name, Path(folder, "found"), kept)
    return 0


def _keep(name: str, data: bytes) -> Path:
    from tests.fuzz.harness import keep  # noqa: PLC0415 - after the path is set

    return keep(name, data)


def _keep_some(name: str, found: Path, most: int) -> None:
    """Keep a spread of sizes: the smallest, the largest that are small enough, and some between."""
    paths = sorted((path for path in found.iterdir() if path.stat().st_size <= LARGEST), key=lambda path: path.stat().st_size)
    step = max(1, len(paths) // most)
    for path in paths[::step][:most]:
        _keep(name, path.read_bytes())


def _plain(name: str, seconds: int) -> int:
    from tests.fuzz.harness import check, kept, mutate  # noqa: PLC0415 - after the path is set

    target = _table(os.environ.get("FAIRWITNESS_ROLE", ""))[name]
    seeds = [*target.seeds(), *kept(name)]  # type: ignore[attr-defined]
    seed = int.from_bytes(os.urandom(8))
    rng = random.Random(seed)  # noqa: S311 - draws test inputs
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = mutate(rng, seeds, target.shape, target.limit)  # type: ignore[attr-defined]
        try:
            check(target, data)  # type: ignore[arg-type]
        except AssertionError as error:
            print(f"{name}: {error}\n  kept: {_keep(name, data)}")
            return 1
        count += 1
    print(f"{name}: {count} inputs held (seed {seed})")
    return 0


def _atheris(name: str, folder: Path, seconds: int) -> int:
    import atheris  # noqa: PLC0415 - only where it is installed

    found = folder / "found"
    found.mkdir()
    with atheris.instrument_imports(include=["fairwitness_core", "fairwitness"]):
        target = _table(os.environ.get("FAIRWITNESS_ROLE", ""))[name]
    from tests.fuzz.harness import check, kept, mutate  # noqa: PLC0415 - after the path is set

    seeds = [*target.seeds(), *kept(name)]  # type: ignore[attr-defined]
    for data in seeds:
        (found / hashlib.sha256(data).hexdigest()[:20]).write_bytes(data)

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)  # noqa: S311 - draws test inputs
        if rng.randrange(3) == 0:
            return bytes(atheris.Mutate(data, most))
        return mutate(rng, [data, *seeds], target.shape, most)  # type: ignore[attr-defined]

    limit = target.limit  # type: ignore[attr-defined]
    arguments = [sys.argv[0], str(found), f"-max_total_time={seconds}", f"-max_len={limit}", "-timeout=20", "-rss_limit_mb=3072"]
    arguments += [f"-artifact_prefix={folder}/", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup(arguments, lambda data: check(target, data) and None, custom_mutator=mutator)  # type: ignore[arg-type]
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
