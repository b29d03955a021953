"""Ground as a function of place: the colour of any point of a scene at any scale.

Textures are anchored to source coordinates, so a window shows what the whole would show there.
A texture finer than the pixels asked for fades into its mean instead of flickering.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uhrqa.geometry import Box, Size
from uhrqa.synth.kinds import SEASONS
from uhrqa.synth.scene import FIELD, SceneTruth

_TEXTURE = 512
_GRAIN = 4  # texels per feature of the noise texture
_RAGGED = ((26, 0.05), (90, 0.02), (400, 0.006))  # (features along the side, size) of zone edges
BEACH = 0.012  # width of a beach and of shallow water, in units of the zones' fields
_SAND = np.array((206, 190, 152), np.float32)
_AIR = np.array((186, 196, 206), np.float32)


def _make_noise(seed: int) -> np.ndarray:
    """A square texture that repeats without a seam, mean 0 and deviation 1, float32."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(_TEXTURE, _TEXTURE))
    f = np.fft.fftfreq(_TEXTURE)
    low_pass = np.exp(-((f[:, None] ** 2 + f[None] ** 2) * (_GRAIN * 2.2) ** 2))
    smooth = np.fft.ifft2(np.fft.fft2(white) * low_pass).real
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


_NOISE = _make_noise(7)
_DICE = np.random.default_rng(11).uniform(-1, 1, (4096, 3)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixels of a window in source coordinates.

    Attributes:
        xs: `[w]` of pixel centres.
        ys: `[h]`.
        pixel: source pixels to the pixel.
    """

    xs: np.ndarray
    ys: np.ndarray
    pixel: float

    @classmethod
    def over(cls, box: Box, out: Size) -> Grid:
        """The pixels of `out` over `box`."""
        xs = (box.x0 + (np.arange(out.w) + 0.5) * box.w / out.w).astype(np.float32)
        ys = (box.y0 + (np.arange(out.h) + 0.5) * box.h / out.h).astype(np.float32)
        return cls(xs, ys, max(box.w / out.w, box.h / out.h))

    def turned(self, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates along and across a direction, `[h, w]` each."""
        c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        x, y = self.xs[None], self.ys[:, None]
        return x * c + y * s, y * c - x * s

    def noise(self, grain: float, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Noise with features of `grain` source px, `[h, w]`; nothing when a pixel covers them."""
        share = min(1.0, max(0.0, 1.5 - self.pixel / grain))
        if share == 0.0:
            return np.zeros((1, 1), np.float32)
        step = _GRAIN / grain
        x, y = (self.xs + shift[0]) * step, (self.ys + shift[1]) * step
        ix, iy = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        rows, cols = iy % _TEXTURE, ix % _TEXTURE
        if step * self.pixel > 0.8:  # a texel is not wider than a pixel
            return np.asarray(_NOISE[rows[:, None], cols[None]] * np.float32(share))
        fx, fy = (x - ix).astype(np.float32), ((y - iy)[:, None]).astype(np.float32)
        taken, place = np.unique(ix, return_inverse=True)
        wide = _NOISE[:, np.append(taken, taken[-1] + 1) % _TEXTURE]
        down = wide[rows] * (1 - fy) + wide[(rows + 1) % _TEXTURE] * fy
        value = down[:, place] * (1 - fx) + down[:, place + 1] * fx
        return np.asarray(value * np.float32(share))

    def fade(self, size: float) -> np.float32:
        """How much of a pattern of cells of `size` source px is seen, in 0..1."""
        return np.float32(min(1.0, max(0.0, 2.0 - 3 * self.pixel / size)))


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


def zone_fields(scene: SceneTruth, grid: Grid) -> np.ndarray:
    """The zones' fields at each point of a grid, with ragged edges: `[Z, h, w]`."""
    across = spline_weights(grid.xs / scene.size.w, FIELD)
    down = spline_weights(grid.ys / scene.size.h, FIELD)
    fields = np.asarray(down @ scene.fields @ across.T)
    side = max(scene.size)
    for index in range(1, len(fields)):
        for count, size in _RAGGED:
            fields[index] += size * grid.noise(side / count, (37.0 * index * side / count, 0.0))
    return fields


def zone_map(scene: SceneTruth, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Index of the zone that covers each point of a grid: `[len(ys), len(xs)]`."""
    if len(scene.zones) == 1:
        return np.zeros((len(ys), len(xs)), np.int64)
    step = float(xs[1] - xs[0]) if len(xs) > 1 else 1.0
    grid = Grid(xs.astype(np.float32), ys.astype(np.float32), step)
    return np.asarray(zone_fields(scene, grid).argmax(0))


def paint_land(scene: SceneTruth, box: Box, out: Size) -> np.ndarray:
    """The ground under a box, `[h, w, 3]` float32 in 0..255, before light falls on it."""
    grid = Grid.over(box, out)
    side = max(scene.size)
    palette = np.array([SEASONS[scene.light.season][name] for name in scene.zones], np.float32)
    if len(scene.zones) > 1:
        fields = zone_fields(scene, grid)
        zones = fields.argmax(0)
        land = palette[zones]
    else:
        fields, zones = np.zeros((1, out.h, out.w), np.float32), np.zeros((out.h, out.w), np.int64)
        land = np.broadcast_to(palette[0], (out.h, out.w, 3)).copy()
    land += (6 * grid.noise(side / 9) + 3 * grid.noise(57.0))[..., None]
    for index, name in enumerate(scene.zones):
        here = zones == index
        if here.any():
            land += _PAINTERS[name](scene, grid) * here[..., None]
    if "sea" in scene.zones and len(scene.zones) > 1:
        _paint_coast(land, fields, scene.zones.index("sea"))
    return np.asarray(land)


def _paint_coast(land: np.ndarray, fields: np.ndarray, sea: int) -> None:
    """A beach on the land's side, shallow water and a line of surf on the other."""
    gap = fields[sea] - np.delete(fields, sea, 0).max(0)  # above 0: water
    if gap.max() < -BEACH or gap.min() > 4 * BEACH:
        return
    sand = np.clip(1 + gap / BEACH, 0, 1) * (gap <= 0)
    shallow = 0.35 * np.clip(1 - gap / (4 * BEACH), 0, 1) * (gap > 0)
    surf = 0.5 * ((gap > 0) & (gap < BEACH / 8))
    for share, colour in ((sand, _SAND), (shallow, _SAND), (surf, _AIR + 40)):
        land += share[..., None].astype(np.float32) * (colour - land)


def _dice(row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Three fixed random numbers in -1..1 for each cell, `[h, w, 3]`."""
    return np.asarray(_DICE[(row.astype(np.int64) * 131 + col.astype(np.int64) * 31) % len(_DICE)])


def _sea(scene: SceneTruth, grid: Grid) -> np.ndarray:
    """Swell and ripples across the wind."""
    swell = grid.noise(46.0) * 2 + grid.noise(13.0, (5.0, 91.0)) * 3 + grid.noise(5.0) * 3
    return np.asarray(swell[..., None] * np.array((0.8, 1.0, 1.0), np.float32))


def _town(scene: SceneTruth, grid: Grid) -> np.ndarray:
    """Blocks with flat roofs, courts and yards between streets; roofs throw shadows."""
    size = max(4.2 * scene.unit, max(scene.size) / 150)
    fade = grid.fade(size / 3)
    if fade == 0.0:
        return np.zeros((1, 1, 1), np.float32)
    u, v = grid.turned(scene.seed % 7 / 5)
    u, v = u / np.float32(size), v / np.float32(0.8 * size)
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = u - iu, v - iv
    dice = _dice(iv, iu)
    street = (fu < 0.13) | (fv < 0.15)
    low, high = 0.24 + 0.05 * dice[..., 0], 0.86 + 0.06 * dice[..., 1]

    def roof(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray((a > low) & (a < high) & (b > low) & (b < high))

    on = roof(fu, fv)
    turn = scene.light.sun - scene.seed % 7 / 5
    far = 0.07 * scene.light.reach
    shade = roof(fu - far * math.cos(turn), fv - far * math.sin(turn)) & ~on & ~street
    court = on & (dice[..., 2] > 0.2) & (np.abs(fu - 0.55) < 0.12) & (np.abs(fv - 0.55) < 0.12)
    tint = 26 * dice + 10
    yard = np.array((-14, 0, -22), np.float32)
    value = np.where(on[..., None], tint.mean(-1, keepdims=True) + 0.4 * tint, yard)
    value = np.where(street[..., None], np.float32(-34), value)
    value = np.where((shade | court)[..., None], np.float32(-58), value)
    return np.asarray(fade * value, dtype=np.float32)


def _farm(scene: SceneTruth, grid: Grid) -> np.ndarray:
    """Fields of many tints in staggered rows, with crop rows and hedges."""
    size = max(scene.size) / (16 + scene.seed % 13)
    u, v = grid.turned(scene.seed % 11 / 4)
    iv = np.floor(v / np.float32(0.6 * size))
    row = _dice(iv, 0 * iv)
    u = u / np.float32(size) * (1 + 0.45 * row[..., 0]) + row[..., 1]
    iu = np.floor(u)
    dice = _dice(iv, iu)
    value = dice * np.array((9, 13, 8), np.float32) + 17 * dice[..., :1]
    fu, fv = u - iu, v / np.float32(0.6 * size) - iv
    edge = (np.minimum(fu, 1 - fu) < 0.012) | (np.minimum(fv, 1 - fv) < 0.02)
    value = np.where(edge[..., None], np.array((-46, -24, -26), np.float32), value)
    for period, along in ((9.0, 0), (14.0, 1)):
        fade = grid.fade(period)
        if fade > 0:
            rows = np.sin((v if along else u * np.float32(size)) * np.float32(2 * math.pi / period))
            value = value + (4 * fade * rows * ((dice[..., 1] > 0.2) == along))[..., None]
    return np.asarray(value + 3 * grid.noise(11.0)[..., None], dtype=np.float32)


def _forest(scene: SceneTruth, grid: Grid) -> np.ndarray:
    """Crowns lit from the sun's side: the slope of two noises along its direction."""
    value = np.zeros((1, 1), np.float32)
    for grain, size in ((24.0, 11.0), (9.0, 9.0)):
        far = 0.3 * grain
        shift = (far * math.cos(scene.light.sun), far * math.sin(scene.light.sun))
        crown = grid.noise(grain, (17.0, 3.0))
        slope = crown - grid.noise(grain, (17.0 - shift[0], 3.0 - shift[1]))
        value = value + size * (slope + 0.5 * crown)
    return np.asarray(value[..., None] * np.array((0.8, 1.0, 0.6), np.float32))


_PAINTERS = {"sea": _sea, "town": _town, "farm": _farm, "forest": _forest}


def expose(scene: SceneTruth, pixels: np.ndarray, box: Box) -> np.ndarray:
    """Light on drawn ground and objects: grain of surfaces, cloud shadows, haze and tint.

    Args:
        scene: whose light.
        pixels: `[h, w, 3]` in 0..255.
        box: what they show.

    Returns:
        `[h, w, 3]` uint8.
    """
    grid = Grid.over(box, Size(pixels.shape[0], pixels.shape[1]))
    light = scene.light
    grain = 2.5 * grid.noise(3.0, (1.0, 7.0)) + 3.5 * grid.noise(8.0, (3.0, 1.0))
    cloud = np.clip(grid.noise(max(scene.size) / 5, (0.0, 5000.0)) - 1.1, 0, 0.8)
    value = pixels * (1 - 0.22 * cloud)[..., None] + grain[..., None]
    value = (value + light.haze * (_AIR - value)) * np.array(light.tint, np.float32)
    return np.asarray(np.clip(value, 0, 255), dtype=np.uint8)
