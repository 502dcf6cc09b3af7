#!/usr/bin/env python3
"""Run the whole suite: one pytest process per Django role, one for pages in a browser, one for real nodes, one for the rest.

    python scripts/test.py [--proof | --postgres] [PATH ...] [-- PYTEST-ARGUMENT ...]

Three groups run at a time, for real nodes mostly wait. Without paths it runs everything; with paths, the groups that they belong
to. Tests marked `proof` run with --proof alone. With --postgres the tests of hub and agency run again, the worlds and the lives
under kills and faults too, on a PostgreSQL server and an S3 server that they start, as the node's own bounded database user. The
exit status is 0 only if every group ran and nothing failed. The last line is `N passed, N failed, N skipped`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROLES = ("hub", "agency", "home")
BROWSER = "browser"
PROCESSES = "processes"
OF_PROCESSES = ("tests/scenarios/operate", "tests/scenarios/state", "tests/scenarios/load", "tests/security")
ON_POSTGRES = [
    ("", ["tests/scenarios/world"]),
    ("hub", ["tests/unit/hub", "tests/unit/kit/hub", "tests/permissions/hub", "tests/scenarios/hub/test_crash.py"]),
    ("agency", ["tests/unit/agency", "tests/permissions/agency", "tests/scenarios/agency/test_accounts.py"]),
    # Processes of their own: what forks may have no threads, and the bucket's client has some.
    ("hub", ["tests/scenarios/hub/test_kills.py"]),
    ("agency", ["tests/scenarios/agency/test_kills.py"]),
]
# The longest begin first, so that none is left to run alone at the end.
LONGEST = ("", "home", PROCESSES, "hub", BROWSER, "agency", "core")
LONGEST_PROOFS = (BROWSER, PROCESSES, "", "home", "agency", "hub", "core")
NO_TESTS = 5
_print_lock = threading.Lock()


def role_of(path: Path) -> str | None:
    """Return the group of a path given on the command line; '' for the rest, None where a folder may hold several."""
    try:
        parts = path.resolve().relative_to(ROOT / "tests").parts
    except ValueError:
        return ""
    if parts[:1] == (BROWSER,):
        return BROWSER
    names = [part.split("::")[0].removesuffix(".py").removeprefix("test_") for part in parts]
    found = next((name for name in names if name in ROLES), "")
    if found:
        return found
    return None if Path(str(path).split("::", maxsplit=1)[0]).is_dir() else ""


def groups(paths: list[str]) -> dict[str, list[str]]:
    """Return role ('', 'core' or 'browser' for what needs none) to the paths that its process is given."""
    if not paths:
        elsewhere = [f"--ignore={path}" for path in (f"tests/{BROWSER}", *OF_PROCESSES)]
        rest = {role: ["tests"] for role in ("hub", "agency", "home")} | {"core": ["core/tests"]}
        return {BROWSER: [f"tests/{BROWSER}"], PROCESSES: [*OF_PROCESSES], "": ["tests", *elsewhere], **rest}
    found: dict[str, list[str]] = {}
    for path in paths:
        role = role_of(Path(path))
        for name in [role] if role is not None else ["", *ROLES]:
            found.setdefault(name, []).append(path)
    return found


def run(role: str, paths: list[str], extra: list[str], *, postgres: bool = False) -> tuple[str, int, dict[str, int]]:
    """Run one group in a fresh data folder; return its name, exit status and counts."""
    name = (role or "plain") + (" on PostgreSQL and S3" if postgres else "")
    folder = Path(tempfile.mkdtemp(prefix=f"fairwitness-test-{role or 'plain'}-"))
    counts = folder / "counts"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO_")}
    environment.pop("FAIRWITNESS_DATA", None)
    environment |= {"FAIRWITNESS_ROLE": role if role in ROLES else "", "FAIRWITNESS_COUNTS": str(counts)}
    environment["FAIRWITNESS_TEST_DATABASE"] = "postgresql" if postgres else ""
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "scripts"), *filter(None, [environment.get("PYTHONPATH", "")])])
    if role in ROLES:
        (folder / "data").mkdir(mode=0o700)
        environment["FAIRWITNESS_DATA"] = str(folder / "data")
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_counts", *extra, *paths],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = dict.fromkeys(("passed", "failed", "error", "skipped", "xfailed", "xpassed"), 0)
    if counts.exists():
        found |= {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", counts.read_text())}
    shutil.rmtree(folder, ignore_errors=True)
    with _print_lock:
        print(f"=== {name} ===")
        print(process.stdout.rstrip())
        sys.stdout.flush()
    return name, process.returncode, found


def main(arguments: list[str]) -> int:
    """Run the groups and print the sum."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    paths, extra = arguments[:split], arguments[split + 1 :]
    proof = "--proof" in paths
    postgres = "--postgres" in paths
    paths = [path for path in paths if path not in ("--proof", "--postgres")]
    chosen = list(groups(paths).items())
    if postgres:
        if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) and not shutil.which("initdb"):
            print("not run: there is no PostgreSQL server on this machine (Debian: apt-get install postgresql)")
            return 1
        chosen = ON_POSTGRES if not paths else [(role, found) for role, found in chosen if role in ("", "hub", "agency")]
    if "-m" not in extra and not any("::" in path for path in paths):
        extra = ["-m", "proof" if proof else "not proof", *extra]
    if not postgres:
        chosen.sort(key=lambda item: (LONGEST_PROOFS if proof else LONGEST).index(item[0]))
    with ThreadPoolExecutor(max_workers=3) as pool:
        results = list(pool.map(lambda item: run(item[0], item[1], extra, postgres=postgres), chosen))
    total = {key: sum(counts[key] for _, _, counts in results) for key in results[0][2]}
    fine = (0, NO_TESTS) if paths or proof else (0,)
    broken = [name for name, status, _ in results if status not in fine]
    silent = [name for name, status, counts in results if status == 0 and not any(counts.values())]
    if broken or silent:
        print(f"not clean: {', '.join(broken + silent)}")
    failed = total["failed"] + total["error"]
    print(
        f"{total['passed'] + total['xpassed']} passed, {failed} failed, {total['skipped']} skipped"
        + (f", {total['xfailed']} expected failures" if total["xfailed"] else "")
    )
    ran = total["passed"] + failed
    return 0 if not broken and not silent and not failed and ran else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
