"""Reading the shipped weights (weights/LICENCES.md says whose they are) for OpenCV's own runtime."""

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

type Picture = np.ndarray[Any, Any]
"""Rows of pixels, each blue, green, red; as displayed."""

SIDE: Final = 960
"""Pixels that a picture's longest side has when it is looked at."""
_FOLDER: Final = Path(__file__).with_name("weights")


@cache
def _weights(name: str, sha256: str) -> bytes:
    data = (_FOLDER / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RuntimeError(f"the weights {name} are not the ones that were shipped")
    return data


class Network:
    """A network for pictures of any size: made anew for each, because OpenCV's goes wrong when a size follows another."""

    def __init__(self, name: str, sha256: str) -> None:
        self._data = _weights(name, sha256)
        self._size: tuple[int, int] | None = None
        self._net: Any = None

    def run(self, blob: "np.ndarray[Any, Any]", outputs: list[str] | None = None) -> Any:
        """Return the outputs (the only one, where `outputs` is None) for a blob of one picture."""
        import cv2  # noqa: PLC0415 - the child's alone
        import numpy as np  # noqa: PLC0415

        size = (int(blob.shape[3]), int(blob.shape[2]))
        if size != self._size:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(self._data, np.uint8))
            self._size = size
        self._net.setInput(blob)
        return self._net.forward() if outputs is None else self._net.forward(outputs)


def fitted(picture: "Picture", side: int) -> tuple[int, int]:
    """Return the width and height, multiples of 32, at which a picture is looked at: its longest side is about `side`."""
    height, width = picture.shape[:2]
    scale = side / max(width, height)
    return max(round(width * scale / 32), 1) * 32, max(round(height * scale / 32), 1) * 32
