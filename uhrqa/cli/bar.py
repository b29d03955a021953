"""A progress bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from uhrqa.cli.console import open_console


@contextmanager
def progress_bar(total: int, done: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar of questions; nothing where there is no terminal.

    Args:
        total: questions in all.
        done: questions that are done already.
        quiet: show nothing.

    Returns:
        What moves it on by some questions.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.progress import Progress

    with Progress(console=open_console(), transient=True) as bar:
        task = bar.add_task("questions", total=total, completed=done)
        yield lambda count: bar.advance(task, count)
