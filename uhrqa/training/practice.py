"""Stage 4: the decoder practises on the very tokens that strategies leave it.

What stages 2 and 3 made is loaded as a user would load it, and asked about fresh scenes; only the
decoder's layers learn, so that relevance, features and places stay as they are.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from uhrqa import Budget, FeatureCache, load_model
from uhrqa.scene import Scene
from uhrqa.selection import select
from uhrqa.strategies import make_strategy
from uhrqa.synth.questions import DETAIL, Question, make_questions
from uhrqa.synth.raster import SceneRaster
from uhrqa.synth.scene import SceneTruth
from uhrqa.training.checkpoint import save_checkpoint
from uhrqa.training.decoder import Learner
from uhrqa.training.layout import ASKED_MORE, UNREADABLE
from uhrqa.training.optimizer import LayerOptimizer
from uhrqa.training.progress import Stage
from uhrqa.training.supply import Supply
from uhrqa.training.views import draw_any

log = logging.getLogger(__name__)

PEAK = 0.3  # of the decoder's first learning rates
EXAMPLES = 16
DRAWN = 64  # examples, of which a batch takes those of about one length
KEPT = 3000
STEPS_A_SCENE = 3
QUESTIONS = 8
BUDGETS = (192, 256, 512, 512, 1024)
MERGED = 0.3  # share of examples that region-merge makes
FIRST_SCENE, HELD_OUT_SCENE, HELD_OUT = 7 * 10**8, 8 * 10**8, 24


@dataclass(frozen=True, slots=True)
class Example:
    """A question as it reaches the decoder.

    Attributes:
        embeds: `[N, D]` float16: prompt with visual tokens.
        answer: token ids, end included.
        weight: of its loss.
        category: of the question.
    """

    embeds: np.ndarray
    answer: list[int]
    weight: float
    category: str


class ExampleMaker:
    """Asks about the scene of an index; each index is another scene."""

    def __init__(self, model: str, seed: int) -> None:
        self.model = load_model(model, device="cpu")
        self.seed = seed

    def __call__(self, index: int) -> list[Example]:
        """A scene's examples."""
        rng = np.random.default_rng([8, self.seed, index])
        scene = draw_any(rng)
        questions = make_questions(scene, int(rng.integers(2**31)), suffix=0.12)
        odds = np.array([ASKED_MORE.get(question.category, 1.0) for question in questions])
        order = np.argsort(-(rng.random(len(odds)) ** (1.0 / odds)))[:QUESTIONS]
        raster, features = SceneRaster(scene), FeatureCache()
        return [
            self._example(rng, scene, raster, questions[index], features)
            for index in order.tolist()
        ]

    def _example(
        self,
        rng: np.random.Generator,
        scene: SceneTruth,
        raster: SceneRaster,
        question: Question,
        features: FeatureCache,
    ) -> Example:
        name = "region-merge" if rng.random() < MERGED else "rfm-dip"
        strategy = make_strategy(name, self.model.card.options.get(name))
        seen = Scene(raster, self.model, question.text, features=features)
        selection = select(strategy, seen, Budget(int(rng.choice(BUDGETS))))
        sequence = self.model.assemble(seen.prompt, selection.tokens)
        tokenizer = self.model.tokenizer  # type: ignore[attr-defined]
        ids = tokenizer(question.answer, add_special_tokens=False)["input_ids"]
        weight = 1.0 if readable_in(scene, question) else UNREADABLE
        return Example(
            sequence.embeds[0].half().numpy(),
            [*ids, tokenizer.eos_token_id],
            weight,
            question.category,
        )


def readable_in(scene: SceneTruth, question: Question) -> bool:
    """Whether the source shows the objects large enough for the answer to be seen."""
    lengths = [scene.things[index].length for index in question.things]
    return not lengths or min(lengths) >= DETAIL.get(question.category, 0.0)


def collate(examples: list[Example], table: nn.Module) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pad on the right.

    Returns:
        `[B, N, D]` embeddings, answers among them; `[B, N]` mask; `[B, N]` labels, -100 where
        nothing is asked; `[B, N]` weights.
    """
    lengths = [len(e.embeds) + len(e.answer) - 1 for e in examples]
    size, longest, width = len(examples), max(lengths), examples[0].embeds.shape[1]
    embeds = torch.zeros(size, longest, width)
    mask, labels = torch.zeros(size, longest), torch.full((size, longest), -100)
    weights = torch.zeros(size, longest)
    for row, (example, length) in enumerate(zip(examples, lengths, strict=True)):
        asked = len(example.embeds)
        embeds[row, :asked] = torch.from_numpy(example.embeds).float()
        if length > asked:
            embeds[row, asked:length] = table(torch.tensor(example.answer[:-1])).detach()
        mask[row, :length] = 1
        labels[row, asked - 1 : length] = torch.tensor(example.answer)
        weights[row, asked - 1 : length] = example.weight
    return embeds, mask, labels, weights


def answer_logits(learner: Learner, examples: list[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits `[K, V]`, labels `[K]` and weights `[K]` of all answer tokens."""
    embeds, mask, labels, weights = collate(examples, learner.model.get_input_embeddings())
    states = learner.decoder(
        inputs_embeds=embeds, attention_mask=mask, use_cache=False
    ).last_hidden_state
    asked = labels >= 0
    return learner.model.lm_head(states[asked]).float(), labels[asked], weights[asked]


