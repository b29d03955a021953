"""Seconds and memory of models of 7B and 8B on one GPU, without their weights, beside the floor.

    python -m benchmarks.gpu [-m llava-next-7b qwen3-vl-8b] [-b 1000 4000] [-s rfm-dip region-merge]
        [--side 8192] [--repeats 3] [--no-plain] [--no-compile]

A drawn scene as a tiled TIFF with overviews, in the page cache. Rows, all run in turn:

- `in turn`: nothing encoded yet; tiles are read, then encoded.
- `ahead`: the same, tiles read by a thread while those before them are encoded: what is used on a
  GPU. The line below says how much of the reading that hid.
- `warm`: another question behind it; only tiles that it alone looks at are encoded.
- `floor`: of the row above it, by stage.
- `plain`: the released procedure as `benchmarks.plain` writes it, once.

Milliseconds are those of the fastest of some repeats, by stage; `read` is the time that is waited
for tiles. The floor is what `benchmarks.gpu_rates` makes of the rates it measures in the same run,
`share` the part of the time that it explains. Random weights time like real ones; answers mean
nothing. `--device cpu --small` tries the script itself on any machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.gpu_decode import print_decoding
from benchmarks.gpu_models import SHAPES, random_model
from benchmarks.gpu_rates import Limits, floor, measure
from benchmarks.plain import ask_plainly
from uhrqa.account import Answer
from uhrqa.answer import ask
from uhrqa.errors import UhrqaError
from uhrqa.features import FeatureCache
from uhrqa.synth import draw_scene, write_scene
from uhrqa.vlm.family import Family

QUESTIONS = ("how many ships are there?", "is there a tank?")
STAGES = ("read", "encode", "relevance", "select", "prefill", "decode")
BUDGETS = (1000, 2000, 4000, 8000, 12000)
WAYS = {"in turn": 0, "ahead": 2}  # batches read ahead
ANSWER = 32  # tokens at most


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rows of a model share.

    Attributes:
        model: that answers.
        limits: of its device.
        path: of the scene.
        repeats: of each way, behind one that is not counted.
    """

    model: Family
    limits: Limits
    path: Path
    repeats: int

    def run(self, strategy: str, budget: int) -> dict[str, list[Answer]]:
        """Answers by way, run in turn."""
        found: dict[str, list[Answer]] = {way: [] for way in (*WAYS, "warm")}
        for run in range(self.repeats + 1):
            for way in WAYS if run % 2 else reversed(WAYS):
                features = FeatureCache()
                found[way].append(self._ask(0, strategy, budget, features, WAYS[way]))
            found["warm"].append(self._ask(1, strategy, budget, features, None))
        return {way: answers[1:] for way, answers in found.items()}

    def _ask(
        self,
        question: int,
        strategy: str,
        budget: int,
        features: FeatureCache,
        ahead: int | None,
    ) -> Answer:
        return ask(
            self.path,
            QUESTIONS[question],
            model=self.model,
            strategy=strategy,
            budget=budget,
            features=features,
            ahead=ahead,
            max_new_tokens=ANSWER,
        )

    def print_rows(self, strategy: str, budget: int) -> None:
        """Our rows, or why there are none, and how much reading was hidden."""
        try:
            found = self.run(strategy, budget)
        except (UhrqaError, torch.OutOfMemoryError) as error:
            print(f"{strategy:>12} {budget:6d} {str(error).splitlines()[0]}", flush=True)
            return
        best = {way: min(runs, key=seconds_of) for way, runs in found.items()}
        for way, answer in best.items():
            least = floor(answer, self.model, self.limits)
            print_row(strategy, budget, way, answer, sum(least.values()))
            if way != "in turn":  # which has the same
                stages = "".join(f" {1000 * least[stage]:9.2f}" for stage in STAGES)
                print(f"{strategy:>12} {budget:6d} {'floor':>7} {'':6}{stages}", flush=True)
        plain, ahead = (best[way] for way in WAYS)
        kept = [str(answer.evidence) for answer in (plain, ahead)]
        print(f"  reading hidden behind encoding: {_hidden(plain, ahead):.0%}; "
              f"{seconds_of(plain) / seconds_of(ahead):.2f} x; "
              f"same tokens: {kept[0] == kept[1]}", flush=True)  # fmt: skip

    def print_plain(self, strategy: str, budget: int) -> None:
        """Time of the released procedure, written plainly."""
        begin = time.perf_counter()
        try:
            ask_plainly(self.path, strategy, self.model, budget)
        except (UhrqaError, torch.OutOfMemoryError) as error:
            print(f"{strategy:>12} {budget:6d}   plain {str(error).splitlines()[0]}", flush=True)
            return
        taken = time.perf_counter() - begin
        print(
            f"{strategy:>12} {budget:6d} {'plain':>7}" + " " * 68 + f"{1000 * taken:9.2f}",
            flush=True,
        )


