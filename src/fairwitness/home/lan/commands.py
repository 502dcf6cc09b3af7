"""`fairwitness home lan|pair`: reaching the home's own page from a phone."""

import argparse
import ipaddress
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairwitness.kit import clock, config, files
from fairwitness.kit.config import ConfigError

_CA, _CA_KEY, _LEAF, _LEAF_KEY = "lan/ca.crt", "keys/lan-ca.key", "lan/home.crt", "keys/lan.key"
_STEPS = """
Start the home again, then on the phone:
 1. open {url}/ca.crt and let the phone load it although it warns, or bring {ca} to the phone another way;
 2. install it as an authority; the phone must show this fingerprint (SHA-256), else stop:
    {fingerprint}
 3. fairwitness home pair {folder}
The authority can sign for {address} and for nothing else. Run this again before {days} days are over (the phone stays as it is),
or when the address changes (then all of it).
"""


def register(actions: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add` is home.commands._add."""
    lan = add(actions, "lan", "serve the page to your own network, over TLS with a certificate made here", _lan, ready=False)
    lan.add_argument("--address", required=True, help="this machine's address in your network, such as 192.168.1.20")
    lan.add_argument("--port", type=int, default=8443)
    add(actions, "pair", "print a one-time address (and its QR code) that signs a phone or browser in as you", _pair)


def _lan(options: argparse.Namespace) -> None:
    from fairwitness.home.lan import ca  # noqa: PLC0415 - only this command makes certificates

    folder: Path = options.directory.absolute()
    path = folder / config.FILE_NAME
    if not path.exists():
        raise ConfigError(f"{folder} is no home's data folder; make one with: fairwitness home init {folder}")
    address = str(_address(options.address))
    values = tomllib.loads(path.read_text())
    if values.get("behind_tls_proxy"):
        raise ConfigError("config.toml says that a proxy brings TLS: then no certificate is made here")
    now = clock.now()
    for name in ("lan", "keys"):
        files.private_dir(folder / name)
    # The authority stays while the address does: phones that installed it go on trusting the new certificate.
    if values.get("host") != address or not (folder / _CA_KEY).exists():
        certificate, key = ca.make_ca(address, now)
        files.write_atomic(folder / _CA_KEY, key)
        files.write_atomic(folder / _CA, certificate)
    authority = (folder / _CA).read_bytes()
    certificate, key = ca.make_leaf(authority, files.read_secret(folder / _CA_KEY), address, now)
    files.write_atomic(folder / _LEAF_KEY, key)
    files.write_atomic(folder / _LEAF, certificate)
    values |= {
        "host": address,
        "port": options.port,
        "tls_certificate": str(folder / _LEAF),
        "tls_key": str(folder / _LEAF_KEY),
    }
    values.pop("public_url", None)
    config.write(folder, values)
    shown = f"[{address}]" if ":" in address else address
    print(f"This home will be at https://{shown}:{options.port} in your network.", end="")
    print(
        _STEPS.format(
            url=f"https://{shown}:{options.port}",
            ca=folder / _CA,
            fingerprint=ca.fingerprint(authority),
            folder=folder,
            address=address,
            days=ca.LEAF_DAYS,
        ),
        end="",
    )


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise ConfigError(f"{text} is no address of this machine; it looks like 192.168.1.20") from error
    if found.is_unspecified or found.is_multicast or found.is_loopback or not (found.is_private or found.is_link_local):
        raise ConfigError(f"{text} is not an address of a home's own network; this home is not for the internet")
    return found


def _pair(_options: argparse.Namespace) -> int:
    from fairwitness.home import access  # noqa: PLC0415 - Django is set up only now
    from fairwitness.home.config import Config  # noqa: PLC0415
    from fairwitness.home.lan import pairing  # noqa: PLC0415

    cfg = config.current(Config)
    running = cfg.folder("run") / "address"
    if not running.exists():
        print("This home does not run. Start it: fairwitness home run DIR", file=sys.stderr)
        return 1
    url = running.read_text().strip()
    if not access.safe(cfg) and not url.startswith("https://"):
        print(access.HOW, file=sys.stderr)
        return 1
    code = pairing.issue()
    target = f"{url}/pair#{code}"
    print(f"Open this within two minutes; it works once:\n\n  {target}\n")
    if not access.loopback(cfg.host):
        _draw(target)
    else:
        print("It opens on this machine alone. For a phone: fairwitness home lan DIR --address ADDRESS")
    return 0


def _draw(text: str) -> None:
    import qrcode  # noqa: PLC0415 - only this command draws

    code = qrcode.QRCode(border=2, error_correction=qrcode.constants.ERROR_CORRECT_M)
    code.add_data(text)
    code.print_ascii(out=sys.stdout, invert=sys.stdout.isatty())
