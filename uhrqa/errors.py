"""What can go wrong for a user, as one tree.

UhrqaError
├── RasterError            a raster cannot be opened or read
│   └── StorageError       its disk or server fails, whatever the image holds
├── LabelError             labels of objects cannot be used
├── CheckpointError        weights, configuration or tokenizer cannot be used
├── CardError              a model card in `models/` is not valid
├── BudgetError            a budget cannot be met
├── QuestionError          a question or a file of questions cannot be used
├── ConfigError            a setting, an option or a number of tokens is written wrongly
├── OutputError            a result cannot be written
└── UnknownNameError       no model, strategy or option has that name

A message says what is wrong, the numbers, and the fix. Mistakes in our own code are ordinary
exceptions and keep their traceback.
"""

from __future__ import annotations


class UhrqaError(Exception):
    """Anything a user can mend; `exit_code` is what the command line returns."""

    exit_code = 2


class RasterError(UhrqaError):
    """A raster cannot be opened or read."""

    exit_code = 3


class StorageError(RasterError):
    """A disk or a server fails, whatever the image holds: no damage that may be left out."""


class QuestionError(UhrqaError):
    """A question, or a file of questions or of their answers, cannot be used."""

    exit_code = 3


class LabelError(UhrqaError):
    """Labels of objects cannot be used."""

    exit_code = 3


class CheckpointError(UhrqaError):
    """Weights, configuration or tokenizer of a model cannot be used."""

    exit_code = 4


class CardError(UhrqaError):
    """A model card is not valid."""

    exit_code = 4


class OutputError(UhrqaError):
    """A result cannot be written."""

    exit_code = 6


class BudgetError(UhrqaError):
    """A budget cannot be met.

    Args:
        message: what, the numbers, the fix.
        least: the least feasible budget, in the unit of the budget that failed.
    """

    exit_code = 7

    def __init__(self, message: str, least: int | None = None) -> None:
        super().__init__(message)
        self.least = least


class ConfigError(UhrqaError):
    """A setting, an option or a number of tokens is written wrongly, wherever that was."""


class UnknownNameError(UhrqaError, KeyError):
    """No model, strategy or option has that name."""

    __str__ = Exception.__str__  # KeyError would show the message in quotes


class LongQuestionWarning(UserWarning):
    """A text tower reads but a part of the question."""


class SmallerBatchWarning(UserWarning):
    """Memory ran out, and tiles are encoded fewer at once."""


class FeatureFileWarning(UserWarning):
    """Encoded tiles on disk cannot be used, or no more can be kept."""


class KeptLevelWarning(UserWarning):
    """Levels on disk cannot be used, or no more can be kept."""


class NoOverviewWarning(UserWarning):
    """Coarse views of this raster must be computed by reading all of it."""


class LabelsWarning(UserWarning):
    """A raster of labels has none."""


class ClippedRegionWarning(UserWarning):
    """A region goes on beyond the image; what lies in it is looked at."""


class WholeImageWarning(UserWarning):
    """This format has no random access: the whole image is decoded into memory."""


NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""What torch writes when memory ran out, on a CPU, a GPU, or in one of the GPU's libraries."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory ran out, on the host or on a device."""
    if isinstance(error, RuntimeError):
        text = str(error).lower()
        return type(error).__name__ == "OutOfMemoryError" or any(part in text for part in NO_MEMORY)
    return isinstance(error, MemoryError)


def what_lacks(error: ImportError, module: str, package: str) -> str:
    """Why an optional package cannot be imported: it is not there, or what it needs is not.

    Args:
        error: of its import.
        module: its name in Python.
        package: its name for pip.
    """
    if not isinstance(error, ModuleNotFoundError):
        return f"{package} cannot be imported ({error})"
    lacks = (error.name or module).partition(".")[0]
    if lacks == module:
        return f"{package} is not installed"
    return f"{lacks} is not installed, which {package} needs"
