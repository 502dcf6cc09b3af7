#!/usr/bin/env python3
"""Audit what the program is built on: `python scripts/audit.py [--online | --must-reach]`.

Always, and without a network: 1. every requirement of requirements/*.txt is pinned and hashed; 2. what is installed is exactly
what requirements/dev.txt locks for this machine; 3. every licence is on the allow-list, and copyleft libraries that ride inside
a wheel are named here with the reason; 4. docs/dependencies.md names each direct dependency, why, and its licence.

With --online the locked versions are asked of the advisory service, by pip-audit in an environment of its own
(requirements/audit.txt). A finding fails. A service that cannot be reached, or that knows none of the packages, is said in
capitals: nothing was learnt then, and --must-reach makes that a failure too.
"""

import argparse
import json
import re
import subprocess
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
OWN = {"fairwitness", "fairwitness-core", "pip"}
TOOLS = ROOT / ".venv" / "audit-tools"
# What metadata call a licence, in lower case, by word. Everything else is refused.
ALLOWED = {
    "apache-2.0", "apache", "apache license 2.0", "apache 2.0", "apache software license", "mit", "mit license", "mit-0",
    "mit-cmu", "bsd", "bsd license", "bsd-2-clause", "bsd-3-clause", "bsd 2-clause license", "0bsd", "isc", "zlib", "cc0-1.0",
    "mpl-2.0", "mozilla public license 2.0 (mpl 2.0)", "psf-2.0", "psfl", "python software foundation license", "cnri-python",
    "unlicense",
}  # fmt: skip
LICENSED = {
    "psycopg": ("LGPL-3.0-only", "imported, not changed or linked in; whoever replaces it can"),
    "psycopg-binary": ("LGPL-3.0-only", "as psycopg"),
    "psycopg-pool": ("LGPL-3.0-only", "as psycopg"),
    "pyrage": ("MIT", "stated in its source, not in its metadata"),
    "axe-playwright-python": ("MIT", "stated in its source, not in its metadata; tests only"),
}
"""Packages whose metadata alone do not pass: licence, and why they are here all the same."""
COPYLEFT = re.compile(
    r"(?<![a-z])lib(x264|x265|xvidcore|postproc|rubberband|vidstab|fdk-aac|readline)(?![a-z0-9])", re.IGNORECASE
)
BUNDLED = {
    ("av", "x264"): "PyAV's wheels are built with the GPL H.264 encoder; we distribute no wheel, and README.md tells who does",
    ("av", "x265"): "as x264, H.265",
}
"""(package, library) of copyleft code inside a wheel, and why it is accepted."""