def seconds_of(answer: Answer) -> float:
    """Of all stages."""
    return sum(answer.seconds.values())


def _hidden(plain: Answer, ahead: Answer) -> float:
    read = plain.seconds["read"]
    return 1 - ahead.seconds["read"] / read if read else 0.0


def print_row(strategy: str, budget: int, way: str, answer: Answer, least: float) -> None:
    """One way of one budget."""
    stages = "".join(f" {1000 * answer.seconds[stage]:9.2f}" for stage in STAGES)
    total, memory = seconds_of(answer), (answer.device_memory or answer.peak_memory) / 1e9
    print(f"{strategy:>12} {budget:6d} {way:>7} {answer.counts.tiles_encoded:6d}{stages} "
          f"{1000 * total:9.2f} {1000 * least:9.2f} {least / total:6.0%} {answer.cost.tera():8.2f} "
          f"{memory:7.2f}", flush=True)  # fmt: skip


def print_limits(limits: Limits) -> None:
    """What the device could do at best."""
    print(f"limits: {limits.flops / 1e12:.1f} TFLOP/s, memory {limits.memory / 1e9:.0f} GB/s, "
          f"tiles to the device {limits.copied / 1e9:.1f} GB/s pinned, "
          f"{limits.pageable / 1e9:.1f} GB/s not")  # fmt: skip
    if limits.hidden is not None:
        print(f"of a copy {limits.hidden:.0%} are hidden behind a product on another stream")


def bench_model(name: str, given: argparse.Namespace, path: Path) -> None:
    """All rows of a model."""
    model = random_model(name, given.device, small=given.small)
    limits = measure(model.device, model.card.tile)
    print(f"\n{name}{' (small)' if given.small else ''}, random weights, {given.side} px")
    print_limits(limits)
    heads = (
        "strategy",
        "budget",
        "way",
        "tiles",
        *STAGES,
        "total",
        "floor",
        "share",
        "TFLOPs",
        "GB",
    )
    print(("{:>12} {:>6} {:>7} {:>6}" + " {:>8}" * 8 + " {:>6} {:>8} {:>7}").format(*heads))
    bench = Bench(model, limits, path, given.repeats)
    for strategy in given.strategy:
        for budget in given.budget:
            bench.print_rows(strategy, budget)
            if given.plain:
                bench.print_plain(strategy, budget)
    print("decoding:")
    for budget in sorted({given.budget[0], given.budget[-1]}):
        print_decoding(model, budget, compiling=given.compile)


def main(args: Sequence[str] | None = None) -> None:
    """Print limits, rows and ways of decoding for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="models with next to nothing in them")
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("-b", "--budget", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("-s", "--strategy", nargs="+", default=["rfm-dip", "region-merge"])
    parser.add_argument("--repeats", type=int, default=3)
    for name in ("plain", "compile"):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args(args)
    on_gpu = given.device.startswith("cuda")
    if on_gpu and (torch.device(given.device).index or 0) >= torch.cuda.device_count():
        parser.error("no CUDA device here; --device cpu --small tries the script itself")
    warnings.simplefilter("ignore")
    card = torch.cuda.get_device_name(given.device) if on_gpu else "CPU"
    print(f"{card}, torch {torch.__version__}; milliseconds, fastest of {given.repeats}")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "scene.tif"
        write_scene(draw_scene(7, given.side), path)
        for name in given.model:
            bench_model(name, given, path)


if __name__ == "__main__":
    main()
