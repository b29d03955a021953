"""Seconds and memory of a 7B LLaVA-NeXT on one GPU, without its weights.

    python -m benchmarks.gpu [--card llava-v1.6-mistral-7b] [-b 1000 4000] [--repeats 3]

Random weights of the card's shape time like real ones; the answers mean nothing. `--device cpu
--layers 2` tries the script itself on any machine.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from uhrqa.answer import ask
from uhrqa.errors import UhrqaError
from uhrqa.raster import open_raster
from uhrqa.synth import draw_scene, write_scene
from uhrqa.vlm.card import load_card
from uhrqa.vlm.families import CLIP
from uhrqa.vlm.llava import Llava
from uhrqa.vlm.loading import weights_of
from uhrqa.vlm.tokenizing import load_tokenizer

QUESTION = "how many ships are there?"
STAGES = ("read", "encode", "relevance", "select", "prefill", "decode")


def random_model(name: str, device: str, layers: int | None) -> Llava:
    """A model of a card's shape with random bfloat16 weights and the embedded tokenizer."""
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

    from uhrqa.relevance import probed_name

    card, tokenizer = load_card(name), load_tokenizer(weights_of(load_card("tiny")))
    raw: dict[str, Any] = {key: value for key, value in card.config.items() if key != "model_type"}
    if layers:
        raw["text_config"] = {**raw["text_config"], "num_hidden_layers": layers}
    config: Any = LlavaNextConfig(**raw)
    config.image_token_index = tokenizer.convert_tokens_to_ids("<image>")
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            kind: Any = LlavaNextForConditionalGeneration
            model = kind(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(previous)
    model.get_decoder().set_attn_implementation(probed_name("sdpa"))
    mean, std = (torch.tensor(part, device=device).view(3, 1, 1) for part in CLIP)
    return Llava(card, model, tokenizer, mean, std)


def main() -> None:
    """Print one row for each strategy and budget: the fastest of some repeats, after a warm-up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--card", default="llava-v1.6-mistral-7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("-b", "--budget", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("-s", "--strategy", nargs="+", default=["rfm-dip", "region-merge"])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    model = random_model(given.card, given.device, given.layers)
    name = torch.cuda.get_device_name() if given.device.startswith("cuda") else "CPU"
    print(f"{given.card}, random weights, {name}, {given.side} px; seconds, fastest of repeats")
    print(("{:>14} {:>6} {:>6}" + " {:>9}" * 8).format(
        "strategy", "budget", "tiles", *STAGES, "TFLOPs", "GB"))  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "scene.tif"
        write_scene(draw_scene(7, given.side), path)
        for strategy in given.strategy:
            for budget in given.budget:
                print_row(model, path, strategy, budget, given.repeats)


def print_row(model: Llava, path: Path, strategy: str, budget: int, repeats: int) -> None:
    """Ask one warm-up question and some more; print the fastest."""
    runs = []
    for _ in range(repeats + 1):
        with open_raster(path) as raster:
            try:
                answer = ask(raster, QUESTION, model=model, strategy=strategy, budget=budget)
                runs.append(answer)
            except UhrqaError as error:
                print(f"{strategy:>14} {budget:6d} {error}")
                return
    best = min(runs[1:], key=lambda run: sum(run.seconds.values()))
    seconds = "".join(f" {best.seconds[stage]:9.3f}" for stage in STAGES)
    memory = (best.device_memory or best.peak_memory) / 1e9
    print(f"{strategy:>14} {budget:6d} {best.counts.tiles_encoded:6d}{seconds} "
          f"{best.cost.tera():9.2f} {memory:9.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
