"""Several questions about one image: each sees its own tokens, their answers are written together.

Knows nothing of files: it is handed what asks, and gives an answer or an error for each question.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from uhrqa.account import Answer
from uhrqa.asker import Asker, Steps, watch_memory
from uhrqa.attempts import Unwritten
from uhrqa.errors import SmallerBatchWarning, is_out_of_memory
from uhrqa.raster import Raster
from uhrqa.vlm import Generation, VisionLanguageModel

Question = tuple[str, tuple[str, ...]]  # and the answers to choose from
Outcome = Answer | Exception


def ask_together(asker: Asker, raster: Raster, questions: Sequence[Question]) -> list[Outcome]:
    """Answer questions; one that cannot be answered harms no other.

    Each is prepared by itself: what is kept, what it costs and what it answers are as if it had
    been asked alone, but for the last digits of sums of floating-point numbers, and for which of
    them pays for a shared prefix. A try that ran out of memory is in no cost; device memory is that
    of all of them.

    Args:
        asker: model, and how questions are put.
        raster: the image.
        questions: with choices, none where answers are written freely.
    """
    watch_memory(asker.model)
    steps = [asker.steps(raster, text, choices) for text, choices in questions]
    outcomes: dict[int, Outcome] = {}
    unwritten: dict[int, Unwritten] = {}
    for index, each in enumerate(steps):
        _go_on(index, each, None, unwritten, outcomes)
    while unwritten:
        written = _write(unwritten, asker.model)
        unwritten = {}
        for index, found in written.items():
            _go_on(index, steps[index], found, unwritten, outcomes)
    return [outcomes[index] for index in range(len(steps))]


def _go_on(
    index: int,
    steps: Steps,
    written: Generation | Exception | None,
    unwritten: dict[int, Unwritten],
    outcomes: dict[int, Outcome],
) -> None:
    """Take a question one step further: to its end, or to the next that is to be written."""
    if isinstance(written, Exception):
        outcomes[index] = written
        return
    try:
        unwritten[index] = next(steps) if written is None else steps.send(written)
    except StopIteration as end:
        outcomes[index] = end.value
    except Exception as error:  # noqa: BLE001 - whose it is belongs to its question
        outcomes[index] = error


def _write(
    unwritten: Mapping[int, Unwritten], model: VisionLanguageModel
) -> dict[int, Generation | Exception]:
    """What is written freely together, the rest by itself."""
    free = [index for index, each in unwritten.items() if not each.choices and not each.drops]
    found: dict[int, Generation | Exception] = {**_write_free(free, unwritten, model)}
    for index in unwritten.keys() - found.keys():
        try:
            found[index] = unwritten[index].write(model)
        except Exception as error:  # noqa: BLE001 - as above
            found[index] = error
    return found


def _write_free(
    free: Sequence[int], unwritten: Mapping[int, Unwritten], model: VisionLanguageModel
) -> dict[int, Generation]:
    """Answers written at once, two or more; half as many where memory runs out.

    What else goes wrong may be the fault of one: none is written then, to be tried by itself.
    """
    if len(free) <= 1:
        return {}
    try:
        written = model.generate_together([unwritten[index].waiting for index in free])
        return dict(zip(free, written, strict=True))
    except Exception as error:  # noqa: BLE001 - it comes again where it belongs
        if not is_out_of_memory(error):
            return {}
    # Behind the handler: the error held the tensors that were there.
    warnings.warn(
        f"memory ran out with {len(free)} answers written at once; half as many are, which is "
        "slower (--together is fewer)",
        SmallerBatchWarning,
        stacklevel=3,
    )
    middle = len(free) // 2
    return {
        **_write_free(free[:middle], unwritten, model),
        **_write_free(free[middle:], unwritten, model),
    }
