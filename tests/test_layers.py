"""Imports point down. A module without a floor, or an import that climbs, fails here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import uhrqa

ROOT = Path(uhrqa.__file__).parent
GROUND = (
    "errors",
    "geometry",
    "registry",
    "budget",
    "config",
    "dims",
    "machine",
    "drops",
    "reading",
    "choices",
    "kept_files",
    "aside",
    "points",
    "ahead",
)  # each may import those before it
FLOORS = (
    GROUND,
    (
        "raster",
        "pyramid",
        "tokens",
        "cost",
        "relevance",
        "logits",
        "rfm",
        "regions",
        "diversity",
        "saliency",
        "rates",
    ),
    (
        "vlm",
        "features",
        "ledger",
        "tile_cap",
        "tile_pixels",
        "outline",
        "segments",
        "calibrate",
    ),
    ("tile_batches",),
    ("relevance_pass", "encoding", "feature_files", "clustering"),
    ("clip_relevance", "scene_shape"),
    ("scene",),
    ("selection", "view_regions", "planned"),
    ("strategies", "tally"),
    ("attempts", "forecast", "conventions"),
    ("account",),
    ("asker",),
    ("answer",),
    ("batch", "conversation", "together", "plan", "synth"),
    ("training", "evaluation", "labels"),  # on drawn scenes, or by their rules
    ("distill", "benchmarks"),
    ("cli", "integrations"),
    ("__main__",),
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if "_models" not in path.parts)


def part_of(path: Path) -> str:
    """The module or package directly below `uhrqa` that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_parts(source: str) -> Iterator[tuple[int, str]]:
    """Line and part of every import of ours, those inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write absolute imports"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("uhrqa."):
                yield node.lineno, name.split(".")[1]


def may_import(part: str, other: str) -> bool:
    if part == other or other not in FLOOR:  # `from uhrqa import __version__`
        return True
    if FLOOR[part] == FLOOR[other] == 0:
        return GROUND.index(other) < GROUND.index(part)
    return FLOOR[other] < FLOOR[part]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":  # the front door: names of everything, imported when used
        return
    assert part in FLOOR, f"{part} has no floor: add it to FLOORS and to docs/architecture.md"
    climbing = [
        f"line {line}: {part} (floor {FLOOR[part]}) imports {other} (floor {FLOOR[other]})"
        for line, other in imported_parts(path.read_text())
        if not may_import(part, other)
    ]
    assert not climbing, "\n".join(climbing)


def test_the_rule_sees_imports_inside_functions_and_between_peers() -> None:
    source = "def f():\n    from uhrqa.cli import main\n    import uhrqa.cost as c\n"
    assert list(imported_parts(source)) == [(2, "cli"), (3, "cost")]
    assert not may_import("pyramid", "cli")
    assert not may_import("pyramid", "cost")
    assert not may_import("geometry", "config")
    assert may_import("config", "budget")
    assert may_import("cli", "plan")


def test_only_the_command_line_prints() -> None:
    for path in modules():
        if part_of(path) == "cli":
            continue
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        printing = [
            c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"
        ]
        assert not printing, f"{path.name} prints in line {printing}"
