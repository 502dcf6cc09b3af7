"""`fairwitness-ring`: answers a home's questions, one line of JSON each, from standard input to standard output.

It keeps nothing: the token goes back to the home, which stores it wrapped. It changes and deletes nothing at Ring.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientResponseError
from ring_doorbell import Auth, AuthenticationError, Requires2FAError, Ring, RingError, RingTimeout

PROTOCOL = 1
VERSION = "0.1.0"
PAGE = 100
MAX_PAGES = 30
MAX_RECORDINGS = 500
RECORDING = "https://api.ring.com/clients_api/dings/{0}/recording"
_CHUNK = 1 << 16


class Problem(Exception):
    """A question that cannot be answered; `code` is one of docs/spec/plugin.md."""

    def __init__(self, code: str) -> None:
        """Keep the code; a library's text could hold an address or a token."""
        super().__init__(code)
        self.code = code


class Session:
    """One conversation with Ring. `fresh` is a token that the home has not been told of yet."""

    def __init__(self) -> None:
        """Begin signed out."""
        self._hardware = ""
        self._auth: Auth | None = None
        self._ring: Ring | None = None
        self.fresh = ""

    def _begin(self, hardware: str, token: dict[str, Any] | None) -> Auth:
        # Without an id of ours the library would derive one from this machine's network card, the same for every account.
        self._hardware = hardware
        self._auth = Auth(f"fairwitness-ring/{VERSION}", token, self._updated, hardware_id=hardware)
        self._ring = Ring(self._auth)
        return self._auth

    def _updated(self, token: dict[str, Any]) -> None:
        self.fresh = json.dumps({"hardware": self._hardware, "token": token})

    async def sign_in(self, user: str, password: str, code: str) -> None:
        """Get a token. Raises Problem `code_needed` when Ring has sent a code, `sign_in`."""
        auth = self._begin(str(uuid.uuid4()), None)
        try:
            await auth.async_fetch_token(user, password, code or None)
        except Requires2FAError:
            raise Problem("code_needed" if not code else "sign_in") from None

    def resume(self, secret: str) -> None:
        """Take up the token that the home has kept. Raises Problem `sign_in`."""
        try:
            found = json.loads(secret)
            hardware, token = found["hardware"], found["token"]
        except (ValueError, KeyError, TypeError):
            raise Problem("sign_in") from None
        if not isinstance(hardware, str) or not isinstance(token, dict):
            raise Problem("sign_in")
        self._begin(hardware, token)

    async def devices(self) -> list[dict[str, str]]:
        """List the cameras."""
        ring = self._signed_in()
        await ring.async_create_session()
        await ring.async_update_devices()
        return [{"id": str(one.device_api_id), "name": _plain(one.name)} for one in ring.video_devices()]

    async def recordings(self, device: str, start: float, end: float) -> list[dict[str, Any]]:
        """List what a camera recorded in a time. Ring lists from the newest back, so pages are read until they are older."""
        ring = self._signed_in()
        if not ring.devices_data:
            await self.devices()
        camera = next((one for one in ring.video_devices() if str(one.device_api_id) == device), None)
        if camera is None:
            raise Problem("missing")
        found: list[dict[str, Any]] = []
        older: int | None = None
        for _ in range(MAX_PAGES):
            page = await camera.async_history(limit=PAGE, older_than=older, convert_timezone=False)
            for event in page:
                at = _moment(event["created_at"])
                if start <= at < end and len(found) < MAX_RECORDINGS:
                    found.append({"id": str(event["id"]), "start": at, "seconds": _seconds(event.get("duration"))})
            if len(page) < PAGE or _moment(page[-1]["created_at"]) < start:
                break
            older = int(page[-1]["id"])
        return found

    async def fetch(self, recording: str, path: Path, most: int) -> int:
        """Write one recording to `path`, in pieces and never more than `most` bytes. Raises Problem, OSError."""
        if not recording.isdecimal():
            raise Problem("missing")
        auth = self._signed_in().auth
        # The library would hold the whole video in memory; its own session and token are used, with a stream.
        for attempt in (1, 2):
            url, headers, _data = auth._oauth_client.add_token(RECORDING.format(recording), http_method="GET")  # noqa: SLF001
            async with auth._session.get(url, headers=headers) as answer:  # noqa: SLF001
                if answer.status == 401 and attempt == 1:
                    await auth.async_refresh_tokens()
                    continue
                if answer.status == 404:
                    raise Problem("missing")
                answer.raise_for_status()
                size = 0
                with path.open("xb") as sink:
                    async for piece in answer.content.iter_chunked(_CHUNK):
                        size += len(piece)
                        if size > most:
                            raise Problem("too_large")
                        sink.write(piece)
                    sink.flush()
                    os.fsync(sink.fileno())
                return size
        raise Problem("sign_in")

    async def close(self) -> None:
        """Let go of the connections."""
        if self._auth is not None:
            await self._auth.async_close()

    def _signed_in(self) -> Ring:
        if self._ring is None:
            raise Problem("sign_in")
        return self._ring


