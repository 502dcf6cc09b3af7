"""HTTP Digest (RFC 7616), as SOAP over HTTP and RTSP use it; a password itself is never sent, so Basic is not answered."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

_SCHEME: Final = re.compile(r"(?:^|,\s*)(Digest|Basic|Bearer|Negotiate|NTLM)\b\s*", re.IGNORECASE)
_PARAMETER: Final = re.compile(r'([a-zA-Z]+)\s*=\s*(?:"([^"\\]*)"|([^\s,"]+))')
_HASHES: Final = {"": "md5", "MD5": "md5", "SHA-256": "sha256"}
_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a device asks for. `algorithm`: as it named it, "" = not at all; `qop`: "auth" or "" (RFC 2069's way)."""

    realm: str
    nonce: str
    opaque: str
    algorithm: str
    qop: str


def parse(text: str) -> Challenge | None:
    """Return the first Digest challenge of a WWW-Authenticate header that can be answered; None if there is none."""
    if len(text) > _MAX or not text.isprintable():
        return None
    parts = _SCHEME.split(text)
    for scheme, rest in zip(parts[1::2], parts[2::2], strict=False):
        if scheme.lower() != "digest":
            continue
        found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        algorithm = found.get("algorithm", "")
        ways = [way.strip().lower() for way in found.get("qop", "").split(",") if way.strip()]
        if algorithm.upper() not in _HASHES or not found.get("nonce") or (ways and "auth" not in ways):
            continue
        return Challenge(found.get("realm", ""), found["nonce"], found.get("opaque", ""), algorithm, "auth" if ways else "")
    return None


def answer(challenge: Challenge, *, user: str, password: str, method: str, uri: str, cnonce: str, count: int = 1) -> str:
    """Return the Authorization header's value for one request; `cnonce` is drawn by the caller, `count` rises for each use."""

    def digest(value: str) -> str:
        return hashlib.new(_HASHES[challenge.algorithm.upper()], value.encode(), usedforsecurity=False).hexdigest()

    secret = digest(f"{user}:{challenge.realm}:{password}")
    request = digest(f"{method}:{uri}")
    times = f"{count:08x}"
    middle = f"{times}:{cnonce}:{challenge.qop}:" if challenge.qop else ""
    quoted = user.replace("\\", "\\\\").replace('"', '\\"')
    fields = [
        f'username="{quoted}"',
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{uri}"',
        f'response="{digest(f"{secret}:{challenge.nonce}:{middle}{request}")}"',
    ]
    if challenge.algorithm:
        fields.append(f"algorithm={challenge.algorithm}")
    if challenge.opaque:
        fields.append(f'opaque="{challenge.opaque}"')
    if challenge.qop:
        fields += [f"qop={challenge.qop}", f"nc={times}", f'cnonce="{cnonce}"']
    return "Digest " + ", ".join(fields)
