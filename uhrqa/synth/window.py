"""Any window of a scene at any scale, without drawing the rest of it."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from uhrqa.geometry import Box, Size
from uhrqa.synth.clutter import draw_clutter
from uhrqa.synth.land import expose, paint_land
from uhrqa.synth.scene import SceneTruth, Site
from uhrqa.synth.shapes import Brush, draw_thing
from uhrqa.synth.sites import draw_site

SUPERSAMPLING = 3
SITE_REACH = 2.3  # a site's farthest stroke (its river) in radii
ROAD_SHARE = 0.0022  # a road's width / the scene's longer side
_ROAD, _VERGE, _MARK = (112, 110, 108), (138, 132, 116), (196, 194, 186)


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
    sites = [site for site in scene.sites if _touches(site, box)]
    least = 1.5 * box.w / out.w  # source pixels: shorter clutter cannot be seen
    clutter = [c for c in scene.clutter if c.length > least and _near(box, c.x, c.y, 2 * c.length)]
    if not (sites or clutter or scene.roads):
        return expose(scene, land, box)
    canvas = Image.fromarray(land).resize(
        (out.w * SUPERSAMPLING, out.h * SUPERSAMPLING), Image.Resampling.NEAREST
    )
    zoom = (canvas.width / box.w, canvas.height / box.h)
    draw = ImageDraw.Draw(canvas)
    light = scene.light
    shadow = (light.reach * math.cos(light.sun), light.reach * math.sin(light.sun))
    brush = Brush(draw, zoom, box.x0, box.y0, shadow)
    _draw_roads(scene, brush)
    for spot in clutter:
        draw_clutter(brush, spot)
    for site in sites:
        draw_site(brush, site)
        for index in site.things:
            thing = scene.things[index]
            if _near(box, thing.x, thing.y, 2 * thing.length):
                draw_thing(brush, thing)
    return expose(scene, np.asarray(canvas.reduce(SUPERSAMPLING)), box)


def _draw_roads(scene: SceneTruth, brush: Brush) -> None:
    """Roads with verges, and a line along their middle where they are wide enough."""
    width = ROAD_SHARE * max(scene.size) * brush.zoom[0]
    for colour, share in ((_VERGE, 1.5), (_ROAD, 1.0), (_MARK, 0.07)):
        stroke = round(share * width)
        if stroke < 1 and share < 1:
            continue
        for road in scene.roads:
            line = [((x - brush.x0) * brush.zoom[0], (y - brush.y0) * brush.zoom[1])
                    for x, y in road]  # fmt: skip
            brush.draw.line(line, fill=colour, width=max(1, stroke), joint="curve")


def _touches(site: Site, box: Box) -> bool:
    return _near(box, site.x, site.y, site.radius * SITE_REACH)


def _near(box: Box, x: float, y: float, reach: float) -> bool:
    return box.x0 - reach < x < box.x1 + reach and box.y0 - reach < y < box.y1 + reach
