"""Raster work against the codecs' own limit and against rasterio and pyvips.

    python -m benchmarks.raster_peers [--side 8192] [--rounds 3] [--large SIDE] [--folder DIR]

Files are made once in a folder (a temporary one unless it is named). Every piece of work runs in a
process of its own, ours and the peers' in turn; medians are compared. CPU seconds begin when
libraries are imported. `--large 40960` adds thumbnails of a JPEG BigTIFF of that side and of a
sparse one of 100,000 px. Peers that are not installed are left out (extra `interop`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import tifffile
from PIL import Image

from benchmarks.raster_work import LOOKS, run
from uhrqa.raster.prepare import prepare

TILE = 512
KINDS = {"deflate": ("zlib", 6, True), "zstd": ("zstd", 3, True), "jpeg": ("jpeg", 90, False)}
Figures = tuple[float, float, float]  # CPU seconds, peak MB, MB before


def tiles(h: int, w: int) -> Iterator[np.ndarray]:
    """Smooth ground with sensor noise, about as hard to pack as an aerial image."""
    rng = np.random.default_rng(h)
    small = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
    base = np.asarray(small.resize((1024, 1024), Image.Resampling.BICUBIC)).astype(np.int16)
    for _ in range(-(-h // TILE) * -(-w // TILE)):
        y, x = rng.integers(0, TILE, 2)
        noise = rng.integers(-4, 5, (TILE, TILE, 3))
        yield np.clip(base[y : y + TILE, x : x + TILE] + noise, 0, 255).astype(np.uint8)


def write(path: Path, kind: str, h: int, w: int) -> Path:
    """A tiled TIFF without overviews, unless it is there."""
    if not path.exists():
        name, level, predictor = KINDS[kind]
        tifffile.imwrite(
            path, tiles(h, w), shape=(h, w, 3), dtype="uint8", tile=(TILE, TILE), bigtiff=True,
            photometric="rgb", compression=name, compressionargs={"level": level},
            predictor=predictor, metadata=None,
        )  # fmt: skip
    return path


def measure(rounds: int, *work: tuple[str, Path]) -> list[Figures]:
    """Medians of pieces of work that are done in turn."""
    found: list[list[Figures]] = [[] for _ in work]
    for _ in range(rounds):
        for (name, path), figures in zip(work, found, strict=True):
            seconds, peak, before = child(name, path).split()
            figures.append((float(seconds), float(peak), float(before)))
    return [tuple(map(median, zip(*figures, strict=True))) for figures in found]


def child(name: str, path: Path) -> str:
    """The last line that a piece of work prints."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.raster_peers", "--child", name, str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip().splitlines()[0 if name in ("quality", "colours") else -1]


def told(work: str, bar: str, measured: str) -> None:
    """One row of the table."""
    print(f"| {work} | {bar} | {measured} |", flush=True)


def passes(files: dict[str, Path], rounds: int) -> None:
    """The whole pyramid and every tile, against decoding alone."""
    for kind, path in files.items():
        limit, ours = measure(rounds, ("decode", path), ("pyramid", path))
        bar = "1.10 x, 200 MB" if kind == "deflate" else "1.25 x, 200 MB"
        told(
            f"pyramid and every 336 tile, {kind}, against decoding", bar,
            f"{ours[0] / limit[0]:.2f} x ({ours[0]:.2f} / {limit[0]:.2f} s), peak {ours[1]:.0f} MB "
            f"({ours[2]:.0f} before)",
        )  # fmt: skip


def png(path: Path, rounds: int) -> None:
    """The same of a PNG, against pyvips."""
    if find_spec("pyvips") is None:
        return
    limit, ours = measure(rounds, ("vips_sequential", path), ("pyramid", path))
    told(
        "pyramid and every 336 tile, PNG, against pyvips' sequential decode", "1.10 x, 250 MB",
        f"{ours[0] / limit[0]:.2f} x ({ours[0]:.2f} / {limit[0]:.2f} s), peak {ours[1]:.0f} MB",
    )  # fmt: skip


