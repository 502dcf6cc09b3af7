"""How long evidence stays before somebody must decide, and after (design.md 9.10). Seconds, Unix time UTC."""

DAY = 86_400
DECLINED_KEEP_S = 30 * DAY
TRIAGE_STEPS_S = (2 * DAY, 5 * DAY)


def declined_due(declined_at: int) -> int:
    """Return when the bytes and the key of a declined response go, unless a logged hold releases or keeps them."""
    return declined_at + DECLINED_KEEP_S


def triage_level(collected_at: int, now: int) -> int:
    """Return how far an untriaged response has escalated: 0, 1 after two days, 2 after five. It is never destroyed."""
    return sum(now - collected_at >= step for step in TRIAGE_STEPS_S)
