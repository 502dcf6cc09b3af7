"""Check docs/claims.toml against the tree: every claim has a test and an enforcing module, every marker a claim.

Exit 0 if so, 1 with one line per fault. `--table` prints the ledger as text.
"""

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = {"id", "promise", "enforced_by", "not_promised"}


def markers(path: Path) -> Iterator[str]:
    """Yield the claim ids named by `pytest.mark.claim(...)` anywhere in a test file."""
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "claim":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def mutants() -> dict[str, list[str]]:
    """Claim id -> names of the mutants that attack it, from the `# claim:` line of each patch."""
    found: dict[str, list[str]] = defaultdict(list)
    for patch in sorted((ROOT / "tests/mutants").glob("*.patch")):
        for line in patch.read_text().splitlines():
            if line.startswith("# claim:"):
                for claim in line.removeprefix("# claim:").split():
                    found[claim].append(patch.stem)
    return found


def main() -> int:
    """Report faults and return the exit status."""
    claims = tomllib.loads((ROOT / "docs/claims.toml").read_text())["claim"]
    tests: dict[str, set[str]] = defaultdict(set)
    for folder in (ROOT / "core/tests", ROOT / "tests"):
        for path in sorted(folder.rglob("*.py")):
            for claim in markers(path):
                tests[claim].add(str(path.relative_to(ROOT)))
    faults = []
    known = set()
    attacks = mutants()
    for claim in claims:
        name = claim.get("id", "?")
        if missing := REQUIRED - claim.keys():
            faults.append(f"{name}: lacks {', '.join(sorted(missing))}")
            continue
        if name in known:
            faults.append(f"{name}: stands twice")
        known.add(name)
        faults += [f"{name}: no such file {path}" for path in claim["enforced_by"] if not (ROOT / path).exists()]
        if not tests[name]:
            faults.append(f"{name}: no test carries its marker")
        if claim.get("mutants", True) and not attacks[name]:
            faults.append(f"{name}: no mutant in tests/mutants attacks it")
    for name in sorted(tests.keys() - known):
        if tests[name]:
            faults.append(f"{name}: a test names this claim, the ledger does not ({', '.join(sorted(tests[name]))})")
    if "--table" in sys.argv:
        for claim in claims:
            name = claim["id"]
            print(f"{name:4} {len(tests[name]):3} test files  {len(attacks[name]):2} mutants  {claim['promise']}")
    for fault in faults:
        print(f"claims: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
