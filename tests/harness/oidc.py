"""An agency whose officers come by their department's sign-in provider: both are programs, on two hosts to a browser."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fairwitness.demo import places
from fairwitness.demo.processes import Processes, command, free_ports

ROOT = Path(__file__).resolve().parents[2]
CLIENT = "fairwitness-agency"


@dataclass
class Provider:
    """The running provider; `url` is its issuer. Its people sign in there with `password`."""

    folder: Path
    url: str
    secret: str
    password: str

    def bend(self, how: str = "") -> None:
        """Let it say what oidc_provider.BENDS names; nothing: let it be honest again."""
        file = self.folder / "bend"
        if how:
            file.write_text(how)
        else:
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def provider(folder: Path, port: int, callback: str, people: tuple[str, ...]) -> Iterator[Provider]:
    folder.mkdir()
    made = Provider(folder, f"http://127.0.0.1:{port}", secrets.token_urlsafe(24), secrets.token_urlsafe(12))
    words = [CLIENT, made.secret, callback, *(f"{name}:{made.password}" for name in people)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRWITNESS_", "DJANGO_", "PYTEST"))}
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.oidc_provider", str(folder), str(port), *words],
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=environment,
        )
    try:
        assert process.stdout.readline().startswith(b"ready"), (folder / "errors").read_text()
        yield made
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait(20)


@dataclass
class Department:
    """A running agency and its provider; `codes` are the officers' one-time codes."""

    agency: Path
    url: str
    codes: dict[str, str]
    provider: Provider
    stop_provider: contextlib.ExitStack


@contextlib.contextmanager
def department(folder: Path, officers: dict[str, str], at_provider: tuple[str, ...]) -> Iterator[Department]:
    """Run both. `officers` are account names with their login at the provider, empty for none."""
    agency_port, provider_port = free_ports(2)
    url = f"http://localhost:{agency_port}"
    agency = folder / "agency"
    polygon = folder / "jurisdiction.geojson"
    polygon.write_text(json.dumps(places.draw(11).jurisdiction))
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as provided:
        run = provider(folder / "provider", provider_port, f"{url}/auth/oidc/city/callback", at_provider)
        known = provided.enter_context(run)
        command(
            "agency", "init", agency, "--id", places.AGENCY_ID, "--ori", places.ORI, "--name", places.AGENCY_NAME, "--state",
            places.STATE, "--jurisdiction", polygon, "--port", str(agency_port), "--public-url", url,
        )  # fmt: skip
        with (agency / "config.toml").open("a") as file:
            file.write(
                f'\n[[oidc]]\nid = "city"\nname = "City sign-in"\nserver_url = "{known.url}"\n'
                f'client_id = "{CLIENT}"\nclient_secret = "{known.secret}"\n'
            )
        codes = {}
        for name, login in officers.items():
            codes[name] = json.loads(command("agency", "officer", "add", agency, name))["code"]
            if login:
                command("agency", "officer", "login", agency, name, "--provider", "city", "--login", login)
        processes = Processes(folder / "logs")
        stack.callback(processes.stop)
        processes.start("agency", "agency", "run", agency)
        processes.wait_ready("agency")
        yield Department(agency, url, codes, known, provided)
