"""Which scene belongs to training, validation, test or demonstration: apart for ever.

The seed alone decides, so no two splits can share a scene whatever their sizes are.
"""

from __future__ import annotations

from uhrqa.errors import ConfigError

FIRST_SEED = {"train": 0, "validation": 2**33, "demo": 2**34, "test": 2**35}
"""The first scene seed of each split; each has 2**31 of them."""
SEEDS = 2**31


def scene_seed(split: str, index: int) -> int:
    """The seed of a split's scene.

    Args:
        split: "train", "validation", "test" or "demo".
        index: from 0 to 2**31 - 1.

    Raises:
        ConfigError: no such split, or no such scene in it.
    """
    if split not in FIRST_SEED:
        raise ConfigError(f"split '{split}': use one of {', '.join(FIRST_SEED)}")
    if not 0 <= index < SEEDS:
        raise ConfigError(f"scene {index}: a split has scenes 0 to {SEEDS - 1}")
    return FIRST_SEED[split] + index
