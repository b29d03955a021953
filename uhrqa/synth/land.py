"""Ground as a function of place: the colour of any point of a scene at any scale.

Textures are anchored to source coordinates, so a window shows what the whole would show there.
A texture finer than the pixels asked for fades into its mean instead of flickering.
"""

from __future__ import annotations

import numpy as np

from uhrqa.geometry import Box, Size
from uhrqa.synth.kinds import ZONES
from uhrqa.synth.scene import FIELD, SceneTruth

_TEXTURE = 256
_GRAIN = 4  # texels per feature of the noise texture


def _make_noise(seed: int) -> np.ndarray:
    """A square texture that repeats without a seam, mean 0 and deviation 1, float32."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(_TEXTURE, _TEXTURE))
    f = np.fft.fftfreq(_TEXTURE)
    low_pass = np.exp(-((f[:, None] ** 2 + f[None] ** 2) * (_GRAIN * 2.2) ** 2))
    smooth = np.fft.ifft2(np.fft.fft2(white) * low_pass).real
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


_NOISE = _make_noise(7)
_BLOCKS = np.random.default_rng(11).uniform(-1, 1, (32, 32)).astype(np.float32)
_TINTS = np.random.default_rng(13).uniform(-1, 1, (16, 16, 3)).astype(np.float32)


def spline_weights(at: np.ndarray, count: int) -> np.ndarray:
    """Weights of a uniform cubic B-spline with `count` knots over [0, 1]: `[len(at), count]`."""
    t = np.clip(at, 0.0, 1.0) * (count - 1)
    base = np.floor(t).astype(np.int64)
    f = t - base
    taps = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, 3 * (f + f**2 - f**3) + 1, f**3)
    weights = np.zeros((len(at), count), np.float32)
    rows = np.arange(len(at))
    for offset, tap in zip((-1, 0, 1, 2), taps, strict=True):
        np.add.at(weights, (rows, np.clip(base + offset, 0, count - 1)), tap / 6)
    return weights


def _noise_at(xs: np.ndarray, ys: np.ndarray, grain: float, pixel: float) -> np.ndarray | float:
    """Noise with features of `grain` source px, faded out when a pixel covers a feature."""
    share = min(1.0, max(0.0, 1.5 - pixel / grain))
    if share == 0.0:
        return 0.0
    step = _GRAIN / grain
    ix = np.floor(xs * step).astype(np.int64) % _TEXTURE
    iy = np.floor(ys * step).astype(np.int64) % _TEXTURE
    return np.asarray(_NOISE[iy[:, None], ix[None]] * np.float32(share))


def _cells(xs: np.ndarray, ys: np.ndarray, cell: float, pixel: float) -> np.ndarray | float:
    """Town blocks: roofs of random tone between darker streets."""
    share = min(1.0, max(0.0, 2.0 - 3 * pixel / cell))
    if share == 0.0:
        return 0.0
    u, v = xs / cell, ys / cell
    iu, iv = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    tone = 13 * _BLOCKS[iv[:, None] % 32, iu[None] % 32]
    street = ((u - iu) < 0.2)[None] | ((v - iv) < 0.2)[:, None]
    return np.asarray(np.where(street, -20.0, tone + 6) * share, dtype=np.float32)


def _fields(xs: np.ndarray, ys: np.ndarray, cell: float) -> np.ndarray:
    """Farm fields: patches of random tint, `[h, w, 3]`."""
    iu = np.floor(xs / cell).astype(np.int64) % 16
    iv = np.floor(ys / (0.7 * cell)).astype(np.int64) % 16
    return np.asarray(_TINTS[iv[:, None], iu[None]] * np.array([20, 14, 12], np.float32))


def zone_map(scene: SceneTruth, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Index of the zone that covers each point of a grid: `[len(ys), len(xs)]`."""
    if len(scene.zones) == 1:
        return np.zeros((len(ys), len(xs)), np.int64)
    across = spline_weights(xs / scene.size.w, FIELD)
    down = spline_weights(ys / scene.size.h, FIELD)
    return np.asarray((down @ scene.fields @ across.T).argmax(0))


def paint_land(scene: SceneTruth, box: Box, out: Size) -> np.ndarray:
    """The ground under a box, `[h, w, 3]` float32 in 0..255."""
    pixel = max(box.w / out.w, box.h / out.h)
    xs = (box.x0 + (np.arange(out.w) + 0.5) * box.w / out.w).astype(np.float32)
    ys = (box.y0 + (np.arange(out.h) + 0.5) * box.h / out.h).astype(np.float32)
    zones = zone_map(scene, xs, ys)
    palette = np.array([ZONES[name] for name in scene.zones], np.float32)
    land = palette[zones]
    side = max(scene.size)
    broad = _noise_at(xs, ys, side / 9, pixel)
    mid = _noise_at(xs, ys, 60.0, pixel)
    fine = _noise_at(xs, ys, 7.0, pixel)
    land += np.asarray(7 * broad + 3 * mid + 3 * fine, dtype=np.float32)[..., None]
    rng = scene.seed % 997
    for index, name in enumerate(scene.zones):
        here = zones == index
        if name == "sea" or not here.any():
            continue
        if name == "town":
            blocks = _cells(xs, ys, max(26.0 + rng % 20, side / 260), pixel)
            land += np.asarray(blocks * here, dtype=np.float32)[..., None]
        elif name == "farm":
            land += _fields(xs, ys, side / (18 + rng % 12)) * here[..., None]
        else:
            canopy = np.asarray(7 * np.asarray(_noise_at(ys, xs, 22.0, pixel)))
            canopy = canopy.T if canopy.ndim else canopy
            land += np.asarray(canopy * here, dtype=np.float32)[..., None]
    return np.asarray(land)