def practice_step(
    learner: Learner, optimizer: LayerOptimizer, stage: Stage, examples: list[Example]
) -> float:
    """One optimiser step; gives the loss."""
    with torch.autocast("cpu", torch.bfloat16):
        logits, labels, weights = answer_logits(learner, examples)
    each = functional.cross_entropy(logits, labels, reduction="none")
    loss = (each * weights).sum() / weights.sum()
    optimizer.step(loss, stage.pace)
    return float(loss.detach())


@torch.inference_mode()
def exam(learner: Learner, examples: list[Example]) -> dict[str, float]:
    """Share of answers right, by category; readable ones only."""
    tally: dict[str, list[float]] = defaultdict(list)
    for example in examples:
        if example.weight < 1:
            continue
        logits, labels, _ = answer_logits(learner, [example])
        right = float((logits.argmax(-1) == labels).all())
        tally[example.category].append(right)
        tally["all"].append(right)
    return {name: round(float(np.mean(hits)), 3) for name, hits in sorted(tally.items())}


def _build(model: str, seed: int) -> ExampleMaker:
    torch.set_num_threads(1)
    return ExampleMaker(model, seed)


def train_practice(
    folder: Path, card: Path, learner: Learner, rfm: nn.Module, steps: int, seed: int
) -> None:
    """Go on training the decoder's layers, or go on where a run in `folder` stopped.

    Args:
        folder: takes this stage's checkpoint, and a draft of the model.
        card: the card whose options the strategies get.
        learner: as stage 2 left it; its layers change.
        rfm: as stage 3 left it.
        steps: of `EXAMPLES` each.
        seed: of scenes and of choices.
    """
    layers = learner.decoder.layers
    for parameter in learner.model.parameters():
        parameter.requires_grad_(False)
    layers.requires_grad_(True)
    optimizer = LayerOptimizer([layers], peak=PEAK)
    stage = Stage(folder / "practice.pt", steps, {"layers": layers, "optimizer": optimizer})
    if not (folder / "draft.yaml").exists():
        save_checkpoint(learner, rfm, folder / "draft")
        terms = yaml.safe_load(card.read_text(encoding="utf-8")) | {"weights": "draft"}
        (folder / "draft.yaml").write_text(yaml.safe_dump(terms), encoding="utf-8")
    stage.resume()
    if stage.share >= 1.0:
        return
    maker = ExampleMaker(str(folder / "draft"), seed)
    held_out = [e for k in range(HELD_OUT) for e in maker(HELD_OUT_SCENE + k)]
    log.info("practice right before: %s", exam(learner, held_out))
    build = partial(_build, str(folder / "draft"), seed)
    supply = Supply(build, first=FIRST_SCENE + stage.step // STEPS_A_SCENE, ahead=64)
    try:
        _fit(learner, optimizer, stage, supply, seed)
    finally:
        supply.close()
    log.info("practice right after: %s", exam(learner, held_out))


def _fit(
    learner: Learner, optimizer: LayerOptimizer, stage: Stage, supply: Supply, seed: int
) -> None:
    pool: list[Example] = []
    running = 0.0
    while True:
        if stage.step % STEPS_A_SCENE == 0 or len(pool) < DRAWN:
            pool = [*pool, *supply.take()][-KEPT:]
            if len(pool) < DRAWN:
                continue
        rng = np.random.default_rng([9, seed, stage.step])
        drawn = sorted(rng.permutation(len(pool))[:DRAWN], key=lambda i: len(pool[i].embeds))
        start = int(rng.integers(DRAWN - EXAMPLES + 1))
        examples = [pool[i] for i in drawn[start : start + EXAMPLES]]
        loss = practice_step(learner, optimizer, stage, examples)
        running = loss if not running else 0.97 * running + 0.03 * loss
        if stage.step % 50 == 0:
            log.info("practice %5d  %4.0f s  loss %.3f", stage.step, stage.used, running)
        if not stage.tick():
            break