def _moment(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _seconds(value: object) -> float | None:
    """Return a length; newer events state one in seconds, older ones none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 3600 else None


def _plain(text: object) -> str:
    shown = "".join(c for c in str(text) if c.isprintable())[:200].strip()
    return shown or "?"


def _status(error: RingError) -> int | None:
    """Return the HTTP status that made the library fail, None where there was no answer at all."""
    return error.__cause__.status if isinstance(error.__cause__, ClientResponseError) else None


async def answer(session: Session, ask: dict[str, Any]) -> dict[str, Any]:
    """Answer one question. Raises Problem."""
    match ask:
        case {"do": "hello", "protocol": int()}:
            return {"protocol": PROTOCOL, "name": "ring", "version": VERSION, "vendor": "Ring (Amazon)"}
        case {"do": "sign_in", "user": str(user), "password": str(password), "code": str(code)}:
            await session.sign_in(user, password, code)
            return {}
        case {"do": "resume", "secret": str(secret)}:
            session.resume(secret)
            return {}
        case {"do": "devices"}:
            return {"devices": await session.devices()}
        case {"do": "recordings", "device": str(device), "start": int() | float() as start, "end": int() | float() as end}:
            return {"recordings": await session.recordings(device, start, end)}
        case {"do": "fetch", "recording": str(recording), "path": str(path), "max_bytes": int(most)}:
            return {"size": await session.fetch(recording, Path(path), most)}
    raise Problem("vendor")


async def guarded(session: Session, ask: dict[str, Any]) -> dict[str, Any]:
    """Answer one question, with a code where it cannot be answered; a new token goes with whatever comes next."""
    try:
        try:
            said = await answer(session, ask)
        except RingError as error:
            # The library renews a token that Ring no longer takes, and fails all the same.
            if not session.fresh or _status(error) != 401:
                raise
            said = await answer(session, ask)
    except Problem as problem:
        said = {"error": problem.code}
    except AuthenticationError:
        said = {"error": "sign_in"}
    except (RingTimeout, TimeoutError):
        said = {"error": "unreachable"}
    except ClientResponseError as error:
        said = {"error": "rate" if error.status == 429 else "vendor"}
    except RingError as error:
        status = _status(error)
        said = {"error": "unreachable" if status is None else {429: "rate", 401: "sign_in"}.get(status, "vendor")}
    except ClientError:
        said = {"error": "unreachable"}
    except Exception:  # noqa: BLE001 - Ring may answer anything; a trace could hold a token
        said = {"error": "vendor"}
    if session.fresh:
        said["secret"], session.fresh = session.fresh, ""
    return {"id": ask.get("id"), **said}


async def questions() -> AsyncIterator[dict[str, Any]]:
    """Yield the lines of standard input until it ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        found = json.loads(line)
        if isinstance(found, dict):
            yield found


async def serve() -> None:
    """Answer until the home closes the input."""
    session = Session()
    try:
        async for ask in questions():
            sys.stdout.write(json.dumps(await guarded(session, ask)) + "\n")
            sys.stdout.flush()
    finally:
        await session.close()


def main() -> None:
    """Run the program."""
    logging.disable()  # the library's lines hold addresses and bodies
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
