"""Seconds and memory of choosing among 131,328 tokens of width 3584 on a CPU.

    python -m benchmarks.selection [-s NAME ...] [-b TOKENS] [--lloyd]

An image of 4032 px seen by UHR-BAT's card: views of 2,304, 9,216, 36,864 and 82,944 tokens, or the
pyramid of strategies that use one. Features are drawn (patches of land cover, each with its own
vector, under light that varies smoothly and noise) and so is the attention; nothing is read,
encoded or answered. Each strategy runs in a process of its own, with one thread; seconds are CPU
seconds. `--lloyd` also times a few iterations of plain Lloyd with 600 regions in every view and
scales them to 100, and counts the tokens region-merge keeps that it would keep with up to 100
iterations of plain Lloyd: on the drawn features, and on those of the embedded model, whose width of
160 is treated like a larger one.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from uhrqa.budget import Budget
from uhrqa.features import EncodedTile
from uhrqa.geometry import Size
from uhrqa.ledger import Ledger
from uhrqa.machine import peak_memory
from uhrqa.outline import outline
from uhrqa.planned import PlannedEncoder, PlannedModel, PlannedRaster, PlannedScene
from uhrqa.pyramid import Level, Tile
from uhrqa.scene import Scene
from uhrqa.selection import Selection, select
from uhrqa.strategies import STRATEGIES, make_strategy
from uhrqa.strategies.views import views_of
from uhrqa.vlm import Sequence
from uhrqa.vlm.card import load_card

SIDE, WIDTH, PATCHES, KINDS, NOISE = 4032, 3584, 300, 24, 0.3
FIELDS, SMOOTH = 128, 0.3
QUESTION_TOKENS = 32
KEYS = 64  # width of what a tower says of a token
REGIONS = 600
TIMED = 3  # iterations of plain Lloyd


class DrawnEncoder(PlannedEncoder):
    """Draws the features of tiles: patches of land cover, each with a vector of its own."""

    def __init__(self, *parts: Any) -> None:  # noqa: ANN401 - as `TileEncoder` takes them
        super().__init__(*parts)
        self.drawing = 0.0  # CPU seconds
        source = torch.Generator().manual_seed(0)
        self._seeds = torch.rand(PATCHES, 2, generator=source) * SIDE
        kinds = torch.randn(KINDS, WIDTH, generator=source)
        own = 0.4 * torch.randn(PATCHES, WIDTH, generator=source)
        self._waves = 12 * torch.randn(2, FIELDS, generator=source)
        falling = torch.arange(1, FIELDS + 1) ** -0.7
        fields = torch.randn(FIELDS, WIDTH, generator=source)
        self._fields = SMOOTH * math.sqrt(2) * (falling / falling.norm())[:, None] * fields
        self._vectors = kinds[torch.randint(KINDS, (PATCHES,), generator=source)] + own

    def encode(
        self, level: Level, tiles: Collection[Tile], *, masked: bool = False, watch: bool = False
    ) -> tuple[dict[Tile, EncodedTile], list[Tile]]:
        """All of the tiles, drawn where they were not before."""
        with self.ledger.stage("encode"):
            return {tile: self._draw(level, tile, watch) for tile in tiles}, list(tiles)

    def _light(self, places: Tensor) -> Tensor:
        """`[N, D]` what varies smoothly over the image."""
        light: Tensor = (places @ self._waves).cos() @ self._fields
        return light

    def _draw(self, level: Level, tile: Tile, watch: bool) -> EncodedTile:
        key = self.key(level, tile)
        found = self.features.get(key)
        if found is None or (watch and found.traits is None):
            start = time.process_time()
            side = self.side(level)
            bare, order = outline(level, [tile], self.cell(level), side)
            source = torch.Generator().manual_seed(hash((level.size, tile.row, tile.col)))
            drawn = NOISE * torch.randn(side * side, WIDTH, generator=source)
            patch = torch.cdist(bare.centres(), self._seeds).argmin(1)
            drawn[order] += self._vectors[patch] + self._light(bare.centres() / SIDE)
            traits = torch.rand(side, side, 1 + KEYS, generator=source) if watch else None
            found = EncodedTile(drawn.bfloat16().view(side, side, -1), None, traits)
            self.features.put(key, found)
            self.drawing += time.process_time() - start
        return found


class DrawnScene(PlannedScene):
    """A scene of drawn features."""

    encoder_type = DrawnEncoder
    _encoder: DrawnEncoder
    _clustered = Scene._clustered  # there are features to cluster

    def __init__(self, budget: Budget) -> None:
        model = DrawnModel(load_card("uhr-bat"), QUESTION_TOKENS)
        super().__init__(PlannedRaster(Size(SIDE, SIDE)), model, "?", max_tiles=budget.tiles)

    @property
    def drawing(self) -> float:
        """CPU seconds that went into drawing."""
        return self._encoder.drawing


class DrawnModel(PlannedModel):
    """Attention with a few wide peaks and noise, the same for every pass of a length."""

    def attend(
        self,
        sequence: Sequence,
        *,
        layer: int | None,
        rows: Tensor,
        columns: Tensor,
        blank: Tensor | None = None,
    ) -> Tensor:
        """`[N]` scores that sum to 1."""
        source = torch.Generator().manual_seed(len(columns))
        side = math.ceil(math.sqrt(len(columns)))
        coarse = torch.randn(1, 1, 6, 6, generator=source)
        smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").flatten()
        noise = 0.5 * torch.randn(side * side, generator=source)
        return (3 * smooth + noise)[: len(columns)].softmax(0)


def run(name: str, options: dict[str, Any], budget: Budget) -> tuple[Selection, Ledger, float]:
    """A selection, what it saw, and its CPU seconds without those of drawing features."""
    scene = DrawnScene(budget)
    start = time.process_time()
    selection = select(make_strategy(name, options), scene, budget)
    return selection, scene.ledger, time.process_time() - start - scene.drawing


def measure(name: str, budget: Budget) -> dict[str, Any]:
    """What one strategy takes, in this process."""
    selection, ledger, seconds = run(name, {}, budget)
    peak = peak_memory() / 2**30
    kept, seen = len(selection.tokens), sum(ledger.seen.values())
    return {"kept": kept, "seen": seen, "seconds": seconds, "peak": peak}


def measure_lloyd(budget: Budget) -> dict[str, Any]:
    """Plain Lloyd on all features: CPU seconds of a pass over the tokens, and of 100 iterations."""
    from uhrqa.regions import kmeans_regions

    scene, spent = DrawnScene(budget), 0.0
    for view in views_of(scene, None, "default"):
        tokens = scene.tokens(view)
        places = tokens.centres() / SIDE
        start = time.process_time()
        kmeans_regions(tokens.embed, places, REGIONS, seed=0, iterations=TIMED, plain=True)
        spent += time.process_time() - start
    each = spent / (TIMED + 1)  # the start takes a pass, too
    return {"each": each, "seconds": 101 * each}


def single(selection: Selection) -> set[tuple[float, ...]]:
    """Boxes of the tokens that are kept as they are, not merged."""
    return set(map(tuple, selection.tokens.box[selection.tokens.weight == 1].tolist()))


def same_share(budget: Budget) -> dict[str, Any]:
    """Seconds of region-merge, and the share it keeps of what plain Lloyd makes it keep."""
    found = {}
    for way in ("kmeans", "lloyd"):
        selection, _, seconds = run("region-merge", {"regions": REGIONS, "partition": way}, budget)
        found[way] = single(selection), seconds
    (ours, spent), (theirs, longer) = found["kmeans"], found["lloyd"]
    return {"seconds": spent, "longer": longer, "same": len(ours & theirs) / len(theirs)}


def embedded_share(budget: Budget) -> dict[str, Any]:
    """The same share on the embedded model's features of a held-out scene, as many tokens."""
    from uhrqa import regions
    from uhrqa.evaluation.source import Source
    from uhrqa.vlm import load_model

    regions.WIDE = 0
    model, subject, kept = load_model("tiny"), next(Source(1).subjects()), []
    for way in ("kmeans", "lloyd"):
        options = {"regions": REGIONS, "partition": way, "scales": (672, 1344, 2688, 4032)}
        with subject.open() as raster:
            scene = Scene(raster, model, subject.cases[0].text)
            kept.append(single(select(make_strategy("region-merge", options), scene, budget)))
    return {"same": len(kept[0] & kept[1]) / len(kept[1])}


