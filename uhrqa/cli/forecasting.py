"""What a question would take on this machine; the largest budget that fits limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from uhrqa.cli.choice import Choice
from uhrqa.cli.files import cache_directory
from uhrqa.cli.limits import Limits
from uhrqa.cli.report import bytes_text
from uhrqa.config import Settings
from uhrqa.errors import BudgetError, ConfigError
from uhrqa.rates import MEASURE, Rates, load_rates

if TYPE_CHECKING:
    import torch

    from uhrqa.forecast import Memory, Setup
    from uhrqa.geometry import Size
    from uhrqa.plan import Plan
    from uhrqa.raster import Raster
    from uhrqa.vlm.card import Card

KEEPS_STATES = ("llava", "internvl")  # beginnings of families whose towers give all their states
FINE = 32  # the budget found is within 1/32 of the largest


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan, and what it takes on this machine.

    Attributes:
        plan: counts, cost, bytes.
        memory: on the device.
        seconds: by stage; None where the machine was not measured.
    """

    plan: Plan
    memory: Memory
    seconds: dict[str, float] | None

    @property
    def total_seconds(self) -> float | None:
        """Of all stages."""
        return None if self.seconds is None else sum(self.seconds.values())


class Machine:
    """The device and dtype that settings come to, and what was measured of them.

    Args:
        card: of the model.
        settings: device, dtype, quantisation, cache directory.

    Raises:
        ConfigError: a device that this machine does not have.
    """

    def __init__(self, card: Card, settings: Settings) -> None:
        from uhrqa.calibrate import device_name
        from uhrqa.forecast import Setup
        from uhrqa.vlm.device import choose_device

        device = choose_device(settings.device)
        self.dtype = dtype_of(settings, device, card)
        self.name = device_name(device)
        self.setup: Setup = Setup(
            str(device),
            str(self.dtype).removeprefix("torch."),
            self.dtype.itemsize,
            settings.quantize,
            card.family.startswith(KEEPS_STATES),
            device.type == "cpu",
        )
        self.rates: Rates | None = load_rates(
            cache_directory(settings), self.name, self.setup.dtype
        )

    def forecast(self, card: Card, plan: Plan) -> Forecast:
        """What a plan takes here."""
        from uhrqa.forecast import memory_of, seconds_of

        rates = self.rates
        return Forecast(
            plan,
            memory_of(card.dims, plan.work, self.setup, rates),
            None if rates is None else seconds_of(card.dims, plan.work, self.setup, rates),
        )

    def notes(self) -> tuple[str, ...]:
        """What is not in a forecast, for people."""
        if self.rates is not None:
            return ()
        more = ", and memory is without that of the program itself" * self.setup.is_shared
        return (f"no seconds{more}: {MEASURE}",)


def dtype_of(settings: Settings, device: torch.device, card: Card | None = None) -> torch.dtype:
    """What weights are held in; the checkpoint's own is bfloat16 where it does not say.

    Raises:
        ConfigError: not a known precision.
    """
    import torch

    from uhrqa.vlm.device import choose_dtype

    chosen = choose_dtype(settings.dtype, device)
    if isinstance(chosen, torch.dtype):
        return chosen
    config = {} if card is None else card.config
    said = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    found = getattr(torch, str(said), None)
    return found if isinstance(found, torch.dtype) else torch.bfloat16


def fit(
    choice: Choice, image: Size | Raster, settings: Settings, limits: Limits, question: str = ""
) -> tuple[Choice, str]:
    """The choice with the largest budget whose plan fits, and a line that says so.

    A budget that was given is the most it may be. Longest answer and costliest zooms are planned
    for.

    Args:
        choice: model and strategy.
        image: an open raster, or a size.
        settings: of the machine and the answer.
        limits: at least one.
        question: the user's words.

    Raises:
        BudgetError: not even the least budget fits; says what would.
        ConfigError: seconds are limited and the machine was not measured, or the budget is `auto`.
    """
    from uhrqa.plan import QUESTION_TOKENS, plan

    machine = Machine(choice.card, settings)
    _check(choice, machine, limits)

    def forecast(tokens: int) -> Forecast:
        planned = plan(
            image,
            choice.card,
            choice.strategy,
            replace(choice.budget, tokens=tokens),
            options=choice.options,
            question_tokens=QUESTION_TOKENS + len(question) // 4,
            steps=max(1, settings.max_new_tokens - 1),
        )
        return machine.forecast(choice.card, planned)

    asked = choice.budget.tokens if settings.budget is not None else None
    most = asked or choice.card.context
    tokens, found = _largest(forecast, most, limits, choice.strategy)
    if tokens < most:
        room = f"the largest that fits {_written(limits)}"
    else:
        whole = "all that was asked for" if asked else "all that the model's context has room for"
        room = f"{whole}; the limit is {_written(limits)}"
    tokens = min(tokens, found.plan.counts.budget)
    told = f"budget {tokens}: {_takes(found, limits)}, {room}"
    return replace(choice, budget=replace(choice.budget, tokens=tokens)), told


