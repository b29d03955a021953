"""A training stage of so many steps that survives being killed."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from uhrqa.aside import draft_of

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0  # seconds
WARM_UP = 0.03  # share of a stage


@dataclass
class Stage:
    """Step counter, learning-rate schedule and checkpoint of one stage.

    Attributes:
        file: its checkpoint.
        steps: how many it takes.
        state: what is saved with it; values with `state_dict` are restored in place.
        step: steps taken.
        used: seconds they took.
        save_every: seconds of training that a kill may cost.
    """

    file: Path
    steps: int
    state: dict[str, Any]
    step: int = 0
    used: float = 0.0
    save_every: float = SAVE_EVERY
    _mark: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)

    def resume(self) -> bool:
        """Load the checkpoint, if there is one."""
        if self.file.exists():
            saved = torch.load(self.file, map_location="cpu", weights_only=True)
            self.step, self.used = saved["step"], saved["used"]
            for name, part in self.state.items():
                part.load_state_dict(saved[name])
            log.info("%s: goes on at step %d, %.0f s", self.file.stem, self.step, self.used)
        self._mark = time.monotonic()
        return self.file.exists()

    @property
    def share(self) -> float:
        """Share of the steps that is done, in 0..1."""
        return min(1.0, self.step / max(1, self.steps))

    @property
    def pace(self) -> float:
        """Share of the peak learning rate: linear warm-up, then cosine to 2 %."""
        if self.share < WARM_UP:
            return max(0.05, self.share / WARM_UP)
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.share))

    def tick(self) -> bool:
        """Count a step; save when it is time. False when the stage is over."""
        now = time.monotonic()
        self.used += now - self._mark
        self._mark = now
        self.step += 1
        over = self.share >= 1.0
        if over or now - self._saved > self.save_every:
            self.save()
            self._saved = time.monotonic()
        return not over

    def save(self) -> None:
        """Write the checkpoint; a kill while writing leaves the one before."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        parts = {name: part.state_dict() for name, part in self.state.items()}
        with draft_of(self.file, alone=True) as draft:
            torch.save({"step": self.step, "used": self.used, **parts}, draft)
