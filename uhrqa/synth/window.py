"""Any window of a scene at any scale, without drawing the rest of it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from uhrqa.geometry import Box, Size
from uhrqa.synth.land import paint_land
from uhrqa.synth.scene import SceneTruth, Site
from uhrqa.synth.shapes import Brush, draw_thing
from uhrqa.synth.sites import draw_site

SUPERSAMPLING = 3
SITE_REACH = 2.3  # a site's farthest stroke (its river) in radii
ROAD_SHARE = 0.0035  # a road's width / the scene's longer side
_TONES = ((36, 66, 34), (112, 104, 92), (64, 84, 40))
_ROAD = (108, 104, 100)


def render(scene: SceneTruth, box: Box, out: Size) -> np.ndarray:
    """The pixels of a box.

    Args:
        scene: what to draw.
        box: source pixels; may pass the scene's edge, where the ground goes on.
        out: size of the result.

    Returns:
        `[h, w, 3]` uint8. A window of a larger render is that render's crop, but for rounding.
    """
    land = np.clip(paint_land(scene, box, out), 0, 255).astype(np.uint8)
    reach = scene.unit * 2.5
    near = Box(box.x0 - reach, box.y0 - reach, box.x1 + reach, box.y1 + reach)
    sites = [site for site in scene.sites if _touches(site, box)]
    clutter = [c for c in scene.clutter if _holds(near, c.x, c.y)]
    if not (sites or clutter or scene.roads):
        return np.asarray(land)
    canvas = Image.fromarray(land).resize(
        (out.w * SUPERSAMPLING, out.h * SUPERSAMPLING), Image.Resampling.NEAREST
    )
    zoom = (canvas.width / box.w, canvas.height / box.h)
    draw = ImageDraw.Draw(canvas)
    brush = Brush(draw, zoom, box.x0, box.y0)
    width = max(1, round(ROAD_SHARE * max(scene.size) * zoom[0]))
    for road in scene.roads:
        line = [((x - box.x0) * zoom[0], (y - box.y0) * zoom[1]) for x, y in road]
        draw.line(line, fill=_ROAD, width=width)
    for spot in clutter:
        if spot.radius * zoom[0] > 0.7:
            brush.at(spot.x, spot.y, 0.0, spot.radius).disc(0, 0, 1.0, _TONES[spot.tone])
    for site in sites:
        draw_site(brush, site)
        for index in site.things:
            draw_thing(brush, scene.things[index])
    return np.asarray(canvas.reduce(SUPERSAMPLING))


def _touches(site: Site, box: Box) -> bool:
    reach = site.radius * SITE_REACH
    return (
        site.x + reach > box.x0
        and site.x - reach < box.x1
        and site.y + reach > box.y0
        and site.y - reach < box.y1
    )


def _holds(box: Box, x: float, y: float) -> bool:
    return box.x0 < x < box.x1 and box.y0 < y < box.y1
