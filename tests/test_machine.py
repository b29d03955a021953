"""What is told of the machine and of this process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from uhrqa.machine import peak_memory, resident_memory


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only getrusage knows a peak")
def test_a_small_child_of_a_large_process_has_a_small_peak() -> None:
    large = bytearray(b"x" * 300_000_000)
    code = "from uhrqa.machine import peak_memory; print(peak_memory())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(told.stdout) < len(large) < peak_memory()


def test_the_peak_is_no_less_than_what_is_held() -> None:
    assert peak_memory() >= 0.9 * resident_memory() > 0
