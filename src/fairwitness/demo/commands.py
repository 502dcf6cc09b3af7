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

from fairwitness.demo import places, visit
from fairwitness.demo.door import Door
from fairwitness.demo.play import Story
from fairwitness.demo.processes import DemoError
from fairwitness.demo.town import VIDEO_SUFFIXES, Neighbourhood


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
    story = Story(town, visited=not options.headless)
    stop = threading.Event()
    door: Door | None = None

    def leave(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if door is None:
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
        codes = visit.guests(story)
        door = Door({resident.name: town.home(resident) for resident in town.town.residents})
        visit.show(console, story, door, codes)
        while not stop.wait(1):
            town.processes.check()
    except DemoError as error:
        print(f"fairwitness demo: {error}\nAll data and logs are in {data}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        console.print("Stopping.")
        return 130
    finally:
        if door is not None:
            door.close()
        town.processes.stop()
    console.print(f"Stopped. Everything is kept in {data}")
    return 0
