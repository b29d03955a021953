"""All that is true of a scene, JSON-ready."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from uhrqa.synth.lrs_vqa import hbox, rbox
from uhrqa.synth.scene import SceneTruth


def truth_record(scene: SceneTruth) -> dict[str, Any]:
    """Objects, sites, counts, land and light; boxes in source pixels."""
    return {
        "seed": scene.seed,
        "image_size": [scene.size.w, scene.size.h],
        "unit_px": round(scene.unit, 3),
        "light": asdict(scene.light),
        "land": {name: round(share, 4) for name, share in scene.shares.items()},
        "area": "urban" if scene.is_urban else "rural",
        "counts": dict(sorted(Counter(thing.kind for thing in scene.things).items())),
        "sites": [
            {
                "kind": site.kind,
                "place": site.place,
                "surface": site.surface,
                "at_sea": site.at_sea,
                "hbox": hbox(site.box, scene.size),
                "objects": list(site.things),
            }
            for site in scene.sites
        ],
        "objects": [
            {
                "kind": thing.kind,
                "color": thing.colour,
                "status": thing.state or None,
                "shape": thing.shape or None,
                "length_px": round(thing.length, 2),
                "site": thing.site,
                "hbox": hbox(thing.box, scene.size),
                "rbox": rbox(thing),
            }
            for thing in scene.things
        ],
    }
