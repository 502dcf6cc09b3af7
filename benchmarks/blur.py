"""Recall and speed of looking for faces and plates, on the real files of FAIRWITNESS_TEST_DATA: measured, never assumed.

Plates: photographs with a stated plate box (OpenALPR's US, EU and BR scenes, a Romanian dash camera). A plate is found when
at least 90 % of its box would be covered. There is no ground truth for faces in the clips, so it is said what can be: for the one
face of the head-pose clip, in how many of its pictures the followed box covers what the detector finds in that picture by itself
at twice the size; for the pedestrians, how many of the faces that this reference finds in single pictures are covered.
"""

import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2

from fairwitness.kit.video.clip import Cut
from fairwitness.kit.video.faces import Faces, Found
from fairwitness.kit.video.following import find
from fairwitness.kit.video.plates import Plates
from fairwitness.kit.video.regions import Box, where
from tests.testdata import data_dir

SECONDS = 10.0
DATA = data_dir() or Path("/nonexistent")
_SURE = 0.5  # of the reference: what it is not sure of is no truth


def plates() -> Iterator[tuple[str, Path, Box]]:
    """Yield (region, file, plate's box in pixels)."""
    folder = DATA / "lpr-images"
    for region in ("us", "eu", "br"):
        with (folder / f"openalpr-endtoend-{region}" / "groundtruth.csv").open() as rows:
            for row in csv.DictReader(rows):
                yield (
                    region,
                    folder / f"openalpr-endtoend-{region}" / row["file"],
                    Box(*(float(row[k]) for k in ("x", "y", "w", "h"))),
                )
    numbers = re.compile(r"<xmin>(.*?)</xmin>\s*<ymin>(.*?)</ymin>\s*<xmax>(.*?)</xmax>\s*<ymax>(.*?)</ymax>")
    for path in sorted((folder / "romanian-dashcam").glob("*.xml")):
        for left, top, right, bottom in (map(float, found.groups()) for found in numbers.finditer(path.read_text())):
            yield "dash camera", path.with_suffix(".jpg"), Box(left, top, right - left, bottom - top)


def part(truth: Box, box: Box) -> float:
    """Return the part of a box that another one covers."""
    across = min(truth.x + truth.width, box.x + box.width) - max(truth.x, box.x)
    down = min(truth.y + truth.height, box.y + box.height) - max(truth.y, box.y)
    return max(across, 0.0) * max(down, 0.0) / (truth.width * truth.height)


def grown(one: Found, grow: tuple[float, float]) -> Box:
    """Return a found box as it would be covered."""
    return Box(
        one.x - one.width * grow[0],
        one.y - one.height * grow[1],
        one.width * (1 + 2 * grow[0]),
        one.height * (1 + 2 * grow[1]),
    )


def of_plates() -> None:
    """Print recall, proposals too many and speed for plates."""
    finder = Plates()
    counts: dict[str, list[int]] = {}
    spent = 0.0
    for region, path, truth in plates():
        picture = cv2.imread(str(path))
        height, width = picture.shape[:2]
        begun = time.perf_counter()
        found = finder.find(picture)
        spent += time.perf_counter() - begun
        true = Box(truth.x / width, truth.y / height, truth.width / width, truth.height / height)
        shares = [part(true, grown(one, finder.grow)) for one in found]
        row = counts.setdefault(region, [0, 0, 0])
        row[0] += 1
        row[1] += max(shares, default=0.0) >= 0.9
        row[2] += sum(share < 0.5 for share in shares)
    for region, (all_, hit, other) in counts.items():
        print(f"plates {region:12} recall {hit}/{all_} = {hit / all_:.0%}, other writing {other / all_:.1f} a picture")
    total = [sum(row[n] for row in counts.values()) for n in range(3)]
    print(f"plates {'all':12} recall {total[1]}/{total[0]} = {total[1] / total[0]:.0%}, {spent / total[0]:.2f} s a picture")


def of_faces(name: str) -> None:
    """Print how much of what a slower look at every picture finds is covered, and the speed."""
    path = DATA / "video" / "surveillance" / name
    begun = time.perf_counter()
    tracks = [one.track for word in find(Cut(path, 0.0, SECONDS), seconds=1800) for one in word.found if one.kind == "face"]
    spent = time.perf_counter() - begun
    reference = Faces(1280)
    seen = covered = shown = 0
    last = 0.0
    with av.open(str(path)) as container:
        first = None
        for number, frame in enumerate(container.decode(video=0)):
            first = float(frame.time) if first is None else first
            last = float(frame.time) - first
            if last >= SECONDS:
                break
            if number % 5:
                continue
            shown += 1
            boxes = [box for box in (where(track, last) for track in tracks) if box is not None]
            for one in reference.find(frame.to_ndarray(format="bgr24")):
                if one.score >= _SURE:
                    seen += 1
                    covered += max((part(Box(one.x, one.y, one.width, one.height), box) for box in boxes), default=0.0) >= 0.9
    share = f"{covered}/{seen} = {covered / seen:.0%}" if seen else "the reference finds none"
    print(f"faces {name}: covered of the reference's in {shown} pictures {share}; {len(tracks)} tracks")
    print(f"      {spent:.1f} s for {min(last, SECONDS):.1f} s of footage")


def main(_arguments: list[str]) -> None:
    """Measure."""
    if not DATA.is_dir():
        print("no real data: set FAIRWITNESS_TEST_DATA")
        return
    of_plates()
    for name in ("head-pose-face-detection-female.gif", "vtest_first30s.avi", "car-detection.mp4"):
        of_faces(name)


if __name__ == "__main__":
    main([])
