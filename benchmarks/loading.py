"""Memory and seconds for loading a large checkpoint, and for looking it through.

    python -m benchmarks.loading [--layers 22] [--dtype bfloat16]

Writes random bfloat16 weights of the LLaVA-NeXT class in shards to a temporary directory, 3.2 GB
unless other layers are asked for, and loads them in a fresh process. Prints the peak of that
process's memory, all of Python and the libraries included, over the checkpoint's bytes. On a CPU
the default precision is float32, twice the bytes of a bfloat16 file, so half precision is asked
for here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uhrqa.machine import peak_memory, resident_memory

BAR = 1.15  # most bytes of memory for a byte of checkpoint
LAYERS = 22
SHARD = "500MB"
TOWER = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
         "num_hidden_layers": 23}  # fmt: skip
DECODER = {"hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 16,
           "num_key_value_heads": 4, "vocab_size": 32000}  # fmt: skip


def write(path: Path, layers: int) -> None:
    """A checkpoint of random weights."""
    import torch
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

    from tests.checkpoints import make_checkpoint

    make_checkpoint(path)
    (path / "model.safetensors").unlink()
    config: Any = LlavaNextConfig.from_pretrained(path)
    config.vision_config.update(TOWER)
    kinds = ["full_attention"] * layers
    config.text_config.update({**DECODER, "num_hidden_layers": layers, "layer_types": kinds})
    torch.set_default_dtype(torch.bfloat16)
    model = LlavaNextForConditionalGeneration(config)
    model.save_pretrained(path, max_shard_size=SHARD)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds."""
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def load(path: Path, dtype: str) -> dict[str, Any]:
    """Load in this process, and say what it took."""
    from uhrqa.vlm import load_model, loading
    from uhrqa.vlm.card import load_card
    from uhrqa.vlm.report import inspect_checkpoint

    load_model("tiny", device="cpu")  # so that the libraries are there
    libraries = resident_memory()
    model: Any
    model, seconds = timed(lambda: load_model(str(path), device="cpu", dtype=dtype))
    peak = peak_memory()
    _, check = timed(lambda: loading.check_finite(path, model.model.named_parameters()))
    report, inspecting = timed(lambda: inspect_checkpoint(load_card(str(path))))
    return {
        "bytes": report.bytes,
        "files": len(report.files),
        "libraries": libraries,
        "peak": peak,
        "seconds": seconds,
        "check": check,
        "inspecting": inspecting,
        "fault": report.fault,
    }


def child(*words: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-m", "benchmarks.loading", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> int:
    """Write, load in a fresh process, print; 1 when memory passes the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(given.write, given.layers)
        return 0
    if given.load:
        print(json.dumps(load(given.load, given.dtype)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "large"))
        child("--write", path, "--layers", str(given.layers))
        row = json.loads(child("--load", path, "--dtype", given.dtype).splitlines()[-1])
    return tell(row, given.dtype)


def tell(row: dict[str, Any], dtype: str) -> int:
    """Print what a load took; 1 when it took too much."""
    size, ratio = row["bytes"], row["peak"] / row["bytes"]
    growth = (row["peak"] - row["libraries"]) / size
    print(f"checkpoint       {size / 1e9:.2f} GB in {row['files']} files, loaded as {dtype}")
    print(f"peak memory      {row['peak'] / 1e9:.2f} GB, {ratio:.3f} x the checkpoint (bar {BAR})")
    print(f"  libraries      {row['libraries'] / 1e9:.2f} GB of it; growth {growth:.3f} x")
    print(f"loading          {row['seconds']:.2f} s, {row['check']:.3f} s of it for finite weights")
    print(f"models inspect   {row['inspecting']:.2f} s, the import of torch not counted")
    return int(ratio > BAR or row["fault"] is not None)


if __name__ == "__main__":
    sys.exit(main())
