"""From `[database]` in config.toml to connections: strict addresses, passwords from files alone."""

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from fairwitness.kit import config, files
from fairwitness.kit.config import ConfigError

_ALLOWED = frozenset(
    {"user", "host", "hostaddr", "port", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout"}
)
_VERIFYING = ("verify-ca", "verify-full")
_CONNECT_SECONDS = 10


def address_of(url: str) -> dict[str, Any]:
    """Return the parts of a `postgresql://` address; raises ConfigError.

    A password in it is refused (it belongs into the credentials file), and so is a server elsewhere whose certificate
    would not be checked.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigError("database.url must look like postgresql://user@host:port/name")
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        raise ConfigError("database.url must look like postgresql://user@host:port/name") from None
    if "password" in parts:
        raise ConfigError("database.url holds a password: put it into the file that database.credentials names (mode 0600)")
    if unknown := sorted(set(parts) - _ALLOWED):
        raise ConfigError(f"database.url: {unknown[0]!r} is not taken; known are {', '.join(sorted(_ALLOWED))}")
    for key in ("user", "host", "dbname"):
        if not parts.get(key):
            raise ConfigError(f"database.url names no {key}")
    if not _is_local(str(parts["host"])) and parts.get("sslmode") not in _VERIFYING:
        raise ConfigError("database.url: a server on another machine needs sslmode=verify-full (and sslrootcert=FILE)")
    parts.setdefault("connect_timeout", _CONNECT_SECONDS)
    return parts


def _is_local(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settings_of(cfg: config.RoleConfig) -> dict[str, Any]:
    """Return Django's settings of the database; raises ConfigError, UnsafeMode, OSError.

    As the node's own user; as the schema's owner where the environment names the owner's file.
    """
    parts = address_of(cfg.database.url)
    name, user = parts.pop("dbname"), parts.pop("user")
    password = ""
    if owner := os.environ.get(config.OWNER_VARIABLE, ""):
        user, password = _owner(Path(owner))
    else:
        path = cfg.file(*Path(cfg.database.credentials).parts)
        if path.exists():
            password = files.read_secret(path).decode().strip()
    # A commit is on the server's disk when it returns, whatever the server's own default is; a transaction that waits too
    # long for the lock of its kind ends with an error, as SQLite's does; one that was left open does not block the others.
    options = (
        f"-c synchronous_commit=on -c lock_timeout={cfg.database.wait_seconds * 1000} "
        "-c idle_in_transaction_session_timeout=300000 -c search_path=public -c application_name=fairwitness"
    )
    return {
        "ENGINE": "fairwitness.kit.postgresql",
        "NAME": name,
        "USER": user,
        "PASSWORD": password,
        "HOST": parts.pop("host"),
        "PORT": str(parts.pop("port", "")),
        "CONN_MAX_AGE": 0,  # the pool keeps connections
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **parts,
            "options": options,
            "pool": {"min_size": 0, "max_size": cfg.database.connections, "timeout": cfg.database.wait_seconds},
        },
    }


def owner_address(url: str, owner: Path) -> dict[str, Any]:
    """Return what libpq needs to be the owner of the database in `url`; raises ConfigError, UnsafeMode, OSError."""
    parts = address_of(url)
    parts["user"], parts["password"] = _owner(owner)
    return parts


def _owner(path: Path) -> tuple[str, str]:
    try:
        values = tomllib.loads(files.read_secret(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        values = {}
    user, password = values.get("user"), values.get("password", "")
    if not isinstance(user, str) or not user or not isinstance(password, str) or set(values) - {"user", "password"}:
        raise ConfigError(f'{path} must hold two lines, user = "..." and password = "..."')
    return user, password
