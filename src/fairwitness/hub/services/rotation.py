"""Replacing what a hub signs with, or is signed by (`fairwitness hub rotate`).

A witness goes by a logged `policy_changed` with its notice, under the old policy's quorum (design.md 9.1). The log's keys and the
hub's own stand in the genesis: the first go only with a successor log, the second not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairwitness_core.tlog import note
from fairwitness_core.tlog.policy import Policy, Witness
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.errors import HubState
from fairwitness.hub.models import PendingEntry
from fairwitness.hub.services import agencies, directory, identity
from fairwitness.kit import clock, http
from fairwitness.kit.journal import Event, log
from fairwitness.kit.operate.doctor import read_heads

_SLACK_TICKS = 10
"""Ticks beyond the notice: homes count it from the tick in which they could first read the change."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """One witness for another. `effective_at`: Unix seconds, UTC, from which the new policy counts."""

    text: str
    old: Witness
    new: Witness
    effective_at: int

    def told(self) -> Mapping[str, Any]:
        """Return it for people."""
        return {
            "goes": f"{self.old.name} {self.old.key.encode()}",
            "comes": f"{self.new.name} {self.new.key.encode()} {self.new.url}",
            "effective_at": self.effective_at,
            "seconds_from_now": self.effective_at - clock.now(),
        }


def plan_witness(old_name: str, name: str, url: str, vkey: str, *, seconds: int = 0) -> Replacement:
    """Say what replacing the witness `old_name` would log. Raises HubState, ProtocolError; changes nothing.

    Refused: 1. a name or key that is not in force, or one that is already; 2. a second change while one is under way; 3. a new
    witness that does not answer under this key, or does not follow both ledgers.
    """
    now = clock.now()
    me = identity.load()
    policy = directory.policy(now)
    # 1.
    old = next((item for item in policy.witnesses if item.name == old_name), None)
    if old is None:
        raise HubState(
            f"no witness is called {old_name}; there are {', '.join(item.name for item in policy.witnesses) or 'none'}"
        )
    new = Witness(name, note.VerifierKey.parse(vkey), url)
    rest = [item for item in policy.witnesses if item is not old]
    if new.key == old.key or any(item.name == name or item.key == new.key for item in rest):
        raise HubState(f"{name} or its key is in the policy already: a replacement is another key")
    # 2.
    later = [change for change in directory.current().policies("witness") if change.effective_at > now]
    if later or PendingEntry.objects.filter(state="queued", kind="policy_changed").exists():
        when = f" and counts from {later[-1].effective_at}" if later else ""
        raise HubState(f"a change of policy is under way{when}: wait until it counts, then replace the next one")
    # 3.
    _check_answers(new)
    text = _replaced(policy, old, new)
    notice = max(me.document.notice_seconds, seconds) + _SLACK_TICKS * me.tick_seconds
    return Replacement(text, old, new, now + notice)


def replace_witness(found: Replacement) -> Mapping[str, Any]:
    """Queue the change for the log. Raises ProtocolError (`policy.notice`, ...)."""
    agencies.change_policy("witness", found.text, found.effective_at)
    log(Event.ROTATED, key="witness", count=1)
    return found.told()


def _replaced(policy: Policy, old: Witness, new: Witness) -> str:
    def name(word: str) -> str:
        return new.name if word == old.name else word

    groups = tuple(type(group)(group.name, group.threshold, tuple(map(name, group.members))) for group in policy.groups)
    witnesses = tuple(new if item is old else item for item in policy.witnesses)
    return Policy(policy.logs, witnesses, groups, name(policy.quorum)).encode().decode()


def _check_answers(new: Witness) -> None:
    base = new.url.rstrip("/")
    client = http.Http(timeout=float(identity.settings().witness_seconds))
    try:
        shown = client.get(f"{base}/vkey", max_bytes=1 << 12)
        heads = read_heads(client.get(f"{base}/logs", max_bytes=1 << 16))
    except (http.Unreachable, http.TooLarge, ProtocolError, ValueError) as error:
        raise HubState(f"the new witness does not answer at {base} ({error}): have its keeper start it first") from error
    if shown.status != 200 or shown.body.decode("utf-8", "replace").strip() != new.key.encode():
        raise HubState(f"{base} shows another key than the one you gave: compare it with its keeper by another channel")
    missing = [vkey.name for vkey in map(identity.load().vkey, identity.LOGS) if vkey.name not in heads]
    if missing:
        raise HubState(
            f"the new witness does not follow {' and '.join(missing)}: its keeper runs, for each line of `fairwitness hub "
            "witness-trust`, fairwitness witness trust DIR LINE"
        )
