"""Footage for the demo: a made-up street, with the traces that real cameras leave, so that cleaning has something to clean.

Nobody's house, car or plate is shown. Plates read DEMO 1, DEMO 2 and so on, which no authority issues.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fairwitness.kit.video.make import write_recording

type Picture = np.ndarray[Any, np.dtype[np.uint8]]

COLORS: Final = {
    "red": (176, 38, 40),
    "white": (222, 222, 218),
    "black": (38, 40, 44),
    "blue": (44, 74, 140),
    "silver": (160, 166, 170),
    "green": (46, 96, 66),
}
_SKINS: Final = ((96, 66, 50), (150, 108, 82), (198, 152, 122), (224, 184, 156))
_RATE: Final = 16_000


@dataclass(frozen=True, slots=True)
class Passing:
    """Something that crosses the picture: a `car` or a `person`, from `at` seconds, at `speed` pixels a second.

    Negative speed goes left. `color` is a name of COLORS; `plate` is painted on a car and must begin with DEMO.
    """

    kind: str
    at: float
    speed: float
    color: str
    plate: str = "DEMO 1"

    def __post_init__(self) -> None:
        """Refuse what could be somebody's."""
        if self.kind not in ("car", "person") or self.color not in COLORS or not self.plate.startswith("DEMO"):
            raise ValueError("a passing is a car or a person, of a known colour, with a DEMO plate")


def make_clip(
    path: Path,
    *,
    seed: int,
    seconds: float,
    start: int,
    zone: str = "UTC",
    camera: str = "Porch",
    place: tuple[float, float] = (37.8715, -122.2730),
    passings: Sequence[Passing] | None = None,
    width: int = 640,
    height: int = 360,
    fps: int = 15,
    audio: bool = True,
) -> Path:
    """Write `seconds` of the street that `seed` builds, as seen from `start` (Unix seconds, UTC); return `path`.

    The clock in the picture and the light follow `zone`. `passings` None lets the seed choose cars and people. The file carries
    planted metadata: `place` as GPS, the time of making, a device's name and a comment, and the encoder's own notes.
    """
    rng = np.random.default_rng(seed)
    count = max(int(seconds * fps), 1)
    crossing = _choose(rng, seconds) if passings is None else passings
    local = datetime.fromtimestamp(start, UTC).astimezone(ZoneInfo(zone))
    street = _Street(rng, width, height, _daylight(local.hour + local.minute / 60))
    stamp = datetime.fromtimestamp(start, UTC).isoformat().replace("+00:00", "Z")
    return write_recording(
        path,
        street.pictures(count, fps, passings=crossing, camera=camera, began=local),
        fps=fps,
        sound=_sound(rng, seconds) if audio else None,
        metadata={
            "creation_time": stamp,
            "location": f"{place[0]:+09.4f}{place[1]:+010.4f}/",
            "make": "Fairwitness Demo",
            "model": f"FW-CAM {camera}",
            "comment": f"serial FW{seed:08d} recorded by {camera}",
            "title": f"{camera} {stamp}",
        },
    )


def _choose(rng: np.random.Generator, seconds: float) -> list[Passing]:
    names = list(COLORS)
    out = []
    for index, at in enumerate(np.arange(0.5, max(seconds, 1.0), 3.5)):
        speed = float(rng.uniform(110, 210) * rng.choice([-1, 1]))
        out.append(Passing("car", float(at + rng.uniform(0, 2)), speed, str(rng.choice(names)), f"DEMO {index + 1}"))
    for at in np.arange(0.0, max(seconds, 1.0), 6.0):
        speed = float(rng.uniform(22, 40) * rng.choice([-1, 1]))
        out.append(Passing("person", float(at + rng.uniform(-4, 3)), speed, str(rng.choice(names))))
    return out


def _daylight(hour: float) -> float:
    """Return how bright it is at a local hour: 1 by day, 0.25 at night, and a dusk between."""
    return float(np.clip(0.25 + 0.75 * np.clip((min(abs(hour - 13.0), 24 - abs(hour - 13.0)) - 7) / -2, 0, 1), 0.25, 1))