def main() -> None:
    """Print a row a strategy, and what plain Lloyd takes if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-s", "--strategy", nargs="+", default=list(STRATEGIES))
    parser.add_argument("-b", "--budget", type=int, default=3000)
    parser.add_argument("--lloyd", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    budget = Budget(options.budget)
    torch.set_num_threads(1)
    if options.inside:
        print(json.dumps(_inside(options.inside, budget)))
        return
    print(f"{'strategy':>16} {'seen':>8} {'kept':>6} {'seconds':>8} {'peak GiB':>8}")
    for name in options.strategy:
        row = _child(name, options.budget)
        if "error" in row:
            print(f"{name:>16} {row['error']}")
            continue
        print(
            f"{name:>16} {row['seen']:8d} {row['kept']:6d} {row['seconds']:8.2f} "
            f"{row['peak']:8.2f}",
            flush=True,
        )
    if options.lloyd:
        plain = _child("lloyd", options.budget)
        print(f"plain Lloyd, k = 600: {plain['each']:.2f} s an iteration, {plain['seconds']:.0f} s "
              f"for 100 (scaled from {TIMED})", flush=True)  # fmt: skip
        ours = _child("same", options.budget)
        print(f"region-merge, regions=600: {ours['seconds']:.2f} s in all, "
              f"{plain['seconds'] / ours['seconds']:.1f} times less; {ours['same']:.1%} of the "
              f"tokens kept with plain Lloyd ({ours['longer']:.0f} s)", flush=True)  # fmt: skip
        ours = _child("embedded", options.budget)
        print(f"the embedded model's features: {ours['same']:.1%}")


def _inside(name: str, budget: Budget) -> dict[str, Any]:
    from uhrqa.errors import UhrqaError

    try:
        if name == "lloyd":
            return measure_lloyd(budget)
        if name == "same":
            return same_share(budget)
        if name == "embedded":
            return embedded_share(budget)
        return measure(name, budget)
    except UhrqaError as error:
        return {"error": str(error)}


def _child(name: str, budget: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.selection", "--inside", name, "-b", str(budget)]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


if __name__ == "__main__":
    main()
