"""A verification told in plain words: one page of text, JSON, or a page of HTML for printing. Times in UTC."""

import html
import json
import textwrap
from typing import Any

from fairwitness_core.verify.checks import FAILED, OK, BagReport, Check

WIDTH = 96
_WORDS = {OK: "holds", FAILED: "FAILED"}
_VERDICTS = {0: "verified", 1: "failed", 3: "not pinned"}


def plain(text: str) -> str:
    """Return `text` safe to print: a stranger's file name or text cannot steer a terminal or turn a line around."""
    return "".join(c if c.isprintable() else " " if c == "\n" else f"\\u{ord(c):04x}" for c in text)


def verdict(report: BagReport) -> str:
    """Say in a sentence or two what the checks come to."""
    if report.exit_code == 0 and report.caveat:
        return f"All {len(report.checks)} checks hold under the keys that you pinned, WITH A LIMIT: {report.caveat}"
    if report.exit_code == 0:
        return f"VERIFIED. All {len(report.checks)} checks hold under the keys that you pinned."
    if report.exit_code == 3:
        return (
            "CONSISTENT, SIGNERS NOT PINNED. The evidence agrees with itself, but the keys it was judged by came from itself. "
            "Compare the fingerprints below with those that the hub and each witness publish, or run again with --trust."
            + (f" AND WITH A LIMIT: {report.caveat}" if report.caveat else "")
        )
    failed = ", ".join(str(check.number) for check in report.checks if check.state == FAILED)
    return f"FAILED: check {failed}. Do not rely on this evidence until every problem named above is explained."


def _source(report: BagReport) -> str:
    return "pinned by you" if report.pinned else "taken from the evidence itself, so compare them"


def to_text(report: BagReport, name: str) -> str:
    """Return the one-page report."""
    lines = ["EVIDENCE REPORT", plain(name), ""]
    for label, value in report.facts:
        lines += textwrap.wrap(
            f"{label}: {plain(value)}", WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
    lines.append("")
    for check in report.checks:
        lines.append(f"{check.number:2}. {_WORDS.get(check.state, check.state):12} {check.title}")
        for line in (check.detail, *(f"{p.where}: {p.text} [{p.code}]" for p in check.problems)):
            lines += textwrap.wrap(
                plain(line),
                WIDTH,
                initial_indent="    ",
                subsequent_indent="      ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    if report.fingerprints:
        lines += ["", f"Keys, {_source(report)}:"]
        lines += [f"    {plain(label)}: {plain(value)}" for label, value in report.fingerprints]
    lines += ["", *textwrap.wrap(verdict(report), WIDTH)]
    return "\n".join(lines) + "\n"


def _check_json(check: Check) -> dict[str, Any]:
    return {
        "number": check.number,
        "title": check.title,
        "ok": {OK: True, FAILED: False}.get(check.state),  # null: not checked
        "state": check.state,
        "detail": check.detail,
        "where": check.where,
        "problems": [{"where": p.where, "code": p.code, "text": p.text} for p in check.problems],
    }


def to_json(report: BagReport) -> str:
    """Return the report for programs, as ASCII."""
    value = {
        "v": 1,
        "verdict": _VERDICTS[report.exit_code],
        "exit": report.exit_code,
        "pinned": report.pinned,
        "sentence": verdict(report),
        "facts": [{"label": label, "value": text} for label, text in report.facts],
        "checks": [_check_json(check) for check in report.checks],
        "fingerprints": [{"label": label, "value": text} for label, text in report.fingerprints],
    }
    return json.dumps(value, indent=2) + "\n"


_STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--soft:#595959;--line:#c4c4c4;--good:#0b6b2e;
--bad:#a8071a;--other:#7a4b00}
@media(prefers-color-scheme:dark){:root{--ink:#ececec;--paper:#151515;--soft:#b4b4b4;--line:#4a4a4a;--good:#6fd694;
--bad:#ff8b8b;--other:#ffc36b}}
*{box-sizing:border-box}body{margin:0 auto;max-width:46rem;padding:1.5rem 1rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}.soft{color:var(--soft)}
.verdict{border:2px solid currentColor;border-radius:.4rem;padding:.75rem 1rem;margin:1rem 0;font-weight:600}
.ok{color:var(--good)}.failed{color:var(--bad)}.other{color:var(--other)}
dl{display:grid;grid-template-columns:minmax(7rem,12rem) 1fr;gap:.25rem 1rem;margin:0}dt{color:var(--soft)}dd{margin:0}
ol{list-style:none;padding:0;margin:0}li.check{border-top:1px solid var(--line);padding:.5rem 0;break-inside:avoid}
li.check p{margin:.15rem 0}.state{font-weight:700}code{font-size:.85rem}
@media(max-width:34rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
@page{size:A4;margin:16mm}
@media print{:root{--ink:#000;--paper:#fff;--soft:#333;--line:#888;--good:#000;--bad:#000;--other:#000}
body{max-width:none;padding:0;font-size:9.5pt}}
"""


def to_html(report: BagReport, name: str) -> str:
    """Return a self-contained page: no scripts, nothing fetched, all foreign text escaped."""

    def text(value: str) -> str:
        return html.escape(plain(value))

    def rows(pairs: tuple[tuple[str, str], ...]) -> str:
        return "".join(f"<dt>{text(label)}</dt><dd>{text(value)}</dd>" for label, value in pairs)

    def kind(state: str) -> str:
        return {OK: "ok", FAILED: "failed"}.get(state, "other")

    items = []
    for check in report.checks:
        problems = "".join(
            f"<li><code>{text(p.where)}</code>: {text(p.text)} <span class=soft>[{text(p.code)}]</span></li>"
            for p in check.problems
        )
        items.append(
            f'<li class=check><p><span class="state {kind(check.state)}">{check.number}. '
            f"{text(_WORDS.get(check.state, check.state))}</span> {text(check.title)}</p>"
            f"<p class=soft>{text(check.detail)}</p>{f'<ul>{problems}</ul>' if problems else ''}</li>"
        )
    outcome = {0: "ok", 1: "failed"}.get(report.exit_code, "other")
    keys = f"<h2>Keys, {_source(report)}</h2><dl>{rows(report.fingerprints)}</dl>" if report.fingerprints else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Evidence report</title><style>{_STYLE}</style></head><body><main>
<h1>Evidence report</h1><p class="soft">{text(name)}</p>
<p class="verdict {outcome}">{text(verdict(report))}</p>
<h2>What this is</h2><dl>{rows(report.facts)}</dl>
<h2>What was checked</h2><ol>{"".join(items)}</ol>
{keys}
<p class="soft">All times are UTC. Made by fairwitness-verify without a network.</p>
</main></body></html>
"""
