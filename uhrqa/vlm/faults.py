"""What a checkpoint's tensors lack, or have too much of, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SHOWN = 3  # names of each kind in a message


def describe_fault(report: Mapping[str, Any]) -> str | None:
    """All that a loading report of transformers has to complain of, in words, a few names each."""
    shapes = {
        name: f"{name} is {_shape(there)} in the file, {_shape(wanted)} by the config"
        for name, there, wanted in report["mismatched_keys"]
    }
    kinds = {
        "misshapen": [shapes[name] for name in sorted(shapes)],
        "missing": sorted(report["missing_keys"]),
        "unexpected": sorted(report["unexpected_keys"]),
    }
    told = [f"{len(names)} {kind} weights, {_few(names)}" for kind, names in kinds.items() if names]
    if not told:
        return str(report["error_msgs"][0]) if report.get("error_msgs") else None
    return "; ".join(told)


def _few(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return f"first {', '.join(names[:SHOWN])}" + (f" and {rest} more" if rest > 0 else "")


def _shape(sides: Iterable[int]) -> str:
    return f"[{', '.join(map(str, sides))}]"
