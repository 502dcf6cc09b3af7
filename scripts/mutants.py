"""Show that the tests of the promises notice leaks: apply each patch of tests/mutants to a copy and expect a failure.

A patch begins with comment lines: `# claim: P3`, `# kills: tests/scenarios/x.py::test_y ...` (what must fail), `# expect:
TEXT` (what the failure must say, so that an import error or a crash is not counted as a kill) and `# why: ...`.
Prints the kill matrix and exits 1 if a mutant survives. `--jobs N`, and names to run only those.
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 600  # seconds for one mutant


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate leak and the tests that must find it."""

    name: str
    patch: Path
    claims: tuple[str, ...]
    kills: tuple[str, ...]
    expect: str

    @classmethod
    def read(cls, patch: Path) -> "Mutant":
        """Read a patch's header; raises ValueError when a line is missing."""
        header = {}
        for line in patch.read_text().splitlines():
            if not line.startswith("#"):
                break
            key, _, value = line.removeprefix("#").strip().partition(":")
            header[key] = f"{header[key]} {value.strip()}" if key in header else value.strip()
        if missing := {"claim", "kills", "expect", "why"} - header.keys():
            raise ValueError(f"{patch.name} lacks {', '.join(sorted(missing))}")
        return cls(patch.stem, patch, tuple(header["claim"].split()), tuple(header["kills"].split()), header["expect"])


def run(mutant: Mutant) -> tuple[Mutant, str, float, str]:
    """Return (mutant, verdict, seconds, last output) with verdict `killed`, `survived`, or what went wrong."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder) / "tree"
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True)
        for name in listed.stdout.decode().split("\0"):
            source = ROOT / name
            if name and source.is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, tree / name)
        applied = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", str(mutant.patch)], cwd=tree, capture_output=True, text=True, check=False
        )
        if applied.returncode:
            return mutant, "does not apply", time.monotonic() - started, applied.stderr
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "FAIRWITNESS_", "DJANGO_"))}
        environment["PYTHONPATH"] = os.pathsep.join([str(tree / "core/src"), str(tree / "src"), str(tree)])
        environment["FAIRWITNESS_TEST_DATA"] = os.environ.get("FAIRWITNESS_TEST_DATA", str(ROOT.parent / "shared/data"))
        try:
            done = subprocess.run(
                [sys.executable, "scripts/test.py", *mutant.kills, "--", "-x", "-o", "addopts=-q --strict-markers"],
                cwd=tree,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return mutant, "timed out", time.monotonic() - started, ""
        output = done.stdout + done.stderr
        if done.returncode == 0:
            verdict = "survived"
        elif mutant.expect in output:
            verdict = "killed"
        else:
            verdict = "failed for another reason"
        return mutant, verdict, time.monotonic() - started, output[-3000:]


def main() -> int:
    """Run the matrix and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    mutants = [Mutant.read(patch) for patch in sorted((ROOT / "tests/mutants").glob("*.patch"))]
    if options.names:
        mutants = [m for m in mutants if m.name in options.names]
    survivors = 0
    print(f"{'mutant':44} {'claims':12} {'verdict':26} seconds", flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for mutant, verdict, seconds, output in pool.map(run, mutants):
            print(f"{mutant.name:44} {' '.join(mutant.claims):12} {verdict:26} {seconds:7.1f}", flush=True)
            if verdict != "killed":
                survivors += 1
                print(output, file=sys.stderr)
    print(f"{len(mutants) - survivors} passed, {survivors} failed" if mutants else "no mutants")
    return 1 if survivors or not mutants else 0


if __name__ == "__main__":
    raise SystemExit(main())
