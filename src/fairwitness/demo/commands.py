"""`fairwitness demo`: the whole neighbourhood on one machine."""

import argparse
import json
import secrets
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from fairwitness.demo import places
from fairwitness.demo.play import Story
from fairwitness.demo.processes import DemoError, command
from fairwitness.demo.town import OFFICERS, VIDEO_SUFFIXES, Neighbourhood


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the demo to the command line."""
    parser = commands.add_parser("demo", help="the whole neighbourhood on one machine")
    parser.add_argument("--headless", action="store_true", help="play one request through to a verified bag, then stop")
    parser.add_argument("--footage", type=Path, help="a folder of real video files to use instead of generated ones")
    parser.add_argument("--data", type=Path, help="an empty or new folder for all data (default: a temporary one)")
    parser.add_argument("--report", type=Path, help="write a JSON report here")
    parser.set_defaults(run=_demo)


def _footage(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise DemoError(f"{folder} is not a folder")
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        raise DemoError(f"{folder} holds no video file ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return found


def _new_folder(wanted: Path | None) -> Path:
    data = (wanted or Path(tempfile.mkdtemp(prefix="fairwitness-demo-"))).absolute()
    if data.exists() and any(data.iterdir()):
        raise DemoError(f"{data} is not empty; name a new folder, or remove it")
    data.mkdir(parents=True, exist_ok=True)
    return data


def _demo(options: argparse.Namespace) -> int:
    started = time.monotonic()
    console = Console(stderr=options.headless and options.report is None, highlight=False)
    try:
        footage = _footage(options.footage)
        data = _new_folder(options.data)
    except (DemoError, OSError) as error:
        print(f"fairwitness demo: {error}", file=sys.stderr)
        return 2

    def say(words: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim]  {words}")

    town = Neighbourhood(data, places.draw(secrets.randbelow(2**31)), say, footage)
    story = Story(town)
    stop = threading.Event()

    def leave(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if not story.outcome.verify_exit == 0:
            raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    try:
        story.set_up()
        story.play()
        report = story.report()
        report["seconds"]["total"] = round(time.monotonic() - started, 2)
        text = json.dumps(report, indent=2) + "\n"
        if options.report:
            options.report.write_text(text)
        if options.headless:
            if not options.report:
                sys.stdout.write(text)
            return 0 if report["verify_exit"] == 0 else 1
        _addresses(console, town)
        while not stop.wait(1):
            town.processes.check()
    except DemoError as error:
        print(f"fairwitness demo: {error}\nAll data and logs are in {data}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        console.print("Stopping.")
        return 130
    finally:
        town.processes.stop()
    console.print(f"Stopped. Everything is kept in {data}")
    return 0


def _addresses(console: Console, town: Neighbourhood) -> None:
    """Print where everything is, with fresh one-time codes so that a person can add a passkey of their own."""
    table = Table(title="The neighbourhood is running", title_justify="left")
    for column in ("what", "address", "how to get in"):
        table.add_column(column, overflow="fold")
    made = json.loads(command("hub", "user", town.hub, "guest-moderator", "--role", "moderator", "--name", "Guest"))
    table.add_row("hub, as moderator", f"{town.hub_url}/auth/enrol", f"one-time code {made['code']}")
    for role in sorted({role for _, _, role in OFFICERS}):
        username = f"guest-{role}"
        made = json.loads(command("agency", "officer", "add", town.agency, username, "--name", f"Guest {role}", "--role", role))
        table.add_row(f"agency, as {role}", f"{town.agency_url}/auth/enrol", f"one-time code {made['code']}")
    # The new officers' keys count from the log entry that names them.
    command("hub", "add-agency", town.hub, town.agency / "registration.json")
    for resident in town.town.residents:
        token = town.home(resident) / "keys" / "owner.token"
        address = f"{town.home_urls[resident.name]}/api/requests"
        table.add_row(f"{resident.name} ({resident.part})", address, f"bearer token in {token}")
    table.add_row("the public log", f"{town.hub_url}/log/p/checkpoint", "open to all")
    table.add_row("the evidence bag", str(town_bag(town)), f"fairwitness verify BAG --trust {town.data / 'trust.json'}")
    console.print(table)
    console.print("Control-C stops everything; the data stays.")


def town_bag(town: Neighbourhood) -> Path:
    """Return where the agency keeps its bags."""
    return town.agency / "exports"