def _check(choice: Choice, machine: Machine, limits: Limits) -> None:
    if choice.budget.auto:
        raise ConfigError("--max-memory and --max-seconds choose a budget; leave out 'auto'")
    if limits.seconds is not None and machine.rates is None:
        raise ConfigError(
            f"--max-seconds: {machine.name}, {machine.setup.dtype}, was not measured; {MEASURE}"
        )


def _largest(
    forecast: Callable[[int], Forecast], most: int, limits: Limits, strategy: str
) -> tuple[int, Forecast]:
    """The largest budget that fits, near enough; more tokens take no less.

    In turn a plan is made where the straight line between the two says that the limit lies, and at
    their geometric mean, since what tokens take is no straight line.
    """
    found = forecast(most)
    if (over := _load(found, limits)) <= 1:
        return most, found
    low, kept = _least(forecast)
    if (under := _load(kept, limits)) > 1:
        less = ", encode less with --max-tiles, or use another strategy, such as downsample"
        raise BudgetError(
            f"{strategy} does not fit {_written(limits)}: the least budget, {low} visual tokens, "
            f"{_takes(kept, limits)}; allow that much" + less * (strategy != "downsample"),
            least=low,
        )
    high, turn = most, 0
    while high - low > (step := max(1, low // FINE)):
        turn += 1
        straight = low + int((1 - under) / (over - under) * (high - low))
        middle = straight if turn % 2 else math.isqrt(low * high)
        middle = min(max(middle, low + step), high - 1)
        found = forecast(middle)
        if (load := _load(found, limits)) <= 1:
            low, kept, under = middle, found, load
        else:
            high, over = middle, load
    return low, kept


def _least(forecast: Callable[[int], Forecast]) -> tuple[int, Forecast]:
    """The least budget that the strategy can do with, and what that takes."""
    from uhrqa.selection import TooFewTokensError

    try:
        return 1, forecast(1)
    except TooFewTokensError as error:
        return error.least, forecast(error.least)


def _load(found: Forecast, limits: Limits) -> float:
    """The share of the limits that a forecast takes: it fits up to 1."""
    seconds: Any = found.total_seconds
    return max(
        0.0 if limits.memory is None else found.memory.total / limits.memory,
        0.0 if limits.seconds is None else seconds / limits.seconds,
    )


def _takes(found: Forecast, limits: Limits) -> str:
    """What a forecast comes to, as far as it is limited: `takes about 3.1 GB and 4.2 s`."""
    parts = []
    if limits.memory is not None:
        parts.append(bytes_text(_up(found.memory.total)))
    if limits.seconds is not None and found.total_seconds is not None:
        parts.append(f"{_up(found.total_seconds):g} s")
    return f"takes about {' and '.join(parts)}"


def _up(number: float) -> float:
    """Rounded up to three digits: as a limit it then suffices."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 2)
    return float(f"{math.ceil(number / unit) * unit:.3g}")


def _written(limits: Limits) -> str:
    parts = []
    if limits.memory is not None:
        parts.append(bytes_text(limits.memory))
    if limits.seconds is not None:
        parts.append(f"{limits.seconds:g} s")
    return " and ".join(parts)


def rates_text(rates: Rates) -> list[str]:
    """What was measured, a line each."""
    layers = ", ".join(f"{rate / 1e9:.0f} at width {width}" for width, rate in rates.flops.items())
    streaming, launching = rates.weight_bytes / 1e9, 1e6 * rates.layer_seconds
    decoders = ", ".join(
        f"{name} {1e9 * each.pixel:.1f} ns a pixel and {1e9 * each.byte:.1f} a byte"
        for name, each in rates.decoders.items()
    )
    return [
        rates.device,
        f"layers of many tokens: {layers}; attention {rates.attention / 1e9:.0f} (GFLOPs a second)",
        f"layers of one token: {streaming:.1f} GB of weights a second, {launching:.0f} µs a layer",
        f"the first question of a process: {1e3 * rates.start_seconds:.0f} ms at least",
        f"memory written: {rates.copied / 1e9:.1f} GB a second",
        f"tiles: {1e6 * rates.tile_seconds:.0f} µs each, {rates.pixels / 1e6:.1f} Mpx a second",
        f"decoding: {decoders}",
        f"making of coarse levels: {rates.halved / 1e6:.0f} Mpx a second",
    ]
