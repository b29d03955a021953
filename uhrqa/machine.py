"""What an answer owes to where it was computed: versions of packages, and memory."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

PACKAGES = ("uhrqa", "torch", "transformers", "tifffile", "zarr", "numpy")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages an answer depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def peak_memory() -> int:
    """Most resident bytes this process has held so far.

    `getrusage` gives a child of a large process that one's peak, which is asked only where the
    process's own table is not there.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_memory() -> int:
    """Resident bytes of this process now; the most so far where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return peak_memory()
    return pages * resource.getpagesize()


def processor_name() -> str:
    """What the CPU calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine() or "CPU"
