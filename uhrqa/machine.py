"""What an answer owes to where it was computed: versions of packages, and memory."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys

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
    """Most resident bytes this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
