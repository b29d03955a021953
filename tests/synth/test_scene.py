"""Scenes are fixed by their seed, and a window shows what the whole shows there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from uhrqa.geometry import Box, Size
from uhrqa.raster import Raster, open_raster
from uhrqa.synth import SceneRaster, draw_scene, render, write_scene
from uhrqa.synth.kinds import BY_NAME, COLOURS, PLACES
from uhrqa.synth.labels import HEADS, KIND_NAMES, Footprints, coverage, label_tile
from uhrqa.synth.land import spline_weights, zone_map

SEEDS = range(30)


def test_a_seed_gives_one_scene_and_another_seed_another() -> None:
    first, again, other = draw_scene(3, 2048), draw_scene(3, 2048), draw_scene(4, 2048)
    assert (first.sites, first.things) == (again.sites, again.things)
    assert first.things != other.things


def test_rendering_is_repeatable() -> None:
    scene, box = draw_scene(1, 1500), Box(100, 200, 612, 712)
    assert np.array_equal(render(scene, box, Size(64, 64)), render(scene, box, Size(64, 64)))


@pytest.mark.parametrize("seed", [0, 5, 9])
def test_a_window_is_the_crop_of_the_whole(seed: int) -> None:
    scene = draw_scene(seed, 1024)
    site = scene.sites[0]
    x, y = (int(min(max(c - 100, 0), 824)) for c in (site.x, site.y))
    whole = render(scene, Box(0, 0, 1024, 1024), Size(1024, 1024)).astype(int)
    window = render(scene, Box(x, y, x + 200, y + 200), Size(200, 200)).astype(int)
    gap = np.abs(whole[y : y + 200, x : x + 200] - window)
    # Edges of polygons may round to the next of nine subpixels; nothing else may differ.
    assert np.mean(gap > 2) < 0.01


def test_objects_are_drawn_where_the_truth_says_and_in_their_colour() -> None:
    hits = 0
    things = [
        (scene, thing)
        for scene in (draw_scene(seed, 1200) for seed in SEEDS)
        for thing in scene.things
        if thing.kind in ("car", "ship")
    ][:100]
    for scene, thing in things:
        r = thing.width / 2
        c, s = math.cos(thing.angle), math.sin(thing.angle)
        shown = render(
            scene, Box(thing.x - 40, thing.y - 40, thing.x + 40, thing.y + 40), Size(320, 320)
        )
        u, v = -0.1 * thing.length, 0.5 * r  # off decks and wind-screens
        at = (round(160 + 4 * (u * s + v * c)), round(160 + 4 * (u * c - v * s)))
        gap = np.abs(shown[at].astype(int) - COLOURS[thing.colour]).max()
        hits += gap < 45
    assert len(things) > 40
    assert hits / len(things) > 0.85


def test_objects_stand_apart_on_their_own_site() -> None:
    for scene in (draw_scene(seed, 4096) for seed in SEEDS):
        for index, site in enumerate(scene.sites):
            own = [scene.things[i] for i in site.things]
            assert all(thing.site == index and thing.kind == site.kind for thing in own)
            for thing in own:
                assert math.dist((thing.x, thing.y), (site.x, site.y)) < 1.3 * site.radius
                if thing.kind != "stadium":
                    assert thing.length < 1.5 * scene.unit * BY_NAME[thing.kind].length
            gaps = [
                math.dist((a.x, a.y), (b.x, b.y)) / max(a.length, b.length)
                for k, a in enumerate(own)
                for b in own[:k]
            ]
            assert min(gaps, default=9.0) > 0.95


@pytest.mark.parametrize("side", [700, 3000])
def test_every_object_lies_in_the_image_and_in_the_ninth_its_site_is_named_after(side: int) -> None:
    for scene in (draw_scene(seed, side, aspect=0.75) for seed in range(120)):
        for thing in scene.things:
            cell = int(thing.y * 3 / scene.size.h) * 3 + int(thing.x * 3 / scene.size.w)
            assert PLACES[cell] == scene.sites[thing.site].place
            assert 0 < thing.x < scene.size.w
            assert 0 < thing.y < scene.size.h
            zone = zone_map(scene, np.array([thing.x]), np.array([thing.y]))[0, 0]
            if scene.sites[thing.site].at_sea:
                assert scene.zones[zone] == "sea"


def test_no_road_runs_over_the_sea() -> None:
    for scene in (draw_scene(seed, 3000) for seed in range(60)):
        if "sea" not in scene.zones:
            continue
        for road in scene.roads:
            wet = [
                scene.zones[zone_map(scene, np.array([x]), np.array([y]))[0, 0]] == "sea"
                for x, y in road
                if 0 < x < 3000 and 0 < y < 3000
            ]
            assert sum(wet) <= 1  # a bay narrower than the map's cells


def test_a_site_lies_in_the_ninth_it_is_named_after() -> None:
    for scene in (draw_scene(seed, 3000, aspect=0.75) for seed in SEEDS):
        for site in scene.sites:
            cell = int(site.y * 3 / scene.size.h) * 3 + int(site.x * 3 / scene.size.w)
            assert PLACES[cell] == site.place
            assert site.surface in BY_NAME[site.kind].surfaces


@pytest.mark.parametrize("side", [1000, 16384])
def test_objects_are_six_to_some_hundred_pixels_long(side: int) -> None:
    lengths = [thing.length for seed in SEEDS for thing in draw_scene(seed, side).things]
    assert min(lengths) > 6
    assert max(lengths) < 110


def test_labels_put_an_object_in_the_patch_that_shows_its_centre() -> None:
    scene = next(s for s in (draw_scene(k, 1500) for k in SEEDS) if s.things)
    thing, prints = scene.things[0], Footprints.of(scene)
    box = Box(thing.x - 40, thing.y - 50, thing.x + 72, thing.y + 62)  # one pixel is one pixel
    labels, density = label_tile(scene, prints, box, 8)
    assert labels.shape == (len(HEADS), 64)
    cell = (50 // 14) * 8 + (40 // 14)
    assert KIND_NAMES[labels[list(HEADS).index("kind"), cell]] == thing.kind
    assert density[cell] > 0.2


def test_the_density_of_a_scene_adds_up_to_its_objects() -> None:
    for scene in (draw_scene(seed, 1500) for seed in SEEDS):
        _, density = label_tile(scene, Footprints.of(scene), Box(0, 0, 1500, 1500), 30)
        assert density.sum() == pytest.approx(len(scene.things), abs=0.06 * len(scene.things))


def test_nothing_that_belongs_on_land_lies_in_the_sea() -> None:
    wet = 0
    for scene in (draw_scene(seed, 4096) for seed in range(80)):
        for site in scene.sites:
            zone = zone_map(scene, np.array([site.x]), np.array([site.y]))[0, 0]
            assert (scene.zones[zone] == "sea") == site.at_sea
            assert site.kind == "ship" or not site.at_sea
            wet += site.at_sea
    assert wet > 3


def test_coverage_adds_up_to_one_inside_and_to_none_outside() -> None:
    scene = next(s for s in (draw_scene(k, 1500) for k in SEEDS) if s.things)
    thing, prints = scene.things[0], Footprints.of(scene)
    shares, centres = coverage(prints, Box.whole(scene.size), 8)
    assert shares[0].sum() == pytest.approx(1.0)
    assert centres[0] == int(thing.y * 8 / scene.size.h) * 8 + int(thing.x * 8 / scene.size.w)
    shares, centres = coverage(prints, Box(-100, -100, -10, -10), 8)
    assert shares.sum() == 0
    assert set(centres.tolist()) == {-1}


def test_spline_weights_sum_to_one() -> None:
    weights = spline_weights(np.linspace(0, 1, 50), 24)
    assert np.allclose(weights.sum(1), 1, atol=1e-5)


def test_the_lazy_raster_keeps_the_protocol_and_masks_what_lies_outside() -> None:
    with SceneRaster(draw_scene(2, 2000, aspect=0.5)) as raster:
        assert isinstance(raster, Raster)
        assert raster.size == Size(1000, 2000) == raster.levels[0]
        pixels = raster.read(Box(1900, 900, 2100, 1100), Size(100, 100))
        assert pixels.mask.sum() == 50 * 50
        assert not pixels.array[~pixels.mask].any()
        assert raster.bytes_read == 3 * 50 * 50


@pytest.mark.parametrize("compression", ["deflate", "jpeg"])
def test_a_written_scene_reads_back_with_overviews(tmp_path: Path, compression: str) -> None:
    scene, file = draw_scene(7, 1300), tmp_path / "scene.tif"
    write_scene(scene, file, compression)
    lazy = SceneRaster(scene)
    with open_raster(file) as raster:
        assert raster.size == scene.size
        assert raster.levels == (Size(1300, 1300), Size(650, 650))
        for box, out in (
            (Box(300, 300, 700, 700), Size(400, 400)),
            (Box.whole(scene.size), Size(325, 325)),
        ):
            stored = raster.read(box, out).array.astype(int)
            drawn = lazy.read(box, out).array.astype(int)
            assert np.abs(stored - drawn).mean() < 6
