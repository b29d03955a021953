"""A progress bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from uhrqa.cli.console import open_console


@contextmanager
def progress_bar(
    total: int, done: int, quiet: bool, what: str = "questions"
) -> Iterator[Callable[[int], None]]:
    """A bar of questions, or of something else; nothing where there is no terminal.

    Args:
        total: how many in all.
        done: how many are done already.
        quiet: show nothing.
        what: they are.

    Returns:
        What moves it on by some.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.progress import Progress

    with Progress(console=open_console(), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda count: bar.advance(task, count)
