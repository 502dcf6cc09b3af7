"""What an operator sets in `<data>/config.toml`, typed, with every limit named and every unknown key refused.

A role describes its settings by subclassing RoleConfig as `Config` in `fairwitness.<role>.config`:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(RoleConfig):
        role: ClassVar[str] = "hub"
        tick_seconds: int = limit(300, low=1, high=86400)
"""

import ipaddress
import json
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from fairwitness.kit import files

DATA_VARIABLE = "FAIRWITNESS_DATA"
PORT_VARIABLE = "FAIRWITNESS_PORT"
OWNER_VARIABLE = "FAIRWITNESS_DATABASE_OWNER"
"""Names the file (0600) with user and password of the database's owner, for the few commands that act as the owner."""
FILE_NAME = "config.toml"


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file and the key and says what would do."""


def limit(default: int, *, low: int, high: int) -> Any:
    """Declare a whole-number setting with its default and the inclusive range that is accepted."""
    return field(default=default, metadata={"low": low, "high": high})


def choice(default: str, *options: str) -> Any:
    """Declare a text setting that takes one of `options`."""
    return field(default=default, metadata={"options": options})


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """One OpenID Connect provider that an agency's or hub's staff may sign in with (a passkey follows, always)."""

    id: str
    name: str
    server_url: str
    client_id: str
    client_secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """Where rows lie: SQLite in the data folder, or PostgreSQL (hub and agency).

    `url`: `postgresql://user@host:port/name`, without a password; empty means SQLite. `credentials`: the file (0600, in the
    data folder unless absolute) that holds the user's password alone; it may be absent where the server knows us otherwise.
    `connections`: the most that one process opens. `wait_seconds`: how long a transaction waits for the ones before it.
    """

    url: str = ""
    credentials: str = "keys/database.password"
    connections: int = limit(12, low=2, high=200)
    wait_seconds: int = limit(20, low=1, high=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobsConfig:
    """Where sealed bytes lie: files in the data folder, or a bucket of an S3 server (hub and agency).

    `url`: `s3://bucket/prefix`; empty means files. `endpoint`: the server's address; empty means Amazon's of the `region`.
    `credentials`: a TOML file (0600) with access_key_id, secret_access_key and perhaps session_token. `write_once`: who sees
    to it that no name is written twice: `server` (If-None-Match), or `client` for a server that does not know it.
    `virtual_host`: the bucket is part of the host's name. `timeout_seconds`: for one call.
    """

    url: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    credentials: str = "keys/s3.toml"
    write_once: str = choice("server", "server", "client")
    virtual_host: bool = False
    timeout_seconds: int = limit(60, low=1, high=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleConfig:
    """Settings that every role has. `data_dir` is None only in tools that run no node (type checking, makemigrations)."""

    role: ClassVar[str] = ""

    data_dir: Path | None = None
    name: str = "Fairwitness"
    host: str = "127.0.0.1"
    port: int = limit(0, low=0, high=65535)
    public_url: str = ""
    workers: int = limit(2, low=1, high=64)
    threads: int = limit(4, low=1, high=64)
    language: str = choice("en", "en", "es")
    allowed_hosts: tuple[str, ...] = ()
    tls_certificate: str = ""
    tls_key: str = ""
    behind_tls_proxy: bool = False
    max_body_bytes: int = limit(1 << 20, low=1 << 10, high=1 << 26)
    session_hours: int = limit(12, low=1, high=168)
    session_idle_minutes: int = limit(60, low=5, high=1440)
    enrolment_code_hours: int = limit(24, low=1, high=168)
    stop_seconds: int = limit(20, low=1, high=300)
    migrate_at_start: bool = False
    drill_days: int = limit(90, low=0, high=3650)
    basemap: str = ""
    basemap_attribution: str = "© OpenStreetMap contributors"
    units: str = choice("metric", "metric", "imperial")
    oidc: tuple[OidcProvider, ...] = ()
    database: DatabaseConfig = DatabaseConfig()
    blobs: BlobsConfig = BlobsConfig()

    def __post_init__(self) -> None:
        """Check what the types alone cannot; raises ConfigError."""
        if self.public_url:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise ConfigError(f"public_url: {self.public_url!r} must look like https://name or http://name:port")
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            raise ConfigError(f"host: {self.host!r} must be an IP address to listen on, such as 127.0.0.1") from None
        if address.is_unspecified and not self.public_url:
            raise ConfigError("public_url is needed where host is every address of the machine")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("tls_certificate and tls_key go together: set both or neither")
        if self.role == "home" and (self.database.url or self.blobs.url):
            raise ConfigError("a home keeps its rows and files in its own folder: leave [database] and [blobs] out")

    @property
    def url(self) -> str:
        """The address by which others reach this node, without a slash at its end.

        On the loopback it says `localhost`, the one name for which browsers allow passkeys without TLS.
        """
        if self.public_url:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        if ipaddress.ip_address(self.host).is_loopback:
            host = "localhost"
        return f"{'https' if self.tls_certificate else 'http'}://{host}:{self.port}"

    @property
    def tls(self) -> bool:
        """Tell whether browsers reach this node over TLS."""
        return self.url.startswith("https://")

    @property
    def hostname(self) -> str:
        """The name in `url`: also the relying-party id of every passkey enrolled here."""
        return urlsplit(self.url).hostname or self.host

    def folder(self, *parts: str) -> Path:
        """Return the private folder `<data>/<parts...>`, created if absent; raises ConfigError without a data folder."""
        if self.data_dir is None:
            raise ConfigError(f"no data folder: set {DATA_VARIABLE} to the folder that this role keeps its data in")
        return files.private_dir(self.data_dir.joinpath(*parts))

    def file(self, *parts: str) -> Path:
        """Return the path `<data>/<parts...>` of a file, with its folder created."""
        return self.folder(*parts[:-1]) / parts[-1]


_current: RoleConfig | None = None
_role = ""


def data_dir() -> Path | None:
    """Return the data folder that the environment names, or None."""
    value = os.environ.get(DATA_VARIABLE, "")
    return Path(value).absolute() if value else None


def load[C: RoleConfig](kind: type[C], folder: Path | None) -> C:
    """Read `<folder>/config.toml` (absent means all defaults) as `kind` and make it current. Raises ConfigError."""
    values: dict[str, Any] = {}
    if folder is not None:
        path = folder / FILE_NAME
        if path.exists():
            try:
                values = tomllib.loads(path.read_text("utf-8"))
            except (ValueError, RecursionError) as error:  # tomllib itself, and what it lets through: digits, depth
                raise ConfigError(f"{path}: {error}") from error
        if "data_dir" in values:
            raise ConfigError(f"{path}: data_dir is not set here but by {DATA_VARIABLE}")
    chosen = os.environ.get(PORT_VARIABLE, "")
    if folder is not None and values.get("port", 0) == 0 and chosen.isdecimal():
        # The supervisor chose a free port; its children and their addresses follow it.
        values["port"] = int(chosen)
    found = parse(kind, values, where=f"{folder / FILE_NAME if folder else FILE_NAME}", extra={"data_dir": folder})
    use(found)
    return found


def use(config: RoleConfig, role: str = "") -> None:
    """Make `config` the current one of this process, which runs `role`."""
    global _current, _role  # noqa: PLW0603 - one configuration per process is the point
    _current = config
    _role = role or config.role or _role


def role_name() -> str:
    """Return the role that this process runs, or '' before its settings are loaded."""
    return _role


def current[C: RoleConfig](kind: type[C]) -> C:
    """Return the process's configuration as `kind`; raises ConfigError if none was loaded or it is of another role."""
    if not isinstance(_current, kind):
        raise ConfigError(f"this process runs no {kind.role or 'role'}: its settings were not loaded")
    return _current


