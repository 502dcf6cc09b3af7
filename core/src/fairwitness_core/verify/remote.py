"""Reading a published log by its address: the only network code of the core, loaded only when a URL is given."""

import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from fairwitness_core.wire.errors import ProtocolError

TIMEOUT = 30


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A log's address is the one that the user typed: a redirect stays an error."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing."""


def fetcher(base: str, limit: int) -> Callable[[str], bytes]:
    """Return how to read paths below the address `base`, at most `limit` bytes each.

    The callable raises LookupError for 404, ProtocolError for too much, OSError for everything else.
    """
    opener = urllib.request.build_opener(_NoRedirect)

    def fetch(path: str) -> bytes:
        try:
            with opener.open(f"{base.rstrip('/')}/{path}", timeout=TIMEOUT) as answer:
                data: bytes = answer.read(limit + 1)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise LookupError(path) from error
            if 300 <= error.code < 400:
                target = error.headers.get("Location", "nowhere")
                raise OSError(f"the server points to {target}; give that address instead") from error
            raise
        except HTTPException as error:
            raise OSError(f"the server's answer is broken: {error!r}") from error
        if len(data) > limit:
            raise ProtocolError("log.too_large", f"the server sent more than {limit} bytes", evidence=path)
        return data

    return fetch
