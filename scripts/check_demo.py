"""Check a report that `fairwitness demo --headless --report FILE` wrote, as a stranger would.

Exit 0 if the bag verified and no private string of any home stands in the hub's or the agency's folder, in any common
encoding; 1 with a line per fault otherwise.
"""

import base64
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path


def spellings(text: str) -> Iterator[bytes]:
    """Yield the byte strings under which a secret could hide."""
    raw = text.encode()
    yield raw
    yield raw.hex().encode()
    yield text.lower().encode()
    yield text.encode("utf-16-le")
    for start in range(3):  # base64 at each alignment, without the edges that depend on what stands beside it
        cut = raw[start:]
        cut = cut[: len(cut) - len(cut) % 3]
        if len(cut) >= 6:
            yield base64.b64encode(cut)
            yield base64.urlsafe_b64encode(cut)


def contents(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes, and what its compressed streams hold."""
    data = path.read_bytes()
    yield data
    position = -1
    while (position := data.find(b"\x1f\x8b", position + 1)) != -1:
        try:
            yield zlib.decompressobj(31).decompress(data[position:])
        except zlib.error:
            continue


def main() -> int:
    """Return the exit status."""
    report = json.loads(Path(sys.argv[1]).read_text())
    faults = []
    if report["verify_exit"] != 0:
        faults.append(f"the bag's verification ended with {report['verify_exit']}")
    if len(report["homes"]) != 5:
        faults.append("five homes were expected")
    silent = [home["name"] for home in report["homes"] if not home["private"]]
    faults += [f"{name} names no private string, so nothing was proved" for name in silent]
    needles = [(home["name"], text, form) for home in report["homes"] for text in home["private"] for form in spellings(text)]
    files = 0
    for role in ("hub", "agency"):
        for path in sorted(Path(report["data"][role]).rglob("*")):
            if not path.is_file():
                continue
            files += 1
            for data in contents(path):
                faults += [f"{path} holds {text!r} of {name}" for name, text, form in needles if form in data]
    shared = [home["name"] for home in report["homes"] if home["shared"]]
    if not report["responses"] or not report["withdrawn"]:
        faults.append("a response and a withdrawal were expected")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(
        f"request {report['request']['id']} at log index {report['request']['log_index']}; shared by {', '.join(shared)}; "
        f"{len(needles)} spellings of private strings sought in {files} files"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
