"""When Ctrl-C and SIGTERM end a run at once, and when with clean-up."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import os, signal
from uhrqa.cli.signals import end_at_once, end_with_cleanup, prepare_signals
prepare_signals()
{before}
os.kill(os.getpid(), signal.{name})
signal.pause()
"""


@pytest.mark.parametrize(
    ("name", "before", "code"),
    [
        ("SIGINT", "", -2),
        ("SIGTERM", "", -15),
        ("SIGTERM", "end_with_cleanup()", 143),
        ("SIGINT", "end_with_cleanup(); end_at_once()", -2),
    ],
)
def test_a_signal_is_not_an_exception_before_there_is_work(name, before, code) -> None:
    args = [sys.executable, "-c", CODE.format(name=name, before=before)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, "")
