"""What a numbered verification found: checks, problems, report."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from fairwitness_core.wire.errors import ProtocolError

MAX_PROBLEMS = 200  # listed one by one; the rest are counted

OK, FAILED, NOT_CHECKED = "ok", "failed", "not checked"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: in which file (a name relative to the evidence's folder), a stable code, a sentence."""

    where: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Check:
    """One numbered check. `state` is `ok`, `failed` or `not checked` (because another failed); `detail` says it in words."""

    number: int
    title: str
    state: str
    detail: str
    where: str
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it was checked and holds."""
        return self.state == OK


@dataclass(frozen=True, slots=True)
class BagReport:
    """The outcome for one bag. `facts`: labels and values of what it is; `fingerprints`: of the keys that it was judged by.

    `caveat`: what a reader of the verdict alone has to know, a sentence; it changes no exit code.
    """

    checks: tuple[Check, ...]
    facts: tuple[tuple[str, str], ...]
    fingerprints: tuple[tuple[str, str], ...]
    pinned: bool
    caveat: str = ""

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0: all holds under pinned keys; 1: something failed; 3: consistent, but judged by keys from the bag itself."""
        return 1 if not self.ok else 0 if self.pinned else 3


class Missing(Exception):
    """An earlier check, whose result is needed, failed."""


@dataclass(slots=True)
class Recorder:
    """Collects one check. As a context manager it turns a ProtocolError into a problem and `Missing` into `not checked`."""

    number: int
    title: str
    where: str
    done: Callable[[Check], None]
    detail: str = ""
    problems: list[Problem] = field(default_factory=list)
    hidden: int = 0
    blocked: str = ""

    def problem(self, where: str, code: str, text: str) -> None:
        """Note something wrong and go on."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(where, code, text))
        else:
            self.hidden += 1

    def refuse(self, where: str, error: ProtocolError) -> None:
        """Note somebody's broken bytes and go on."""
        text = error.message + (f" ({error.evidence})" if error.evidence else "")
        self.problem(where, error.code, text)

    def demand(self, truth: bool, where: str, code: str, text: str) -> bool:
        """Note a problem unless `truth`; returns it."""
        if not truth:
            self.problem(where, code, text)
        return truth

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Close the check."""
        known = True
        if isinstance(error, ProtocolError):
            self.refuse(self.where, error)
        elif isinstance(error, Missing):
            self.blocked = str(error)
        else:
            known = error is None
        state, detail = OK, self.detail
        if self.problems:
            state = FAILED
            more = f" {self.hidden} more are not listed." if self.hidden else ""
            detail = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''} found.{more}"
        elif self.blocked:
            state, detail = NOT_CHECKED, self.blocked
        where = self.problems[0].where if self.problems else self.where
        if known:
            self.done(Check(self.number, self.title, state, detail, where, tuple(self.problems)))
        return known
