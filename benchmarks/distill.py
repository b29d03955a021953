"""What a distilled module owes to losses, layer pairs and depth: `python -m benchmarks.distill`.

The ablations of Luo et al. 2025, supplement, Tables 2 and 6, on the embedded model and drawn scenes
of the training split. Every variant is a run of its own that goes on where it was stopped; finished
ones are not repeated. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from uhrqa.distill.examples import read_examples
from uhrqa.distill.recipe import Recipe
from uhrqa.distill.run import distill
from uhrqa.distill.state import Files, digest_of
from uhrqa.synth.dataset import Recipe as Drawn
from uhrqa.synth.dataset import write_dataset
from uhrqa.vlm import load_model
from uhrqa.vlm.family import Family

VARIANTS: dict[str, dict[str, Any]] = {
    "KL": {"lambda_hr": 0.0, "lambda_mse": 0.0},
    "MSE": {"lambda_kl": 0.0},
    "KL + hr": {"lambda_mse": 0.0},
    "KL + hr + MSE": {},
    "R = 1": {"layers": (2,), "pairs": (0,)},
    "R = 2, teacher 4": {"layers": (0, 4)},
    "R = 3, teacher 4": {"layers": (0, 2, 4), "pairs": (0, 2)},
    "the same, last pair": {"layers": (0, 2, 4), "pairs": (2,)},
    "the same, all pairs": {"layers": (0, 2, 4), "pairs": (0, 1, 2)},
    "R = 4, teacher 4": {"layers": (0, 1, 2, 4), "pairs": (0, 3)},
}


def run(name: str, recipe: Recipe, questions: Path, folder: Path, model: Family) -> dict[str, Any]:
    """The outcome of a variant, from an earlier run or now."""
    slug = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
    found = folder / f"{slug}.json"
    if found.exists():
        held = json.loads(found.read_text())
        if all(held["settings"][key] == value for key, value in recipe.to_dict().items()):
            return dict(held)
    examples = read_examples(questions)
    files = Files(folder / f"{slug}.safetensors")
    with files.held(overwrite=files.rfm.exists() and not files.checkpoint.exists()):
        outcome = distill(
            model, examples, recipe, files,
            about={"questions": digest_of(examples)},
            note=lambda text: print(f"{name}: {text}", file=sys.stderr),
        ).to_dict()  # fmt: skip
    found.write_text(json.dumps(outcome))
    return outcome


def table(outcomes: dict[str, dict[str, Any]]) -> str:
    """A row for each variant: losses of the layer that is read, recalls of module and teacher."""
    shares = [recall["share"] for recall in next(iter(outcomes.values()))["after"]["recalls"]]
    head = ["variant", "layers", "taught", "KL all", "KL high-res", "MSE"]
    head += [f"best {100 * share:g} %" for share in shares]
    rows = [head, ["---"] * len(head)]
    for name, outcome in outcomes.items():
        settings, after, before = outcome["settings"], outcome["after"], outcome["before"]
        cells = [name, ", ".join(map(str, settings["layers"]))]
        cells.append(", ".join(map(str, settings["pairs"])))
        cells += [
            f"{before['losses'][part]:.3f} → {after['losses'][part]:.3f}"
            for part in ("whole", "local", "mse")
        ]
        cells += [f"{r['module']:.2f} ({r['teacher']:.2f})" for r in after["recalls"]]
        rows.append(cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Draw the scenes, train every variant, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".cache/distill"))
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    drawn = Drawn(args.scenes, "train", (args.side,))
    scenes = args.work / f"scenes-{args.scenes}-{args.side}"
    write_dataset(drawn, scenes)
    model: Any = load_model("tiny")
    how = {"steps": args.steps, "batch": args.batch, "lr": args.lr, "seed": args.seed}
    outcomes = {
        name: run(
            name,
            Recipe(**{"layers": (0, 2), "pairs": (0, 1), **how, **variant, "save_every": 60.0}),
            scenes / "questions.jsonl", args.work, model,
        )
        for name, variant in VARIANTS.items()
    }  # fmt: skip
    print(table(outcomes))
    first = next(iter(outcomes.values()))["after"]
    print(
        f"\n{args.scenes} scenes of {args.side} px, {args.steps} steps of {args.batch} questions; "
        f"measured on {first['questions']} questions and {first['boxes']} boxes held out; "
        "teacher in brackets"
    )


if __name__ == "__main__":
    main()