def parse[C](kind: type[C], values: Mapping[str, Any], *, where: str, extra: Mapping[str, Any] | None = None) -> C:
    """Build the dataclass `kind` from TOML `values`; raises ConfigError naming `where` and the key."""
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(typing.cast("Any", kind)) if f.name not in (extra or {})}
    arguments: dict[str, Any] = dict(extra or {})
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; known keys are {', '.join(sorted(known))}")
        arguments[key] = _convert(value, hints[key], f"{where}: {key}", known[key].metadata)
    for name, f in known.items():
        if name not in arguments and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{where}: the key {name!r} is missing")
    try:
        return kind(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(value: Any, hint: Any, where: str, metadata: Mapping[str, Any]) -> Any:
    origin = typing.get_origin(hint)
    if origin is types.UnionType or origin is typing.Union:
        inner = [a for a in typing.get_args(hint) if a is not types.NoneType]
        return _convert(value, inner[0], where, metadata)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} must be a list")
        inner_hint = typing.get_args(hint)[0]
        return tuple(_convert(item, inner_hint, f"{where}[{i}]", metadata) for i, item in enumerate(value))
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a table")
        return parse(hint, value, where=where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise ConfigError(f"{where} must be {getattr(hint, '__name__', hint)}, not {type(value).__name__}")
    if "low" in metadata and not metadata["low"] <= value <= metadata["high"]:
        raise ConfigError(f"{where} must be between {metadata['low']} and {metadata['high']}, not {value}")
    if "options" in metadata and value not in metadata["options"]:
        raise ConfigError(f"{where} must be one of {', '.join(metadata['options'])}")
    return value


def write(folder: Path, values: Mapping[str, Any]) -> Path:
    """Write `values` as `<folder>/config.toml` (0600, atomic) and return its path. Checks no names: `load` does."""
    files.private_dir(folder)
    path = folder / FILE_NAME
    files.write_atomic(path, dump(values).encode())
    return path


def dump(values: Mapping[str, Any]) -> str:
    """Return `values` as TOML: scalars, lists of scalars, tables and lists of tables."""
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if not _is_table(value)]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", dump(value).rstrip("\n")]
        elif _is_table(value):
            for item in value:
                lines += ["", f"[[{key}]]", dump(item).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    raise ConfigError(f"a configuration file cannot hold a {type(value).__name__}")