def shown(folder: Path, source: Path) -> None:
    """Contrast and colour conversion, against decoding."""
    rgb = tifffile.imread(source)
    kinds = {
        "contrast of 16 bits": (rgb.astype(np.uint16) * 16, "rgb"),
        "colours of CMYK": (np.concatenate([255 - rgb, rgb[..., :1] // 4], axis=2), "separated"),
    }
    for what, (array, photometric) in kinds.items():
        for compression in ("zlib", "zstd"):
            path = folder / "shown.tif"
            tifffile.imwrite(
                path, array, tile=(TILE, TILE), photometric=photometric, predictor=True,
                compression=compression, metadata=None,
            )  # fmt: skip
            told(f"{what}, against decoding {compression}", "1 x", child("colours", path))


def windows(files: dict[str, Path], rounds: int) -> None:
    """Random windows, against the best of the peers."""
    peers = [name for name in ("rasterio", "pyvips") if find_spec(name)]
    for kind, path in files.items():
        able = [name for name in peers if (name, kind) != ("pyvips", "zstd")]  # it shows black
        if "rasterio" in able:
            able.append("rasterio_alike")
        names = ["windows", *(f"windows_{name}" for name in (*able, "imagecodecs"))]
        ours, *others = measure(rounds, *((name, path) for name in names))
        best = min(other[0] for other in others)
        each = ", ".join(
            f"{name.removeprefix('windows_')} {other[0]:.2f}"
            for name, other in zip(names[1:], others, strict=True)
        )
        told(
            f"random 336 windows, {kind}, share of the best peer's speed", "0.85",
            f"{best / ours[0]:.2f} (ours {ours[0]:.2f} s; {each})",
        )  # fmt: skip


def large(folder: Path, side: int) -> None:
    """Memory of a thumbnail of very large files."""
    files = [(f"JPEG BigTIFF of {side} px", write(folder / "large.tif", "jpeg", side, side))]
    if find_spec("rasterio"):
        import rasterio

        files.append(("sparse BigTIFF of 100,000 px", folder / "sparse.tif"))
        with rasterio.open(
            files[-1][1], "w", driver="GTiff", width=100_000, height=100_000, count=3,
            dtype="uint8", tiled=True, blockxsize=TILE, blockysize=TILE, compress="deflate",
            photometric="RGB", BIGTIFF="YES", SPARSE_OK="TRUE",
        ):  # fmt: skip
            pass
    for name, path in files:
        ((seconds, peak, before),) = measure(1, ("thumbnail", path))
        told(f"thumbnail of a {name}", "300 MB above", f"{peak - before:.0f} MB, {seconds:.1f} s")


def main() -> None:
    """Make files, measure, print a table."""
    words = argparse.ArgumentParser()
    words.add_argument("--side", type=int, default=8192)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--large", type=int)
    words.add_argument("--folder", type=Path)
    words.add_argument("--child", nargs=2)
    given = words.parse_args()
    if given.child:
        run(given.child[0], Path(given.child[1]))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        folder.mkdir(exist_ok=True)
        h, w = given.side - given.side // 55, given.side  # 16,200 x 16,500 of 16,500
        files = {kind: write(folder / f"{kind}-{w}.tif", kind, h, w) for kind in KINDS}
        print(f"{w} x {h} px\n\n| work | bar | measured |\n|---|---|---|")
        passes(files, given.rounds)
        windows(files, given.rounds)
        ready = folder / f"ready-{w}.tif"
        if not ready.exists():
            prepare(files["deflate"], ready)
        ((seconds, _, _),) = measure(given.rounds, ("thumbnails", ready))
        told("thumbnail of a prepared file", "15 ms", f"{1000 * seconds / LOOKS:.1f} ms")
        told("level 5 and thumbnail against Pillow's bicubic of all", "49 dB, 50 dB, no drift",
             child("quality", files["deflate"]))  # fmt: skip
        shown(folder, write(folder / "small.tif", "deflate", 4096, 4096))
        picture = folder / f"image-{w}.png"
        if not picture.exists():
            Image.fromarray(tifffile.imread(files["deflate"])).save(picture, compress_level=1)
        png(picture, given.rounds)
        if given.large:
            large(folder, given.large)


if __name__ == "__main__":
    main()
