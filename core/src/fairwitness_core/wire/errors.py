"""The one error that every parser of foreign bytes raises."""


class ProtocolError(Exception):
    """Somebody else's bytes break a rule of the protocol.

    `code` is a stable identifier for programs (`json.duplicate_key`, `area.too_small`), `message` says what is wrong in a
    sentence, `evidence` quotes the offending part (shortened, never secret), `hint` says what would satisfy the rule.
    Any other exception that leaves this package is a defect of ours.
    """

    def __init__(self, code: str, message: str, *, evidence: str = "", hint: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.evidence = evidence[:200]
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling, so that worker processes can hand the error back whole."""
        return (_rebuild, (self.code, self.message, self.evidence, self.hint))


def _rebuild(code: str, message: str, evidence: str, hint: str) -> ProtocolError:
    return ProtocolError(code, message, evidence=evidence, hint=hint)
