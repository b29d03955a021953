"""Evidence on a map: the boxes of an answer as GeoJSON polygons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from uhrqa.cli.files import write_text

if TYPE_CHECKING:
    from uhrqa.answer import Answer


def write_geojson(answer: Answer, path: str) -> None:
    """Write a FeatureCollection with a polygon for each piece of evidence (RFC 7946).

    Args:
        answer: about an image whose place on the ground is known.
        path: of the file, which is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "level": entry.level,
                "relevance": entry.relevance,
                "weight": entry.weight,
                "box": [round(edge, 2) for edge in entry.box],
            },
        }
        for entry, ring in zip(answer.evidence, answer.lonlat() or (), strict=True)
    ]
    collection = {
        "type": "FeatureCollection",
        "features": features,
        "answer": answer.text,
        "question": answer.question,
        "image": answer.image,
    }
    write_text(Path(path), json.dumps(collection, ensure_ascii=False) + "\n")
