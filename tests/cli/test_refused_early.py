"""A model that cannot be loaded is refused before torch is imported or a scene is drawn."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from uhrqa.vlm import at_hand

CODE = (
    "import sys\n"
    "from uhrqa.cli.app import run\n"
    "code = run(sys.argv[1:])\n"
    "assert 'torch' not in sys.modules, 'torch was imported'\n"
    "sys.exit(code)"
)


def refused(*args: object, cwd: Path) -> str:
    """What a command writes on stderr that fails before torch is imported."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, args)],
        capture_output=True, text=True, check=False, cwd=cwd,
    )  # fmt: skip
    assert done.returncode in (2, 4), done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("ask", "a.tif", "how many?"),
        ("profile", "-b", "4k"),
        ("eval", "synth", "-b", "300"),
    ],
)
def test_a_card_whose_weights_are_not_here(image: str, args, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(Path(image).parent / "none"))
    told = refused(*args, "-m", "uhr-bat", cwd=Path(image).parent)
    assert "RL-MIND/UHR-BAT: not a directory and not in the hub cache; download it once" in told
    assert ("--size WIDTHxHEIGHT" in told) is (args[0] == "profile")


def test_a_package_that_is_missing(image: str) -> None:
    if at_hand.importlib.util.find_spec("flash_attn") is not None:  # type: ignore[attr-defined]
        pytest.skip("flash-attn is installed")
    args = ("ask", image, "how many?", "--attention", "flash_attention_2")
    assert "flash-attn is not installed" in refused(*args, cwd=Path(image).parent)


def test_damaged_weights_and_sizes(image: str, checkpoint: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    assert "model.safetensors: cut short" in refused(
        "ask", image, "how many?", "-m", path, cwd=tmp_path
    )
    config = path / "config.json"
    config.write_text(
        config.read_text().replace('"num_attention_heads": 4', '"num_attention_heads": 0')
    )
    assert "num_attention_heads is 0; give a whole number above 0" in refused(
        "profile", "--size", "800x800", "-m", path, cwd=tmp_path
    )


UNCALIBRATED = (
    "uhrqa: note: no seconds, and memory is without that of the program itself: "
    "uhrqa profile --calibrate measures this machine in some 15 CPU seconds"
)


def test_a_plan_of_a_card_needs_no_file(uhrqa, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    outcome = uhrqa("profile", "-m", "uhr-bat", "--size", "30000x20000", "-b", "4k")
    assert outcome.code == 0
    assert outcome.err.splitlines() == [UNCALIBRATED]
    assert "planned for 30000 x 20000 px" in outcome.out


def test_a_plan_of_damaged_weights_says_so(uhrqa, checkpoint: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    args = ("profile", "-m", path, "--size", "800x800", "-b", "1k", "-s", "downsample")
    assert uhrqa(*args).err.splitlines() == [UNCALIBRATED]
    (path / "model.safetensors").unlink()
    outcome = uhrqa(*args)
    assert outcome.code == 0
    assert outcome.err.startswith(
        f"uhrqa: note: planned from sizes alone; it would not load here: {path}: no model"
    )
    assert uhrqa(*args, "-q").err == ""
