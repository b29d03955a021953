"""The example scene of `uhrqa profile` and `make demo`; drawn once, then cached."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import TYPE_CHECKING

from uhrqa import __version__
from uhrqa.aside import clear_drafts, draft_of
from uhrqa.cli.console import print_note
from uhrqa.cli.files import cache_directory
from uhrqa.cli.signals import end_at_once, end_with_cleanup
from uhrqa.config import Settings
from uhrqa.errors import OutputError
from uhrqa.kept_files import ABANDONED

if TYPE_CHECKING:
    from uhrqa.synth import Question, SceneTruth


def example_scene(settings: Settings, quiet: bool) -> tuple[str, list[Question]]:
    """Path of the scene, drawn when it is not there yet, and questions with their truth.

    Raises:
        OutputError: the cache directory cannot be written.
    """
    from uhrqa.synth import demo_scene, write_scene

    scene, questions = demo_scene()
    path = cache_directory(settings) / f"example-{_mark(scene)}.tif"
    if not path.is_file():
        if not quiet:
            print_note(f"uhrqa: note: drawing the example scene once, {scene.size}: {path}")
        end_with_cleanup()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            clear_drafts(path, ABANDONED)
            with draft_of(path) as draft:
                write_scene(scene, draft)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        finally:
            end_at_once()
    return str(path), questions


def _mark(scene: SceneTruth) -> str:
    """What the scene is, in 12 letters: a scene of other code gets a file of its own."""
    hasher = hashlib.sha256(__version__.encode())
    for field in fields(scene):
        value = getattr(scene, field.name)
        is_array = hasattr(value, "tobytes")  # the text of a large array leaves numbers out
        hasher.update(value.tobytes() if is_array else repr(value).encode())
    return hasher.hexdigest()[:12]
