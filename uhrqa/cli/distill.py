"""`uhrqa distill`: a Region Focus Module from a checkpoint's own attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.choice import choose_card, load
from uhrqa.cli.console import dump_json, print_note, print_result
from uhrqa.cli.distill_flags import (
    Batch,
    Bf16,
    HeldOut,
    JsonFile,
    LambdaHr,
    LambdaKl,
    LambdaMse,
    Layers,
    Levels,
    Lr,
    Overwrite,
    Pairs,
    Plot,
    Recompute,
    RfmLayers,
    SaveEvery,
    Steps,
    Tiles,
)
from uhrqa.cli.files import inputs_of, refuse_same, require_writable, write_text
from uhrqa.cli.identity import checkpoint_stamp
from uhrqa.errors import ConfigError

if TYPE_CHECKING:
    from uhrqa.cli.files import Inputs
    from uhrqa.distill.examples import Example
    from uhrqa.distill.recipe import Recipe
    from uhrqa.distill.run import Outcome
    from uhrqa.distill.state import Files
    from uhrqa.vlm.card import Card

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    "uhrqa distill questions.jsonl -m llava-v1.6-vicuna-7b -o rfm.safetensors",
    "uhrqa distill questions.jsonl -o tiny.safetensors --layers 0,2 --steps 200 --lr 1e-3 "
    "--plot tiny.svg",
)


@app.command(epilog=EPILOG)
@opt.share("model", "device", "dtype", "attention", "allow_pickle", "seed", *opt.MESSAGES)
def distill(
    questions: Annotated[
        Path, typer.Argument(metavar="QUESTIONS", help="JSON lines; no truths needed.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The module, .safetensors.")
    ],
    *,
    layers: Layers = None,
    rfm_layers: RfmLayers = None,
    pairs: Pairs = "0,-1",
    steps: Steps = 1000,
    batch: Batch = 8,
    lr: Lr = 2e-5,
    lambda_kl: LambdaKl = 1.0,
    lambda_hr: LambdaHr = 2.0,
    lambda_mse: LambdaMse = 1.0,
    levels: Levels = 1,
    tiles: Tiles = 8,
    held_out: HeldOut = None,
    bf16: Bf16 = None,
    recompute: Recompute = False,
    save_every: SaveEvery = 300.0,
    overwrite: Overwrite = False,
    plot: Plot = None,
    json_file: JsonFile = None,
    given: opt.Given,
) -> None:
    """Train a Region Focus Module from a checkpoint's own attention.

    Each line is an object with `image` and `question` (or LRS-VQA's `text`), and perhaps `hbox` or
    `hboxes`. The module learns to attend to thumbnail and level 1 as the model's decoder does; the
    model itself stays as it is. Stopped at any point, the same command goes on from the last
    checkpoint. Beside the module a `.log` is written. At the end its loss, and the boxes found
    among its best tokens and its teacher's, are measured on images held out. Use the result with
    `uhrqa ask --rfm FILE`.
    """
    from uhrqa.distill.examples import read_examples
    from uhrqa.distill.recipe import Recipe, choose_layers, choose_pairs
    from uhrqa.distill.state import Files

    card = choose_card(given.settings)
    held = card.dims.decoder.layers
    chosen = choose_layers(layers, rfm_layers, held, _teacher(card))
    recipe = Recipe(
        layers=chosen,
        pairs=choose_pairs(pairs, len(chosen)),
        steps=steps,
        batch=batch,
        lr=lr,
        seed=given.settings.seed,
        lambda_kl=lambda_kl,
        lambda_hr=lambda_hr,
        lambda_mse=lambda_mse,
        levels=levels,
        tiles=tiles,
        held_out=held_out,
        mixed=_mixed(bf16, given.settings.device),
        recompute=recompute,
        save_every=save_every,
    )
    examples = read_examples(questions)
    files = Files(output)
    _check_outputs(files, plot, json_file, _inputs(questions, examples, given))
    outcome = _run(examples, files, recipe, card, given, overwrite)
    _report(outcome, json_file, plot)


def _teacher(card: Card) -> int:
    """The decoder layer whose attention is learnt last."""
    held = card.dims.decoder.layers
    return held // 2 if card.relevance_layer is None else card.relevance_layer % held


def _inputs(questions: Path, examples: list[Example], given: opt.Given) -> Inputs:
    return {
        "the file of questions": [questions],
        "an image of a question": {example.place for example in examples},
        **inputs_of(given),
    }


def _mixed(wanted: bool | None, device: str | None) -> bool:
    from uhrqa.vlm.device import choose_device

    return choose_device(device).type == "cuda" if wanted is None else wanted


def _check_outputs(files: Files, plot: Path | None, json_file: str | None, inputs: Inputs) -> None:
    """Refuse names that cannot be written to, before anything is computed."""
    for file in (files.rfm, files.checkpoint, files.log):
        refuse_same({"-o": file, "--plot": plot, "--json": json_file}, inputs)
    require_writable(files.rfm, plot, json_file)
    if plot is not None:
        from uhrqa.evaluation.plot import require_matplotlib

        require_matplotlib(plot)


def _run(
    examples: list[Example],
    files: Files,
    recipe: Recipe,
    card: Card,
    given: opt.Given,
    overwrite: bool,
) -> Outcome:
    """Look at all that can be wrong, load the model, train."""
    from uhrqa.distill.examples import hold_out
    from uhrqa.distill.run import distill as train
    from uhrqa.distill.state import digest_of

    if not recipe.lambda_kl and not recipe.lambda_mse:
        raise ConfigError("--lambda-kl and --lambda-mse are both 0: nothing would be learnt")
    hold_out(examples, recipe.held_out, recipe.seed)
    stamp = checkpoint_stamp(card)
    note = (lambda text: None) if given.quiet else (lambda text: print_note(f"uhrqa: {text}"))
    with files.held(overwrite=overwrite):
        model: Any = load(given)
        about = {
            "model": stamp,
            "questions": digest_of(examples),
            "dtype": str(model.model.dtype).removeprefix("torch."),
        }
        try:
            return train(model, examples, recipe, files, about=about, note=note)
        except BaseException:
            if not given.quiet and files.checkpoint.exists():
                print_note(f"uhrqa: {files.checkpoint} holds the run; run it again to go on")
            raise


def _report(outcome: Outcome, json_file: str | None, plot: Path | None) -> None:
    """The result on stdout, figures and picture where they are wanted."""
    from uhrqa.distill.run import described_check

    if plot is not None:
        from uhrqa.distill.plot import draw_plot

        draw_plot(outcome, plot)
    if json_file == "-":
        print_result(dump_json(outcome.to_dict()))
        return
    if json_file is not None:
        write_text(Path(json_file), dump_json(outcome.to_dict()) + "\n")
    where = "images held out" if outcome.held_out else "the images trained on"
    print_result(
        f"{outcome.rfm}: {len(outcome.settings['layers'])} layers, {len(outcome.curve)} steps, "
        f"{outcome.seconds:.0f} s; measured on {where}"
    )
    for when, found in (("before", outcome.before), ("after", outcome.after)):
        first, *others = described_check(found)
        print_result("\n".join([f"{when}: {first}", *others]))
