"""What can stand in a drawn scene: kinds of objects, their colours and the grounds they stand on.

Plain tables: nothing here draws, and nothing knows of questions.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "white": (242, 242, 240),
    "red": (204, 42, 38),
    "blue": (44, 84, 200),
    "green": (34, 138, 62),
    "yellow": (240, 208, 40),
    "black": (26, 26, 30),
    "orange": (238, 128, 28),
    "brown": (124, 76, 42),
    "gray": (136, 138, 142),
}

SURFACES: dict[str, Colour] = {
    "concrete": (190, 188, 182),
    "grass": (112, 150, 74),
    "sand": (214, 192, 140),
    "asphalt": (84, 86, 90),
    "water": (52, 92, 124),
}

ZONES = ("sea", "town", "farm", "forest")
"""What covers the land between sites."""

SEASONS: dict[str, dict[str, Colour]] = {
    "spring": {"sea": (44, 82, 104), "town": (132, 128, 120), "farm": (118, 132, 76),
               "forest": (72, 96, 52)},
    "summer": {"sea": (36, 74, 100), "town": (138, 132, 124), "farm": (140, 136, 88),
               "forest": (54, 80, 46)},
    "autumn": {"sea": (46, 74, 92), "town": (128, 122, 116), "farm": (146, 124, 84),
               "forest": (104, 86, 48)},
    "dry": {"sea": (50, 88, 106), "town": (156, 146, 130), "farm": (172, 152, 110),
            "forest": (92, 94, 60)},
}  # fmt: skip
"""Mean colour of each zone by season."""

PLACES = (
    "top left",
    "top center",
    "top right",
    "center left",
    "center",
    "center right",
    "bottom left",
    "bottom center",
    "bottom right",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object and the site it is found on.

    Attributes:
        name: singular, as questions say it.
        plural: plural.
        colours: names from `COLOURS` it comes in.
        surfaces: names from `SURFACES` its site may have.
        length: longer side, in units of the scene's object size.
        aspect: shorter side / longer side.
        most: the most objects one site holds; kinds that come in crowds have up to `CROWD`.
        states: what `status` may say; empty when it has none.
        shapes: what `shape` may say; empty when it has none.
        purpose: what its site is used for.
        crowds: whether a site may hold a crowd.
    """

    name: str
    plural: str
    colours: tuple[str, ...]
    surfaces: tuple[str, ...]
    length: float
    aspect: float
    purpose: str
    most: int = 8
    states: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    crowds: bool = True


CROWD = 40  # the most objects of one kind that a site holds, that are counted or told apart
NO_COLOUR = "swimming pool"  # the kind whose colour is that of water

_LAND = ("concrete", "grass", "sand", "asphalt")

KINDS: tuple[Kind, ...] = (
    Kind(
        "ship", "ships", ("white", "red", "orange", "black"), ("water",), 1.7, 0.34, "shipping",
        states=("moving", "anchored"),
    ),
    Kind(
        "airplane", "airplanes", ("white", "blue", "red", "yellow"),
        ("concrete", "grass", "asphalt"), 1.8, 0.9, "aviation",
    ),
    Kind(
        "storage tank", "storage tanks", ("white", "green", "red", "brown"), _LAND, 1.3, 1.0,
        "storage", states=("open", "closed"),
    ),
    Kind(
        "bridge", "bridges", ("gray", "red", "white"), ("water",), 2.4, 0.34, "crossing",
        most=3, crowds=False,
    ),
    Kind(
        "tennis court", "tennis courts", ("green", "blue", "red"), ("concrete", "sand", "asphalt"),
        1.7, 0.56, "sports",
    ),
    Kind("car", "cars", ("white", "red", "blue", "yellow"), _LAND, 0.85, 0.5, "parking"),
    Kind(
        "swimming pool", "swimming pools", ("blue", "green"), _LAND, 1.4, 0.6, "leisure",
        shapes=("rectangular", "round", "l-shaped"),
    ),
    Kind(
        "house", "houses", ("red", "gray", "blue", "brown"), ("grass", "sand", "concrete"),
        1.5, 0.7, "housing", shapes=("rectangular", "l-shaped"),
    ),
    Kind(
        "stadium", "stadiums", ("white", "gray", "red", "blue"), ("concrete", "asphalt", "grass"),
        4.2, 0.76, "events", most=2, shapes=("oval", "rectangular"), crowds=False,
    ),
)  # fmt: skip

BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}
STATES: tuple[str, ...] = tuple(
    word for kind in KINDS for word in kind.states
)  # "moving", "anchored", "open", "closed"
SHAPES: tuple[str, ...] = ("rectangular", "round", "l-shaped", "oval")
