"""`fairwitness home camera mask|marks|timeline`: what of a picture is shared, and what is found in it, from a terminal."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from fairwitness.kit.config import ConfigError


def register(actions: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands below `camera`; `add` is home.commands._add."""
    parser = actions.add_parser("mask", help="areas of the picture that are black in everything shared")
    inner = parser.add_subparsers(dest="mask_action", metavar="ACTION", required=True)
    draw = add(inner, "add", "cover an area", _mask_add)
    draw.add_argument("camera", type=int, help="id of `camera list`")
    draw.add_argument("--name", required=True)
    draw.add_argument(
        "--points", required=True, help="3 to 64 corners x,y of 0..1 from the upper left, such as '0,0 0.3,0 0.3,1 0,1'"
    )
    add(inner, "list", "a camera's covered areas, as JSON", _mask_list).add_argument("camera", type=int)
    add(inner, "remove", "cover an area no more", _mask_remove).add_argument("mask", type=int, help="id of `camera mask list`")
    marks = add(actions, "marks", "find motion and persons in a camera's recordings, on this machine", _marks)
    marks.add_argument("camera", type=int)
    marks.add_argument("switch", choices=["on", "off"], help="off also deletes the camera's marks")
    timeline = add(actions, "timeline", "recordings, gaps with their reasons, and marks, as JSON", _timeline)
    timeline.add_argument("camera", type=int)
    timeline.add_argument("begin", help="Unix seconds, or 2026-06-01T02:00:00Z")
    timeline.add_argument("end")


def _print(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))


def _points(text: str) -> list[list[float]]:
    try:
        return [[float(number) for number in pair.split(",")] for pair in text.split()]
    except ValueError as error:
        raise ConfigError(f"{text!r} is no list of corners such as '0,0 0.3,0 0.3,1 0,1'") from error


def _mask_add(options: argparse.Namespace) -> None:
    from fairwitness_core.wire.errors import ProtocolError  # noqa: PLC0415

    from fairwitness.home.services import masks  # noqa: PLC0415 - Django is set up only now

    try:
        row = masks.add(options.camera, options.name, _points(options.points))
    except ProtocolError as error:
        raise ConfigError(f"{error.message} ({error.code})") from error
    _print({"mask": row.pk})


def _mask_list(options: argparse.Namespace) -> None:
    from fairwitness.home.services import masks  # noqa: PLC0415

    _print([asdict(view) for view in masks.listing(options.camera)])


def _mask_remove(options: argparse.Namespace) -> None:
    from fairwitness.home.services import masks  # noqa: PLC0415

    masks.remove(options.mask)


def _marks(options: argparse.Namespace) -> None:
    from fairwitness.home.services import marks  # noqa: PLC0415

    _print({"camera": options.camera, "marks_on": marks.switch(options.camera, on=options.switch == "on").marks_on})


def _timeline(options: argparse.Namespace) -> None:
    from fairwitness.home.services import marks  # noqa: PLC0415

    _print(asdict(marks.timeline(options.camera, _moment(options.begin), _moment(options.end))))


def _moment(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text} is no time; write 2026-06-01T02:00:00Z") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
