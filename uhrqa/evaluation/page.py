"""The report as a Markdown page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from uhrqa.evaluation.line_log import Manifest
from uhrqa.evaluation.row_log import Results
from uhrqa.evaluation.tables import Table, refusal_lines, subject_noun

CONTROL_LINES = """\
`majority` is the most common answer of a category, taken from scenes of another split, or from the
same file where questions come from one; `blind` is
the same model without any visual token; `oracle` is the same model given the thumbnail and every
token of the finest tiles that touch what is asked about (level 1 where nothing in particular is),
outside any budget.

Intervals are 95 %: a percentile bootstrap over {noun}s, as questions about one {noun} are not
independent. *Objects found* is the share of the objects asked about whose centre lies in a kept,
unmerged token of a tile. Tiles and TFLOPs are those of a question that is asked alone. *Count
error* is the mean absolute error of counts; an answer that is no number counts as 0."""


def markdown_page(results: Results, tables: Sequence[Table], picture: str | None = None) -> str:
    """Tables, picture and the command that made the rows.

    Args:
        results: whose manifest says what was asked.
        tables: in the order of the page.
        picture: path of the plot, relative to the page.
    """
    manifest = results.manifest
    command = f"```sh\n{command_of(manifest)}\n```"
    title = f"# {manifest['questions']}" if "questions" in manifest else "# Drawn scenes"
    parts = [title, _about(results), command]
    if picture is not None:
        parts.append(f"![accuracy against visual tokens]({picture})")
    for table in tables:
        parts += [f"## {table.title}", markdown_table(table)]
    lines = refusal_lines(results)
    if lines:
        parts += ["## Refused", "\n".join(f"- {line}" for line in lines)]
    parts += ["## What the words mean", CONTROL_LINES.format(noun=subject_noun(results))]
    return "\n\n".join(parts) + "\n"


def command_of(manifest: Manifest) -> str:
    """The command that makes the rows of a manifest."""
    file = manifest.get("questions")
    words = [
        *(("uhrqa", "compare", str(file)) if file else ("uhrqa", "eval", "synth")),
        *("-m", str(manifest.get("model", {}).get("name"))),
        *("-s", ",".join(manifest.get("strategies", ()))),
        *("-b", ",".join(map(str, manifest.get("budgets", ())))),
    ]
    own = () if file else ("scenes", "sides", "split")
    for name in (*own, "limit", "seed", "dtype", "attention"):
        value = manifest.get(name)
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words += [f"--{name}", text.removeprefix("torch.")]
    return shlex.join(words)


def _about(results: Results) -> str:
    """What was asked, of which model, with which versions."""
    manifest = results.manifest
    scenes = {row.scene for row in results.rows}
    questions = {(row.scene, row.question) for row in results.rows}
    model = manifest.get("model", {})
    where = f"{len(scenes)} images"
    if "split" in manifest:
        where = f"{len(scenes)} scenes of the {manifest['split']} split"
    versions = ", ".join(f"{name} {v}" for name, v in manifest.get("versions", {}).items())
    return (
        f"Model `{model.get('name')}` ({model.get('stamp')}), {manifest.get('dtype')}; "
        f"{len(questions)} questions about {where}, seed {manifest.get('seed')}; {versions}."
    )


def markdown_table(table: Table) -> str:
    """A table in Markdown."""
    lines = [table.heads, ("---",) * len(table.heads), *table.lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
