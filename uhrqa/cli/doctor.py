"""`uhrqa doctor`: versions, device, attention backends, and breakages with their fix."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import typer

from uhrqa import __version__
from uhrqa.cli import options as opt
from uhrqa.cli.console import dump_json, print_result
from uhrqa.config import FORMATS
from uhrqa.errors import ConfigError

app = typer.Typer(add_completion=False)

EPILOG = opt.examples("uhrqa doctor", "uhrqa doctor --json")
SCHEMA = "uhrqa.doctor/1"
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pillow",
    "tifffile",
    "imagecodecs",
    "zarr",
    "typer",
    "rich",
)
LEAST_TRANSFORMERS = (5, 18)
LEAST_TORCH = (2, 6)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        state: `ok`, `note` (works, could be better) or `broken`.
        found: what there is.
        fix: what to do, if anything.
    """

    name: str
    state: str
    found: str
    fix: str = ""


@app.command(epilog=EPILOG)
def doctor(
    format_: opt.Format = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Check versions, device, attention backends and known breakages.

    Ends with 1 when something is broken.
    """
    try:
        wanted = opt.resolve(quiet=quiet, verbose=verbose, as_json=as_json, format=format_).format
        checks = [Check("settings", "ok", "valid; uhrqa config show --origin lists them")]
    except ConfigError as error:
        wanted = "json" if as_json else format_ or "text"
        if wanted not in FORMATS:  # the flag itself is wrong
            raise
        checks = [Check("settings", "broken", str(error), "mend it there")]
    checks += [check for look in LOOKS for check in look()]
    broken = any(check.state == "broken" for check in checks)
    if wanted == "json":
        rows = [asdict(check) for check in checks]
        print_result(dump_json({"schema": SCHEMA, "ok": not broken, "checks": rows}))
    else:
        for check in checks:
            if not quiet or check.state == "broken":
                fix = f"\n         fix: {check.fix}" if check.fix else ""
                print_result(f"{check.state:6}  {check.name}: {check.found}{fix}")
    raise typer.Exit(1 if broken else 0)


def check_versions() -> list[Check]:
    """Python and the packages, each there and new enough."""
    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    checks = [Check("uhrqa", "ok", __version__), Check("python", "ok", system)]
    least = {"transformers": LEAST_TRANSFORMERS, "torch": LEAST_TORCH}
    for name in PACKAGES:
        found = _version(name)
        wanted = least.get(name, ())
        if found is None:
            checks.append(Check(name, "broken", "not installed", f"pip install {name}"))
        elif _numbers(found) < wanted:
            need = ".".join(map(str, wanted))
            fix = f"pip install -U '{name}>={need}'"
            checks.append(Check(name, "broken", f"{found}, older than {need}", fix))
        else:
            checks.append(Check(name, "ok", found))
    return checks


def check_device() -> list[Check]:
    """What a model would run on."""
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - whatever stops the import is what we report
        fix = "pip install --force-reinstall torch"
        return [Check("import torch", "broken", f"{type(error).__name__}: {error}", fix)]
    checks = []
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    many = threads > cores
    fix = f"set OMP_NUM_THREADS={cores}" if many else ""
    found = f"{threads} threads on {cores} cores"
    checks.append(Check("torch threads", "note" if many else "ok", found, fix))
    if not torch.cuda.is_available():
        fix = "install a CUDA build of torch if this machine has a GPU"
        checks.append(Check("device", "note", f"cpu (torch {torch.__version__})", fix))
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found = (
            f"{card.name}, {card.total_memory / 1e9:.0f} GB, capability {card.major}.{card.minor}"
        )
        checks.append(Check(f"cuda:{index}", "ok", found))
    return checks


def check_attention() -> list[Check]:
    """Which attention implementations there are."""
    checks = [Check("attention sdpa", "ok", "part of torch")]
    found = _version("flash-attn") or _version("flash_attn")
    if found:
        checks.append(
            Check("attention flash", "ok", f"flash-attn {found}: used on a GPU in half precision")
        )
    else:
        fix = "optional, for long contexts on CUDA: pip install 'uhrqa[flash]'"
        checks.append(Check("attention flash", "note", "flash-attn is not installed", fix))
    return checks


def check_regions() -> list[Check]:
    """Whether region-merge can cut views in every way it knows."""
    checks = []
    for name, way in (("scikit-learn", "birch"), ("scikit-image", "slic")):
        if found := _version(name):
            checks.append(Check(name, "ok", found))
        else:
            fix = f"optional, for region-merge -o partition={way}: pip install 'uhrqa[regions]'"
            checks.append(Check(name, "note", "not installed", fix))
    return checks


def check_torchvision() -> list[Check]:
    """A torchvision built for another torch stops transformers; none at all does not."""
    if importlib.util.find_spec("torchvision") is None:
        return [Check("torchvision", "ok", "not installed, not needed")]
    probe = [sys.executable, "-c", "import torch, torchvision; torchvision.ops.nms"]
    result = subprocess.run(probe, capture_output=True, text=True, check=False)  # a clean process
    if result.returncode == 0:
        return [Check("torchvision", "ok", f"{_version('torchvision')}, not needed")]
    last = (result.stderr.strip().splitlines() or ["it fails to import"])[-1]
    fix = "it does not match torch and is not needed: pip uninstall torchvision"
    return [Check("torchvision", "broken", last, fix)]


def check_hub() -> list[Check]:
    """Whether hub ids can be fetched; uhrqa itself only reads the local cache."""
    offline = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name)]
    if not offline:
        return [Check("hub", "ok", "hub ids are read from the local cache")]
    fix = f"to fetch a checkpoint: unset {' '.join(offline)}, then hf download ORG/NAME"
    return [Check("hub", "note", f"offline ({', '.join(offline)} set); cached models work", fix)]


def check_models() -> list[Check]:
    """Whether the embedded model is where it should be, and every card can be read."""
    from uhrqa.cli.models import read_cards
    from uhrqa.vlm.card import list_cards

    cards, faults = read_cards(["tiny", *list_cards()])
    checks = []
    if "tiny" in faults:
        fault = faults.pop("tiny")
        checks.append(Check("embedded model", "broken", fault, "install uhrqa again"))
    else:
        checks.append(Check("embedded model", "ok", f"tiny in {cards[0].weights}"))
    checks += [
        Check(f"model card {name}", "broken", fault, "mend the card, or remove it")
        for name, fault in faults.items()
    ]
    return checks


LOOKS: tuple[Callable[[], list[Check]], ...] = (
    check_versions,
    check_device,
    check_attention,
    check_regions,
    check_torchvision,
    check_hub,
    check_models,
)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.13.0+cpu` is (2, 13, 0)."""
    numbers: list[int] = []
    for part in text.split("+")[0].split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
