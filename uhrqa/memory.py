"""How running out of memory is told from other errors. Imports no torch."""

from __future__ import annotations

NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""What torch writes when memory ran out, on a CPU, a GPU, or in one of the GPU's libraries."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory ran out, on the host or on a device."""
    if isinstance(error, RuntimeError):
        text = str(error).lower()
        return type(error).__name__ == "OutOfMemoryError" or any(part in text for part in NO_MEMORY)
    return isinstance(error, MemoryError)
