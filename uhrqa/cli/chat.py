"""`uhrqa chat`: one question after the other about one image, answered on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.app import memory_told
from uhrqa.cli.caching import TileCaches
from uhrqa.cli.choice import choose, load
from uhrqa.cli.console import (
    check_question,
    dump_json,
    print_error,
    print_note,
    print_result,
    read_stdin,
    stderr_optional,
)
from uhrqa.cli.pyramids import kept_levels
from uhrqa.errors import UhrqaError

if TYPE_CHECKING:
    from uhrqa.answer import Answer
    from uhrqa.conversation import Conversation

app = typer.Typer(add_completion=False)

PROMPT = "> "
MOST_BOXES = 10  # of the last evidence that `/where` lists
KEYS = "/where: boxes of the last answer · /cost: its cost · /quit or Ctrl-D: end"

EPILOG = opt.examples(
    "uhrqa chat harbour.tif -b 4k",
    "uhrqa chat city.zarr --json < questions.txt > answers.jsonl",
)


@app.command(epilog=EPILOG)
@opt.share(*opt.ANSWERING, *opt.CACHES, *opt.PLACING, *opt.READING, *opt.PRINTING)
def chat(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help=opt.IMAGE_HELP)],
    *,
    history: Annotated[
        int | None,
        typer.Option(
            "--history", metavar="N", min=0, help="Earlier turns in a prompt (the card's)."
        ),
    ] = None,
    given: opt.Given,
) -> None:
    """Ask one question after the other about one image.

    Questions come from the terminal or, one a line, from a pipe. Tiles are encoded once for all of
    them. `/where` lists where the last answer looked, `/cost` what it cost; `/quit` or Ctrl-D ends.
    Ctrl-C stops an answer. The last turns stand in the prompt where the model's card says so.
    """
    choice = choose(given.settings, given.options, rfm=given.rfm, clip=given.clip)
    read_stdin()  # a closed one is told before anything is loaded
    caches = TileCaches(given, choice)
    owner = caches.owner(image)
    kept = kept_levels(image, given)
    from uhrqa.raster import open_raster

    with open_raster(image, given.reading, roi=given.placing.roi, kept=kept) as raster:
        if given.placing.gsd_in_prompt:  # told before the model is loaded
            from uhrqa.raster.ground import require_ground

            require_ground(raster)
        model = load(given)
        from uhrqa.conversation import Conversation

        how = choice.arguments(given.settings) | {"gsd_in_prompt": given.placing.gsd_in_prompt}
        talk = Conversation(raster, model, history, how)
        talk.features = caches.open(owner, model.device)
        if not given.quiet:
            _greet(talk)
        failed = _run(talk, given)
    raise typer.Exit(1 if failed and not sys.stdin.isatty() else 0)


def _greet(talk: Conversation) -> None:
    size = talk.raster.size
    print_note(f"{talk.raster.path}: {size.w} x {size.h} px · {talk.model.card.name}")
    if not talk.most:
        print_note("each question is asked alone; --history N keeps earlier turns in the prompt")
    if sys.stdin.isatty():
        print_note(KEYS)


def _run(talk: Conversation, given: opt.Given) -> int:
    """Answer line by line.

    Returns:
        How many questions failed.
    """
    failed = 0
    for line in _lines(given.quiet):
        if line in COMMANDS:
            if COMMANDS[line](talk):
                break
        elif line.startswith("/"):
            print_note(f"uhrqa: no command {line.split()[0]}; {KEYS}")
        elif line:
            failed += not _answer(talk, line, given)
    return failed


def _lines(quiet: bool) -> Iterator[str]:
    """Lines of stdin, stripped; with a prompt where somebody types them."""
    asking = sys.stdin.isatty()
    stream = read_stdin()
    while True:
        if asking and not quiet:
            with stderr_optional():
                sys.stderr.write(PROMPT)
        try:
            line = stream.readline()
        except KeyboardInterrupt:  # what was typed so far is dropped, as in a shell
            if not asking:
                raise
            print_note("")
            continue
        if not line:
            if asking and not quiet:
                print_note("")
            return
        yield line.decode("utf-8", "surrogateescape").strip()


def _answer(talk: Conversation, line: str, given: opt.Given) -> bool:
    """Answer one question; whether that went well."""
    as_json = given.settings.format == "json"
    try:
        with memory_told():
            answer = talk.ask(check_question(line))
    except (UhrqaError, KeyboardInterrupt) as error:
        reason = "stopped" if isinstance(error, KeyboardInterrupt) else str(error)
        print_error(reason)
        if as_json:  # one line a question, whatever becomes of it
            print_result(dump_json({"question": line, "error": reason}))
        return False
    print_result(dump_json(answer.to_dict()) if as_json else answer.text)
    if not given.quiet:
        _account(answer, given.verbose)
    return True


def _account(answer: Answer, verbose: int) -> None:
    """What an answer used: a line, or the whole account when verbose."""
    from uhrqa.cli.report import print_report

    if verbose:
        print_report(answer, verbose=True)
        return
    counts = answer.counts
    reused = f", {counts.tiles_reused} reused" if counts.tiles_reused else ""
    print_note(
        f"{counts.tiles_encoded} tiles encoded{reused} · {counts.kept} / {counts.budget} tokens · "
        f"{sum(answer.seconds.values()):.1f} s"
    )
    for note in answer.notes:
        print_note(f"uhrqa: note: {note}")


def _where(talk: Conversation) -> bool:
    """The boxes of the last evidence, the most relevant first."""
    if talk.last is None:
        print_note("uhrqa: nothing was answered yet")
        return False
    scored = [entry for entry in talk.last.evidence if entry.relevance is not None]
    entries = sorted(scored, key=lambda entry: -(entry.relevance or 0)) or talk.last.evidence
    print_note("x0 y0 x1 y1 (source px) · level · relevance")
    for entry in entries[:MOST_BOXES]:
        box = " ".join(f"{edge:.0f}" for edge in entry.box)
        score = "" if entry.relevance is None else f" · {entry.relevance:.4f}"
        print_note(f"{box} · {entry.level}{score}")
    if len(entries) > MOST_BOXES:
        print_note(f"and {len(entries) - MOST_BOXES} more; --json gives all")
    return False


def _cost(talk: Conversation) -> bool:
    """The whole account of the last answer."""
    from uhrqa.cli.report import print_report

    if talk.last is None:
        print_note("uhrqa: nothing was answered yet")
    else:
        print_report(talk.last)
    return False


def _quit(_: Conversation) -> bool:
    return True


COMMANDS: dict[str, Callable[[Conversation], bool]] = {
    "/where": _where,
    "/cost": _cost,
    "/quit": _quit,
}
"""What a line does that is no question; whether it ends the conversation."""