class _Street:
    """One view: what stands still is painted once, what moves is laid over it."""

    def __init__(self, rng: np.random.Generator, width: int, height: int, light: float) -> None:
        self._rng = rng
        self._width, self._height, self._light = width, height, light
        self._font = ImageFont.load_default(size=max(height // 24, 9))
        still = self._paint()
        tint = np.array([light, light, min(light * 1.12, 1.0)])
        still = still * tint
        # A sensor's noise, cheaply: a few versions of the same still picture, shown in turn.
        strength = 3 if light > 0.6 else 7
        self._stills = [np.clip(still + rng.normal(0, strength, still.shape), 0, 255).astype(np.uint8) for _ in range(3)]
        self._digits: dict[str, Picture] = {}

    def _paint(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        w, h, rng = self._width, self._height, self._rng
        image = Image.new("RGB", (w, h), (136, 178, 214))
        draw = ImageDraw.Draw(image)
        for y in range(h // 3):
            shade = y / (h / 3)
            draw.line([(0, y), (w, y)], fill=(int(96 + 70 * shade), int(142 + 50 * shade), int(200 + 30 * shade)))
        x = -int(rng.integers(0, w // 10))
        while x < w:
            self._house(draw, x, wide := int(rng.integers(w // 6, w // 4)))
            x += wide + int(rng.integers(6, w // 14))
        draw.rectangle([0, int(h * 0.50), w, int(h * 0.57)], fill=(88, 128, 66))
        draw.rectangle([0, int(h * 0.57), w, int(h * 0.63)], fill=(176, 172, 164))
        draw.rectangle([0, int(h * 0.63), w, int(h * 0.90)], fill=(78, 80, 84))
        for dash in range(-10, w, w // 9):
            draw.rectangle([dash, int(h * 0.76), dash + w // 18, int(h * 0.77)], fill=(206, 190, 96))
        draw.rectangle([0, int(h * 0.90), w, h], fill=(98, 136, 72))
        for _ in range(3):
            self._tree(draw, int(rng.integers(0, w)))
        return np.asarray(image, dtype=np.float64)

    def _house(self, draw: ImageDraw.ImageDraw, x: int, wide: int) -> None:
        h, rng = self._height, self._rng
        top, bottom = int(h * rng.uniform(0.22, 0.30)), int(h * 0.52)
        wall = tuple(int(v) for v in rng.integers(120, 226, 3))
        roof = tuple(int(v) for v in rng.integers(60, 110, 3))
        draw.rectangle([x, top, x + wide, bottom], fill=wall)
        draw.polygon([(x - 6, top), (x + wide // 2, top - int(h * 0.12)), (x + wide + 6, top)], fill=roof)
        lit = (250, 214, 130) if self._light < 0.6 else (70, 92, 116)
        for part in (0.12, 0.62):
            left = x + int(wide * part)
            draw.rectangle([left, top + h // 24, left + wide // 4, top + h // 9], fill=lit, outline=(240, 240, 236))
        door = x + int(wide * 0.42)
        draw.rectangle([door, bottom - h // 8, door + wide // 7, bottom], fill=tuple(int(v) for v in rng.integers(40, 130, 3)))

    def _tree(self, draw: ImageDraw.ImageDraw, x: int) -> None:
        h, r = self._height, int(self._height * self._rng.uniform(0.07, 0.11))
        foot = int(h * 0.55)
        draw.rectangle([x - 3, foot - h // 8, x + 3, foot], fill=(88, 64, 44))
        for dx, dy in ((0, 0), (-r // 2, r // 3), (r // 2, r // 3)):
            draw.ellipse([x + dx - r, foot - h // 6 + dy - r, x + dx + r, foot - h // 6 + dy + r], fill=(52, 98, 50))

    def pictures(self, count: int, fps: int, *, passings: Sequence[Passing], camera: str, began: datetime) -> Iterator[Picture]:
        """Yield `count` pictures."""
        movers = [self._mover(passing) for passing in passings]
        for number in range(count):
            picture = self._stills[number % len(self._stills)].copy()
            for passing, sprites, y in movers:
                age = number / fps - passing.at
                if age < 0:
                    continue
                sprite, mask = sprites[int(age * 6) % len(sprites)]
                wide = sprite.shape[1]
                x = int(-wide + passing.speed * age) if passing.speed > 0 else int(self._width + passing.speed * age)
                _lay(picture, sprite, mask, x, y)
            second = datetime.fromtimestamp(began.timestamp() + number / fps, UTC).astimezone(began.tzinfo)
            self._clock(picture, f"{camera}  {second:%Y-%m-%d %H:%M:%S}")
            yield picture

    def _mover(self, passing: Passing) -> tuple[Passing, list[tuple[Picture, Picture]], int]:
        if passing.kind == "car":
            sprite = self._car(passing)
            lane = 0.63 if passing.speed < 0 else 0.74
            return passing, [sprite], int(self._height * lane)
        return passing, [self._person(passing, phase) for phase in range(4)], int(self._height * 0.46)

    def _car(self, passing: Passing) -> tuple[Picture, Picture]:
        w, h = self._width // 5, self._height // 7
        image = Image.new("RGBA", (w, h), (0, 0, 0, 0))
        draw = ImageDraw.Draw(image)
        color = COLORS[passing.color]
        dark = tuple(int(v * 0.7) for v in color)
        draw.rounded_rectangle([0, h * 0.42, w - 1, h * 0.82], radius=h // 8, fill=color)
        draw.polygon([(w * 0.18, h * 0.44), (w * 0.32, h * 0.06), (w * 0.72, h * 0.06), (w * 0.86, h * 0.44)], fill=dark)
        draw.polygon(
            [(w * 0.25, h * 0.40), (w * 0.35, h * 0.13), (w * 0.50, h * 0.13), (w * 0.50, h * 0.40)], fill=(120, 146, 160)
        )
        draw.polygon(
            [(w * 0.54, h * 0.40), (w * 0.54, h * 0.13), (w * 0.69, h * 0.13), (w * 0.79, h * 0.40)], fill=(120, 146, 160)
        )
        for wheel in (0.20, 0.78):
            draw.ellipse([w * wheel - h * 0.18, h * 0.64, w * wheel + h * 0.18, h * 0.99], fill=(22, 22, 24))
            draw.ellipse([w * wheel - h * 0.08, h * 0.74, w * wheel + h * 0.08, h * 0.89], fill=(150, 150, 150))
        lamp = w - w * 0.05 if passing.speed > 0 else 0
        draw.rectangle([lamp, h * 0.48, lamp + w * 0.05, h * 0.58], fill=(255, 244, 190))
        draw.rectangle([w * 0.36, h * 0.52, w * 0.64, h * 0.76], fill=(244, 244, 240), outline=(30, 40, 110))
        font = ImageFont.load_default(size=max(int(h * 0.19), 6))
        draw.text((w * 0.50, h * 0.64), passing.plate, fill=(20, 28, 90), font=font, anchor="mm")
        return self._finish(image)

    def _person(self, passing: Passing, phase: int) -> tuple[Picture, Picture]:
        w, h = self._width // 26, self._height // 6
        image = Image.new("RGBA", (w, h), (0, 0, 0, 0))
        draw = ImageDraw.Draw(image)
        swing = (0, w // 4, 0, -(w // 4))[phase]
        skin = _SKINS[int(passing.at * 10) % len(_SKINS)]
        draw.line([(w // 2, h * 0.6), (w // 2 + swing, h - 2)], fill=(40, 44, 60), width=max(w // 6, 2))
        draw.line([(w // 2, h * 0.6), (w // 2 - swing, h - 2)], fill=(40, 44, 60), width=max(w // 6, 2))
        draw.rounded_rectangle([w * 0.28, h * 0.24, w * 0.72, h * 0.64], radius=3, fill=COLORS[passing.color])
        draw.ellipse([w * 0.32, h * 0.04, w * 0.68, h * 0.22], fill=skin)
        return self._finish(image)

    def _finish(self, image: Image.Image) -> tuple[Picture, Picture]:
        data = np.asarray(image)
        shade = max(self._light, 0.45)  # what passes carries lamps or walks under them
        return (data[:, :, :3] * shade).astype(np.uint8), (data[:, :, 3:] > 127).astype(np.uint8)

    def _clock(self, picture: Picture, text: str) -> None:
        x = 8
        for letter in text:
            glyph = self._digits.get(letter)
            if glyph is None:
                glyph = self._digits[letter] = self._glyph(letter)
            tall, wide = glyph.shape[:2]
            if x + wide > self._width:
                break
            under = picture[6 : 6 + tall, x : x + wide]
            np.maximum(under // 3, glyph, out=under)
            x += wide

    def _glyph(self, letter: str) -> Picture:
        wide = max(int(self._font.getlength(letter)), 2)
        image = Image.new("L", (wide, self._height // 16), 0)
        ImageDraw.Draw(image).text((0, 0), letter, fill=255, font=self._font)
        return np.repeat(np.asarray(image)[:, :, None], 3, axis=2)


def _lay(picture: Picture, sprite: Picture, mask: Picture, x: int, y: int) -> None:
    """Lay a sprite over the picture, clipped to it."""
    tall, wide = sprite.shape[:2]
    left, right = max(x, 0), min(x + wide, picture.shape[1])
    if left >= right:
        return
    area = picture[y : y + tall, left:right]
    inside = mask[: area.shape[0], left - x : right - x]
    np.copyto(area, sprite[: area.shape[0], left - x : right - x], where=inside.astype(bool))


def _sound(rng: np.random.Generator, seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return the hum and hiss of a street, and a bird: 16 kHz, mono."""
    time = np.arange(int(_RATE * seconds) + _RATE) / _RATE
    hum = 900 * np.sin(2 * np.pi * 110 * time) * (1 + 0.4 * np.sin(2 * np.pi * 0.2 * time))
    bird = 700 * np.sin(2 * np.pi * (2600 + 500 * np.sin(2 * np.pi * 9 * time)) * time) * (np.sin(2 * np.pi * 0.35 * time) > 0.93)
    mixed: np.ndarray[Any, np.dtype[np.int16]] = (hum + bird + rng.normal(0, 260, time.size)).astype(np.int16)
    return mixed