def main() -> int:
    """Run the audit and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--online", action="store_true")
    parser.add_argument("--must-reach", action="store_true")
    given = parser.parse_args()
    problems = [*pins(), *installed(), *licences(), *table()]
    for problem in problems:
        print(f"audit: {problem}")
    if not problems:
        print(f"audit: {len(locked('dev.txt'))} packages pinned, installed, licensed and explained")
    status = 1 if problems else 0
    if given.online or given.must_reach:
        status = max(status, online(must_reach=given.must_reach))
    return status


# ---------------------------------------------------------------- offline


def entries(name: str) -> list[tuple[Requirement, int]]:
    """Return each requirement of a locked file with its number of hashes."""
    text = (REQUIREMENTS / name).read_text().replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            words, *hashes = line.split(" --hash=")
            found.append((Requirement(words.strip()), sum(bool(re.match(r"sha256:[0-9a-f]{64}\s*$", h)) for h in hashes)))
    return found


def pins() -> list[str]:
    """1. Name what is not pinned to one version with hashes."""
    problems = []
    for path in sorted(REQUIREMENTS.glob("*.txt")):
        if re.search(r"^\s*-(?!-hash=)", path.read_text(), re.MULTILINE):
            problems.append(f"{path.name} holds an option: a registry's address or another file")
            continue
        for item, hashes in entries(path.name):
            exact = len(item.specifier) == 1 and next(iter(item.specifier)).operator == "==" and "*" not in str(item.specifier)
            if not exact or item.url or not hashes:
                problems.append(f"{path.name}: {item.name} is not pinned to one version with hashes")
    return problems


def locked(name: str) -> dict[str, str]:
    """Return what a locked file installs on this machine: name to version."""
    here = [item for item, _ in entries(name) if item.marker is None or item.marker.evaluate()]
    return {canonicalize_name(item.name): next(iter(item.specifier)).version for item in here}


def present() -> dict[str, metadata.Distribution]:
    """Return the installed distributions by name."""
    return {canonicalize_name(d.metadata["Name"]): d for d in metadata.distributions()}


def installed() -> list[str]:
    """2. Name what is installed and not locked, locked and not installed, or of another version."""
    wanted, found = locked("dev.txt"), {name: d.version for name, d in present().items() if name not in OWN}
    extra = [f"{name} {found[name]} is installed and not locked" for name in sorted(found.keys() - wanted.keys())]
    missing = [f"{name} {wanted[name]} is locked and not installed" for name in sorted(wanted.keys() - found.keys())]
    other = [
        f"{name} is installed as {found[name]}, locked as {wanted[name]}"
        for name in sorted(wanted.keys() & found.keys())
        if found[name] != wanted[name]
    ]
    return extra + missing + other


def licence_of(dist: metadata.Distribution) -> list[str]:
    """Return the words by which a distribution names its licences, in lower case; the most exact source that it has."""
    data = dist.metadata
    if data.get("License-Expression"):
        return [word.strip("() ").lower() for word in re.split(r"\s+(?:AND|OR|WITH)\s+", data["License-Expression"])]
    classified = [c.split(" :: ")[-1].lower() for c in data.get_all("Classifier") or () if c.startswith("License :: ")]
    known = [c for c in classified if c not in ("osi approved", "other/proprietary license")]
    if known:
        return known
    text = (data.get("License") or "").strip().splitlines()
    return [text[0].strip().lower()] if text else []


def licences() -> list[str]:
    """3. Name licences that are not allowed, packages without one, and copyleft libraries inside wheels."""
    problems = []
    for name, dist in sorted(present().items()):
        if name in OWN:
            continue
        words = licence_of(dist)
        allowed = bool(words) and all(word in ALLOWED for word in words)
        if name in LICENSED:
            if allowed:
                problems.append(f"{name}: its metadata pass by themselves now; take it out of LICENSED")
        elif not allowed:
            problems.append(f"{name}: licence {words or 'none stated'} is not on the allow-list")
        libraries = {m[1].lower() for path in dist.files or () if (m := COPYLEFT.search(path.name))}
        problems += [f"{name} carries lib{lib}, which is copyleft" for lib in sorted(libraries) if (name, lib) not in BUNDLED]
    return problems


def direct() -> set[str]:
    """Return the packages that this project itself names."""
    import tomllib  # noqa: PLC0415 - only here

    named = []
    for path in (ROOT / "pyproject.toml", ROOT / "core" / "pyproject.toml"):
        project = tomllib.loads(path.read_text())
        named += project["project"]["dependencies"] + project["build-system"]["requires"]
    for path in sorted(REQUIREMENTS.glob("*.in")):
        named += [line for line in path.read_text().splitlines() if line.strip() and not line.startswith(("#", "-"))]
    web = json.loads((ROOT / "web" / "package.json").read_text())
    scripts = {canonicalize_name(name) for kind in ("dependencies", "devDependencies") for name in web[kind]}
    return ({canonicalize_name(Requirement(item.split(" #")[0]).name) for item in named} - OWN) | scripts


def rows() -> dict[str, list[str]]:
    """Return docs/dependencies.md by package: why, licence, year."""
    found = {}
    for line in (ROOT / "docs" / "dependencies.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] not in ("package", "---"):
            found[canonicalize_name(cells[0].strip("`"))] = cells[1:]
    return found


def table() -> list[str]:
    """4. Name direct dependencies that docs/dependencies.md does not explain, and rows for none."""
    wanted, found = direct(), rows()
    problems = [f"docs/dependencies.md does not say why {name} is needed" for name in sorted(wanted - found.keys())]
    problems += [f"docs/dependencies.md explains {name}, which nothing names" for name in sorted(found.keys() - wanted)]
    for name, (why, licence, year) in sorted(found.items()):
        if len(why) < 15 or not licence or not re.fullmatch(r"20\d\d", year):
            problems.append(f"docs/dependencies.md: the row of {name} is not whole")
    return problems


# ---------------------------------------------------------------- online


def online(*, must_reach: bool) -> int:
    """Ask the advisory service about every locked version; returns the exit status."""
    program = TOOLS / "bin" / "pip-audit"
    if not program.exists():
        venv.create(TOOLS, with_pip=True)
        command = [TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*command, "--require-hashes", "-r", REQUIREMENTS / "audit.txt"], check=False, capture_output=True)
        if done.returncode:
            return _not_audited("pip-audit could not be installed", must_reach=must_reach)
    options = ["--require-hashes", "--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([program, "-r", REQUIREMENTS / "dev.txt", *options], check=False, capture_output=True, text=True)
    try:
        answers = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return _not_audited(done.stderr.strip().splitlines()[-1:] or "no answer", must_reach=must_reach)
    asked = [item for item in answers if "skip_reason" not in item]
    found = [(item["name"], item["version"], hole["id"]) for item in asked for hole in item["vulns"]]
    for name, version, identifier in found:
        print(f"audit: {name} {version} has a known vulnerability: {identifier}")
    if not asked:
        return _not_audited(f"it knew none of {len(answers)} packages", must_reach=must_reach)
    skipped = sorted(item["name"] for item in answers if "skip_reason" in item)
    if skipped:
        print(f"audit: NOT ASKED, for the service did not know them: {', '.join(skipped)}")
    print(f"audit: the advisory service answered for {len(asked)} of {len(answers)} packages; {len(found)} findings")
    return 1 if found or (skipped and must_reach) else 0


def _not_audited(why: object, *, must_reach: bool) -> int:
    print(f"audit: NO ADVISORIES WERE READ: {why}. Nothing is known about vulnerabilities of the locked versions.")
    return 1 if must_reach else 0


if __name__ == "__main__":
    raise SystemExit(main())
