"""The options of `uhrqa distill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Layers = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,…",
        help="Decoder layers it starts from; the last one teaches (4 up to the card's).",
    ),
]
RfmLayers = Annotated[int | None, typer.Option(metavar="R", help="How many, spread evenly (4).")]
Pairs = Annotated[
    str,
    typer.Option(metavar="N,N,…", help="Its layers that are taught, or 'all'."),
]
Steps = Annotated[int, typer.Option(metavar="N", min=1, help="Steps.")]
Batch = Annotated[int, typer.Option(metavar="N", min=1, help="Questions a step.")]
Lr = Annotated[float, typer.Option(metavar="X", min=0.0, help="Peak learning rate.")]
LambdaKl = Annotated[
    float, typer.Option(metavar="X", min=0.0, help="Factor of the KL divergences.")
]
LambdaHr = Annotated[
    float, typer.Option(metavar="X", min=0.0, help="Of the one over high-resolution tokens.")
]
LambdaMse = Annotated[
    float, typer.Option(metavar="X", min=0.0, help="Of the squared error of logits.")
]
Levels = Annotated[int, typer.Option(metavar="N", min=1, help="Deepest pyramid level trained on.")]
Tiles = Annotated[
    int, typer.Option(metavar="N", min=1, help="Tiles of a level from 2 on, at most.")
]
HeldOut = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Images to measure on alone (a tenth)."),
]
Bf16 = Annotated[
    bool | None,
    typer.Option("--bf16/--no-bf16", help="Compute in bfloat16 (on a GPU)."),
]
Recompute = Annotated[
    bool, typer.Option("--recompute", help="Less memory, a third more time: checkpointing.")
]
SaveEvery = Annotated[float, typer.Option(metavar="SECONDS", min=0.0, help="Between checkpoints.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Start anew where the output holds something.")
]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Picture, .svg or .png; needs matplotlib.")
]
JsonFile = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="All figures; `-` is stdout."),
]
