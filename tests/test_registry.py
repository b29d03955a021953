"""Names that installed packages add."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from uhrqa import registry
from uhrqa.errors import ConfigError, UnknownNameError
from uhrqa.registry import Registry


def registry_with(monkeypatch: pytest.MonkeyPatch, **added: str) -> Registry:
    points = [EntryPoint(name, value, "group") for name, value in added.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    return Registry("thing", {"size": "uhrqa.geometry:Size", "gone": "uhrqa.gone:Gone"}, "group")


def test_a_package_adds_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    things = registry_with(monkeypatch, box="uhrqa.geometry:Box")
    assert list(things) == ["size", "gone", "box"]
    assert things.load("box").__name__ == "Box"


def test_a_name_that_is_taken_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="thing 'size' is registered twice"):
        list(registry_with(monkeypatch, size="uhrqa.geometry:Box"))


@pytest.mark.parametrize("value", ["no_such_package:Thing", "uhrqa.geometry:Thing"])
def test_a_package_that_cannot_be_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    things = registry_with(monkeypatch, broken=value)
    with pytest.raises(ConfigError, match=r"thing 'broken': .* cannot be imported"):
        things.load("broken")
    assert things.load("size")


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError):
        registry_with(monkeypatch).load("gone")


def test_a_refused_name_gives_its_reason_until_a_package_brings_it(monkeypatch) -> None:
    things = Registry("thing", {}, refused={"odd": "nobody knows how"})
    with pytest.raises(UnknownNameError, match="thing 'odd' is refused: nobody knows how"):
        things["odd"]
    assert "odd" not in things
    point = EntryPoint("odd", "uhrqa.geometry:Size", "group")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert Registry("thing", {}, "group", {"odd": "why"}).load("odd").__name__ == "Size"
