"""How a rule says no: always by its id, with what would satisfy it."""

from dataclasses import dataclass

from fairwitness_core.wire.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that is not met. `rule` is a stable id of `CAP_RULES`; `evidence` quotes the offending part."""

    rule: str
    message: str
    hint: str = ""
    evidence: str = ""

    def error(self) -> ProtocolError:
        """Return the violation as the error that parsers raise, the rule id being its code."""
        return ProtocolError(self.rule, self.message, evidence=self.evidence, hint=self.hint)


@dataclass(frozen=True, slots=True)
class Flag:
    """A circumstance that refuses nothing but must be shown publicly, or needs a second moderator."""

    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one request."""

    violations: tuple[Violation, ...]
    flags: tuple[Flag, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether nothing is violated."""
        return not self.violations

    @property
    def rules(self) -> tuple[str, ...]:
        """Ids of the violated rules, in the order of checking."""
        return tuple(violation.rule for violation in self.violations)

    @property
    def flag_rules(self) -> tuple[str, ...]:
        """Ids of the flags, sorted, as `moderation_action` carries them."""
        return tuple(sorted({flag.rule for flag in self.flags}))

    def raise_first(self) -> None:
        """Raise the first violation as ProtocolError, if there is one."""
        if self.violations:
            raise self.violations[0].error()
