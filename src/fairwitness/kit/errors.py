"""The exception with which a role refuses what was asked of it."""


class Refused(Exception):
    """A role refuses to do what was asked: the HTTP status, a stable code, a sentence, and what would satisfy the rule."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
