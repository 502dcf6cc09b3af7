"""How this agency talks to its one pinned hub: signed calls, and public files whose proofs it checks itself."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from fairwitness_core.crypto import random
from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.call import Call
from fairwitness_core.model.directory import Directory
from fairwitness_core.model.feed import read_containers, scope_root
from fairwitness_core.model.hub import FeedTick, LogGenesis
from fairwitness_core.tlog.proof import TlogProof, VerifiedInclusion
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.errors import Detail, RefusedWhole
from fairwitness.agency.services import node
from fairwitness.kit import clock, files, foreign
from fairwitness.kit.errors import Refused
from fairwitness.kit.http import Http, Response, TooLarge, Unreachable
from fairwitness.kit.journal import Event, log

_MAX_ANSWER = 32 << 20
_MAX_FILE = 80 << 20


class HubRefused(RefusedWhole):
    """The hub said no; code, sentences, hints and details are the hub's own."""


class HubUnreachable(Refused):
    """The hub gave no answer that can be used; what it did is unknown and the call may be made again."""

    def __init__(self, why: str) -> None:
        super().__init__(503, "hub.unreachable", f"The hub gave no usable answer: {why}.", "Try again later.")


def call(op: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Make one signed call and return the hub's answer. Raises HubRefused, HubUnreachable."""
    try:
        answer = _http().post(f"{_base()}/v1/agency", _signed(op, body), max_bytes=_MAX_ANSWER)
    except (Unreachable, TooLarge) as error:
        raise _unreachable(error) from error
    return _read(answer)


def fetch_sealed(response_id: str, sink: Callable[[bytes], object], *, size: int) -> None:
    """Stream one response's ciphertext into `sink`. Raises HubRefused (404 when it is gone), HubUnreachable."""
    try:
        answer = _http().download(
            f"{_base()}/v1/agency/blob",
            sink,
            max_bytes=size,
            method="POST",
            body=_signed("inbox_fetch", {"response_id": response_id}),
        )
    except (Unreachable, TooLarge) as error:
        raise _unreachable(error) from error
    if answer.status != 200:
        _read(answer)
        raise HubUnreachable(f"status {answer.status}")


def get(path: str, *, max_bytes: int = _MAX_FILE) -> bytes:
    """Fetch a public file of the hub. Raises HubRefused, HubUnreachable."""
    try:
        answer = _http().get(f"{_base()}{path}", max_bytes=max_bytes)
    except (Unreachable, TooLarge) as error:
        raise _unreachable(error) from error
    if answer.status != 200:
        raise _refusal(answer)
    return answer.body


def text_of(answer: Mapping[str, Any], name: str) -> str:
    """Return a text of an answer; raises HubUnreachable where it has none."""
    value = answer.get(name)
    if not isinstance(value, str):
        raise HubUnreachable(f"its answer lacks {name}")
    return value


def number_of(answer: Mapping[str, Any], name: str) -> int:
    """Return a whole number >= 0 of an answer; raises HubUnreachable where it has none."""
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise HubUnreachable(f"its answer lacks {name}")
    return value


def list_of(answer: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list of an answer; raises HubUnreachable where it has none."""
    value = answer.get(name)
    if not isinstance(value, list):
        raise HubUnreachable(f"its answer lacks {name}")
    return value


def verify_sealed(proof: bytes, commitment: bytes) -> VerifiedInclusion:
    """Verify that a commitment stands in the pinned hub's sealed ledger, under the pinned quorum; raises ProtocolError."""
    return _verify(proof, commitment, node.sealed_origin())


def verify_public(proof: bytes, entry: bytes) -> VerifiedInclusion:
    """Verify that an entry stands in the pinned hub's public log, under the pinned quorum; raises ProtocolError."""
    return _verify(proof, entry, node.public_origin())


def _verify(proof: bytes, leaf: bytes, origin: str) -> VerifiedInclusion:
    found = TlogProof.parse(proof).verify(node.policy(), leaf)
    if found.checkpoint.checkpoint.origin != origin:
        raise ProtocolError("proof.origin", "the proof is of another log", evidence=found.checkpoint.checkpoint.origin)
    return found


def public_entry(index: int) -> tuple[bytes, bytes]:
    """Return (envelope bytes, tlog-proof bytes) of a public entry, verified. Raises ProtocolError, HubRefused, HubUnreachable."""
    answer = call("public_proof", {"index": index})
    entry = dsse.unb64(answer.get("entry"), "entry")
    proof = text_of(answer, "proof").encode()
    if verify_public(proof, entry).index != index:
        raise ProtocolError("proof.index", "the proof is of another entry", evidence=str(index))
    return entry, proof


def genesis() -> tuple[bytes, LogGenesis]:
    """Return the pinned log's first entry, envelope and content; kept in a file after the first time."""
    join = node.hub()
    path = node.join_path().with_name("genesis.json")
    entry = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(entry).hexdigest() != join.genesis:
        entry, _ = public_entry(0)
        if hashlib.sha256(entry).hexdigest() != join.genesis:
            raise ProtocolError("hub.genesis", "the log does not begin with the pinned genesis")
        files.write_atomic(path, entry)
    payload = dsse.Envelope.parse(entry).verify(dsse.ENTRY, PublicKey(join.hub_key))
    return entry, LogGenesis.parse(payload)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The directory as the newest tick binds it: the tick's envelope, its proof and log index, and the lines' bytes."""

    directory: Directory
    lines: bytes
    tick: bytes
    proof: bytes
    index: int


def snapshot() -> Snapshot:
    """Fetch the newest tick and the directory that it binds.

    On return: 1. the tick's entry stands in the pinned public log under the pinned quorum; 2. the hub signed it; 3. its root
    is that of the container it came in; 4. the directory's bytes hash to its `agencies`. Raises ProtocolError, HubRefused,
    HubUnreachable.
    """
    number = get("/feed/v1/latest", max_bytes=32).strip()
    if not number.isdigit():
        raise HubUnreachable("its newest tick is no number")
    containers = list(read_containers(get(f"/feed/v1/all/{int(number)}")))
    if len(containers) != 1:
        raise ProtocolError("feed.count", "a tick is one container", evidence=str(len(containers)))
    with_extra = TlogProof.parse(containers[0].proof.encode())
    if with_extra.extra is None:
        raise ProtocolError("feed.extra", "the container's proof does not carry its entry")
    tick = with_extra.extra
    proof = TlogProof(with_extra.index, with_extra.path, with_extra.checkpoint).encode()
    # 1.
    index = verify_public(proof, tick).index
    # 2.
    hub_key = PublicKey(node.hub().hub_key)
    found = FeedTick.parse(dsse.Envelope.parse(tick).verify(dsse.ENTRY, hub_key))
    # 3.
    if found.root != scope_root(found.tick, containers[0].gzip) or found.tick != int(number):
        raise ProtocolError("feed.root", "the container is not the one that the tick's entry names")
    # 4.
    lines = get(f"/feed/v1/agencies/{found.agencies}")
    if hashlib.sha256(lines).hexdigest() != found.agencies:
        raise ProtocolError("feed.directory", "the directory is not the one that the tick names")
    return Snapshot(Directory.read(hub_key, lines), lines, tick, proof, index)


def _http() -> Http:
    return Http(timeout=float(node.settings().hub_timeout_seconds))


def _base() -> str:
    return node.hub().url.rstrip("/")


def _signed(op: str, body: Mapping[str, Any]) -> bytes:
    document = Call(
        agency=node.agency_id(),
        hub=node.hub().genesis,
        op=op,
        nonce=random.token_bytes(16).hex(),
        at=clock.now(),
        body=dict(body),
    )
    return dsse.sign(dsse.CALL, document.encode(), node.agency_key()).encode()


def _read(answer: Response) -> dict[str, Any]:
    if answer.status != 200:
        raise _refusal(answer)
    try:
        value = foreign.json_value(answer.body)
    except ValueError as error:
        raise HubUnreachable("its answer is no JSON") from error
    if not isinstance(value, dict):
        raise HubUnreachable("its answer is no object")
    return cast("dict[str, Any]", value)


def _refusal(answer: Response) -> Refused:
    if answer.status >= 500:
        return HubUnreachable(f"status {answer.status}")
    try:
        error = foreign.json_value(answer.body)["error"]
        details = [
            Detail(str(item.get("rule") or item.get("code")), str(item["message"]), str(item.get("hint", "")))
            for item in error.get("details", [])
            if isinstance(item, dict) and "message" in item
        ]
        return HubRefused(answer.status, str(error["code"]), str(error["message"]), str(error.get("hint", "")), details)
    except (ValueError, KeyError, TypeError, AttributeError):
        return HubRefused(answer.status, f"hub.status_{answer.status}", f"The hub answered {answer.status}.")


def _unreachable(error: Exception) -> HubUnreachable:
    log(Event.PEER_UNREACHABLE, peer="hub")
    return HubUnreachable(str(error))


def b64(data: bytes) -> str:
    """Standard base64, as calls carry bytes."""
    return base64.b64encode(data).decode()
