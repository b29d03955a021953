"""Names of strategies, model families and formats: a name stands for `module:attribute`.

Nothing is imported before it is asked for, so listing names costs nothing. Third parties add names
through an entry point group (`uhrqa.strategies`). A name that is taken twice is an error.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from uhrqa.errors import ConfigError, UnknownNameError


def suggest(name: str, known: Iterable[str]) -> str:
    """A clause that helps with a mistyped name.

    Returns:
        `; did you mean 'x'? Known: a, b, x` or, with no near miss, `; known: a, b, x`.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.55)
    listing = ", ".join(names) or "none"
    return f"; did you mean '{near[0]}'? Known: {listing}" if near else f"; known: {listing}"


class Registry(Mapping[str, str]):
    """A table of names, each a `module:attribute` that is imported when it is first used.

    Args:
        kind: what the names stand for, as error messages call it.
        table: name to `module:attribute`.
        group: entry point group that third parties add to, if any.
        refused: names that are known and stand for nothing, each with the reason.

    Raises:
        ConfigError: an installed package claims a name that is already taken.
    """

    def __init__(
        self,
        kind: str,
        table: Mapping[str, str],
        group: str | None = None,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.refused = dict(refused or {})
        self._builtin = dict(table)
        self._group = group
        self._merged: dict[str, str] | None = None

    @property
    def _table(self) -> dict[str, str]:
        if self._merged is None:
            merged = dict(self._builtin)
            for point in entry_points(group=self._group) if self._group else ():
                if point.name in merged:
                    raise ConfigError(
                        f"{self.kind} '{point.name}' is registered twice: "
                        f"{merged[point.name]} and {point.value}; uninstall one"
                    )
                merged[point.name] = point.value
            self._merged = merged
        return self._merged

    def __getitem__(self, name: str) -> str:
        if name not in self._table:
            if name in self.refused:
                raise UnknownNameError(f"{self.kind} '{name}' is refused: {self.refused[name]}")
            raise UnknownNameError(f"unknown {self.kind} '{name}'{suggest(name, self._table)}")
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def load(self, name: str) -> Any:  # noqa: ANN401 - a class or a function, as registered
        """The object a name stands for.

        Raises:
            UnknownNameError: no such name; the message suggests the nearest.
            ConfigError: an installed package gave the name, and cannot be imported.
        """
        module, _, attribute = self[name].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if name in self._builtin:
                raise
            raise ConfigError(
                f"{self.kind} '{name}': {self[name]} cannot be imported ({error}); "
                "mend or uninstall the package it comes from"
            ) from error
