"""The commands by name, and what every run of one ends with: one line on stderr and an exit code.

Commands are imported when they are run, so that `uhrqa --help` costs no more than typer itself.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from uhrqa import __version__
from uhrqa.cli.usage import check_dashes, hide_flag_types, tidy_help
from uhrqa.errors import UhrqaError, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMANDS = {
    "ask": "Ask one question about one image.",
    "chat": "Ask one question after the other about one image.",
    "batch": "Answer a file of questions; continues where it was stopped.",
    "profile": "Show what budgets and strategies cost, planned or really run.",
    "synth": "Write drawn scenes with their truth and questions.",
    "eval": "Measure how often a checkpoint is right, by strategy and budget.",
    "score": "Score answers again, without model, images or data.",
    "compare": "Rank strategies on your own questions.",
    "questions": "Write questions with their truth from detection labels.",
    "distill": "Train a Region Focus Module from a checkpoint's own attention.",
    "info": "Show an image's levels, tiles and tokens, and what budgets buy.",
    "prepare": "Convert an image once to one that reads fast.",
    "models": "List the models there are.",
    "strategies": "List the strategies there are, with options and defaults.",
    "config": "Show settings and where they come from.",
    "doctor": "Check versions, device, attention backends and known breakages.",
}
"""Name of a command to the first line of its help; `uhrqa.cli.<name>` holds the command."""

EPILOG = """\
Exit codes:

0 ok · 1 a question of a batch or of a piped chat failed, or doctor found a breakage
2 usage, a bad setting or name · 3 bad image, questions or results
4 model missing or unusable · 5 out of memory · 6 output not writable
7 budget refused: less than the strategy needs
130 Ctrl-C · 141 closed pipe · 143 SIGTERM
"""


OUT_OF_MEMORY = (
    "out of memory; use fewer tokens (-b), fewer tiles (--max-tiles), half precision "
    "(--dtype bfloat16) or another --device"
)


class LazyGroup(TyperGroup):
    """A group that imports a command's module when the command is run, not when it is listed."""

    def __init__(self, **attrs: Any) -> None:  # noqa: ANN401 - what typer hands over
        super().__init__(**attrs)
        for name, summary in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - typer's own types
        """The options, with no type shown behind flags."""
        params = super().get_params(ctx)
        hide_flag_types(params)
        return params

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """Put the real command in the place of its one-line stand-in, then resolve as usual."""
        if args and args[0] in COMMANDS:
            command = load_command(args[0])
            tidy_help(command, ctx)
            if not ctx.resilient_parsing:  # completing, a line is not finished yet
                check_dashes(command, args[1:])
            self.commands[args[0]] = command
        return super().resolve_command(ctx, args)


def load_command(name: str) -> Any:  # noqa: ANN401
    """A command from its module, which this imports."""
    command = typer.main.get_command(importlib.import_module(f"uhrqa.cli.{name}").app)
    command.name = name
    return command


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"uhrqa {__version__}")
        raise typer.Exit


@app.callback()
def uhrqa(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Ask questions about ultra-high-resolution remote-sensing images, within a token budget."""


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    from uhrqa.cli.network import skip_network_drivers
    from uhrqa.cli.signals import prepare_signals

    prepare_signals()
    prepare_streams()
    skip_network_drivers()
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command.

    Returns:
        The exit code, as the epilog of the help lists them.
    """

    def command() -> int:
        group = typer.main.get_command(app)
        result = group.main(args, prog_name="uhrqa", standalone_mode=False)
        return result if isinstance(result, int) else 0

    return guard(command)


OF_SYSTEM = {
    errno.ENOSPC: ("the result cannot be written: no space left on device", 6),
    errno.ENAMETOOLONG: ("{name}: this name is longer than the system takes", 2),
}
"""What the system refuses whoever asks: the message and the exit code."""


def guard(command: Callable[[], int]) -> int:
    """Call a command; what a user can mend becomes one line and an exit code."""
    try:
        code = command()
        if sys.stdout is not None:  # it is None where the caller has closed it
            sys.stdout.flush()
    except UhrqaError as error:
        if is_out_of_memory(error.__cause__):
            return _fail(OUT_OF_MEMORY, 5)
        return _fail(str(error), error.exit_code)
    except TyperException as error:  # wrong usage; an empty message: the help has been printed
        return _fail(_usage_message(error), error.exit_code)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno not in OF_SYSTEM:
            raise
        told, code = OF_SYSTEM[error.errno]
        return _fail(told.format(name=error.filename), code)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _fail(OUT_OF_MEMORY, 5)
    return code


def _usage_message(error: TyperException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if not message or not context:
        return message
    stop = "" if message[-1] in ".?!" else "."
    return f"{message}{stop} See '{context.command_path} --help'."


@contextmanager
def memory_told() -> Iterator[None]:
    """What runs out of memory fails with a line that says what helps; the next one may fit."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise with_advice(error) from error


def with_advice(error: Exception) -> Exception:
    """The error itself; where memory ran out, one that says what helps."""
    return UhrqaError(OUT_OF_MEMORY) if is_out_of_memory(error) else error


def _fail(message: str, code: int) -> int:
    from uhrqa.cli.console import print_error

    if message:
        print_error(message)
    return code


def prepare_streams() -> None:
    """Let no output fail for its stream's sake.

    Where a standard stream is closed, no file that is opened later takes its number; letters that
    stdout's encoding lacks become `?`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stderr is None:
        from uhrqa.cli.console import mute_stderr

        mute_stderr()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
