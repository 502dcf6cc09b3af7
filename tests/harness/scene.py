"""The scene of every world: time, place, names, and what is asked."""

import h3

START = 1_800_000_000 - 1_800_000_000 % 86_400 + 9 * 3600  # 09:00 UTC of a day in January 2027
CENTRE = (37.8044, -122.2712)
HOMES = ("home-a", "home-b", "home-c", "home-d")
JOINED = ("home-a", "home-b", "home-c")
WITNESSES = ("press", "clinic", "library")
WINDOW = (START - 7200, START - 3600)
CANARY_CAMERA = "CANARYCAM-77310"
CANARY_PLACE = (37.8057, -122.2688)  # what the recording itself says; four digits is all that its tag holds
MESSAGE = (
    "Two people broke the rear window of a bakery near 5th and Main and carried off a cash drawer. "
    "Look for a red hatchback with a roof rack heading north."
)


def area(size: int = 7, shift: int = 0) -> list[str]:
    """An area of `size` connected cells around the centre, moved by `shift` cells."""
    middle = h3.latlng_to_cell(*CENTRE, 9)
    for _ in range(shift):
        middle = sorted(h3.grid_ring(middle, 3))[0]
    return sorted([middle, *sorted(h3.grid_ring(middle, 1))][:size] if size <= 7 else h3.grid_disk(middle, 2)[:size])
