"""A strategy of your own: the tokens nearest the image's centre, whatever the question.

Register it in your package's pyproject.toml and it is a name like any other:

    [project.entry-points."uhrqa.strategies"]
    centre = "my_package.my_strategy:Centre"

or hand an instance to `ask(..., strategy=Centre())`, as below.
"""

from dataclasses import dataclass, field

import torch

from uhrqa.budget import Budget
from uhrqa.scene import Scene
from uhrqa.selection import Selection, unscored


@dataclass(frozen=True)
class Centre:
    """Keeps the tokens nearest the image's centre."""

    level: int = field(default=1, metadata={"doc": "pyramid level the tokens come from"})

    def select(self, scene: Scene, budget: Budget) -> Selection:
        tokens = scene.tokens(scene.pyramid[self.level])
        middle = torch.tensor([scene.size.w / 2, scene.size.h / 2])
        nearest = (tokens.centres() - middle).norm(dim=1).argsort()[: budget.tokens]
        return unscored(tokens.take(nearest.sort().values))


if __name__ == "__main__":
    from uhrqa import ask

    question = "where are the tennis courts?"
    answer = ask("examples/scene.tif", question, strategy=Centre(), budget=128)
    print(answer.text, f"({answer.counts.kept} tokens)")
