"""Questions one after the other about one image."""

from __future__ import annotations

import numpy as np
import pytest

from tests.checkpoints import make_checkpoint
from uhrqa import load_model
from uhrqa.conversation import Conversation
from uhrqa.errors import QuestionError
from uhrqa.raster import open_raster
from uhrqa.vlm.turns import Turn

HOW = {"budget": 60, "max_new_tokens": 4}


@pytest.fixture
def talk(vlm) -> Conversation:
    image = np.random.default_rng(0).integers(0, 255, (420, 400, 3), dtype=np.uint8)
    options = {"max_tiles": 4, "zoom_ratio": 0.05}
    return Conversation(open_raster(image), vlm, how={**HOW, "options": options})


def test_the_second_question_encodes_only_new_deep_tiles(talk) -> None:
    first, second = talk.ask("how many ships?").counts, talk.ask("what color is the roof?").counts
    shallow = [level for level in second.levels if level.level <= 1]
    assert [level.encoded for level in shallow] == [0, 0]
    assert [level.reused for level in shallow] == [level.tiles for level in shallow]
    assert second.tiles_encoded < first.tiles_encoded
    deep = [level for level in second.levels if level.level > 1]
    assert deep
    assert sum(level.encoded + level.reused for level in deep) <= 4 * len(deep)  # chosen anew


def test_answers_do_not_depend_on_the_cache(talk) -> None:
    talk.keep = 0
    talk.ask("how many ships?")
    warm = talk.ask("what color is the roof?")
    cold = Conversation(talk.raster, talk.model, 0, talk.how).ask("what color is the roof?")
    assert (warm.text, warm.evidence) == (cold.text, cold.evidence)


@pytest.mark.parametrize(("keep", "stand"), [(None, [0, 1, 2, 3, 4, 4]), (2, [0, 1, 2, 2, 2, 2])])
def test_as_many_turns_stand_in_the_prompt_as_are_kept(talk, keep, stand) -> None:
    talk.keep = keep
    assert [talk.ask(f"how many ships? {n}").history for n in range(6)] == stand


def test_old_turns_give_way_to_the_models_context(tmp_path) -> None:
    small = load_model(str(make_checkpoint(tmp_path / "small", context=400)), device="cpu")
    talk = Conversation(open_raster(np.zeros((56, 56, 3), np.uint8)), small, 9, HOW)
    talk.turns = [Turn("how many ships are there " * 4, "3")] * 9
    kept = talk.history("?")
    assert 0 < len(kept) < 9
    assert len(small.build_prompt("?", kept)) <= 100  # a quarter of it
    assert len(small.build_prompt("?", talk.turns[: len(kept) + 1])) > 100


def test_a_question_that_fails_leaves_the_conversation_as_it_was(talk) -> None:
    good = talk.ask("how many ships?")
    with pytest.raises(QuestionError):
        talk.ask("many ships " * 5000)
    assert (len(talk.turns), talk.last) == (1, good)
    assert talk.ask("how many?").history == 1
