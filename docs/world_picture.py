"""Draws `docs/world.jpg`, what drawn scenes look like: `python docs/world_picture.py`."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from uhrqa.geometry import Box, Size
from uhrqa.synth import draw_scene, render
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.splits import scene_seed

SIDE, SHOWN, ROWS = 6000, 300, 4


def window(scene: SceneTruth, x: float, y: float, reach: float) -> np.ndarray:
    """A square around a point."""
    return render(scene, Box(x - reach, y - reach, x + reach, y + reach), Size(SHOWN, SHOWN))


def main() -> None:
    """A row a scene: the whole, two of its sites, and the ground at full resolution."""
    rows = []
    index = 0
    while len(rows) < ROWS:
        scene = draw_scene(scene_seed("demo", 900 + index), SIDE)
        index += 1
        full = [site for site in scene.sites if site.things]
        if len(full) < 2 or len(scene.zones) < 2:
            continue
        parts = [render(scene, Box.whole(scene.size), Size(SHOWN, SHOWN))]
        parts += [window(scene, site.x, site.y, 1.4 * site.radius) for site in full[:2]]
        parts.append(window(scene, SIDE / 2, SIDE / 2, SHOWN / 2))
        rows.append(np.concatenate(parts, 1))
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.save(Path(__file__).with_name("world.jpg"), quality=80)


if __name__ == "__main__":
    sys.exit(main())
