"""The options that several commands share: how each is written, its help and its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from uhrqa.cli.complete import among, complete_model, complete_option, complete_strategy
from uhrqa.config import ATTENTION, DEVICE_MAPS, DTYPES, FORMATS, MAX_NEW_TOKENS, QUANTISED

IMAGE_HELP = "TIFF, Zarr, PNG or JPEG; path, https://, s3://, gs://, az://."
DEVICES = ("auto", "cpu", "cuda")

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="Card, directory or hub id (tiny).",
        autocompletion=complete_model,
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        "-s",
        metavar="NAME",
        help="How tokens are chosen (the card's).",
        autocompletion=complete_strategy,
    ),
]
Strategies = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        "-s",
        metavar="NAMES",
        help="Repeatable, or with commas.",
        autocompletion=complete_strategy,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        "-b",
        metavar="TOKENS",
        help="Most visual tokens in the answering pass: 4096, 4k = 4000, 4Ki = 4096; auto or "
        "auto:4k: less while the answer stays the same (the card's).",
    ),
]
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="Option of the strategy; repeatable.",
        autocompletion=complete_option,
    ),
]
Rfm = Annotated[
    str | None,
    typer.Option("--rfm", metavar="FILE", help="Region Focus Module to use (the model's own)."),
]
Clip = Annotated[
    str | None,
    typer.Option("--clip", metavar="DIR", help="CLIP or SigLIP for relevance=clip (the card's)."),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE",
        help="auto, cpu, cuda or cuda:N (auto).",
        autocompletion=among(DEVICES),
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="DTYPE",
        help="float32, float16 or bfloat16 (by device).",
        autocompletion=among(DTYPES),
    ),
]
Attention = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="auto (flash where it can run), sdpa, flash_attention_2.",
        autocompletion=among(ATTENTION),
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        metavar="auto",
        help="Spread a model over all devices; needs uhrqa\\[map] (one device).",
        autocompletion=among(DEVICE_MAPS),
    ),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        metavar="BITS",
        help="8bit or 4bit weights; needs uhrqa\\[quant] (as --dtype).",
        autocompletion=among(QUANTISED),
    ),
]
AllowPickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Read tensors of pytorch_model*.bin where need be."),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed (0).")]
MaxNewTokens = Annotated[
    int | None, typer.Option(metavar="N", help=f"Longest answer in tokens ({MAX_NEW_TOKENS}).")
]
Choices = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C,D", help="Take the most probable of these answers (written freely)."
    ),
]
FeatureCache = Annotated[
    str | None,
    typer.Option(metavar="DIR|auto|off", help="Keep encoded tiles on disk for the next run (off)."),
]
PyramidCache = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|auto|off",
        help="Keep coarse levels of images without overviews for the next run (auto).",
    ),
]
MaxTiles = Annotated[
    int | None,
    typer.Option(metavar="N", help="Most tiles to encode, relevance passes included (no cap)."),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="FORMAT", help="text or json (text).", autocompletion=among(FORMATS)
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The result alone; stderr stays empty.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        metavar="",
        help="Steps and log to stderr; -vv for all.",
    ),
]

MESSAGES = ("quiet", "verbose")
PRINTING = ("format", "as_json", *MESSAGES)
LOADING = ("model", "device", "dtype", "attention", "device_map", "quantize", "allow_pickle")
ANSWERING = (
    "model",
    "strategy",
    "budget",
    "option",
    "rfm",
    "clip",
    *LOADING[1:],
    "seed",
    "max_new_tokens",
    "max_tiles",
)
CACHES = ("feature_cache", "pyramid_cache")
SHARED: Mapping[str, tuple[Any, object]] = {  # annotation and default
    "model": (Model, None),
    "strategy": (Strategy, None),
    "budget": (Budget, None),
    "option": (Option, None),
    "rfm": (Rfm, None),
    "clip": (Clip, None),
    "device": (Device, None),
    "dtype": (Dtype, None),
    "attention": (Attention, None),
    "device_map": (DeviceMap, None),
    "quantize": (Quantize, None),
    "allow_pickle": (AllowPickle, False),
    "seed": (Seed, None),
    "max_new_tokens": (MaxNewTokens, None),
    "max_tiles": (MaxTiles, None),
    "choices": (Choices, None),
    "feature_cache": (FeatureCache, None),
    "pyramid_cache": (PyramidCache, None),
    "format": (Format, None),
    "as_json": (Json, False),
    "quiet": (Quiet, False),
    "verbose": (Verbose, 0),
}
