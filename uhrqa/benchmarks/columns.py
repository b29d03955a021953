"""Rows of parquet and Arrow files through pyarrow, without reading the pictures in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from uhrqa.errors import QuestionError

PICTURES = ("image", "images", "bytes")  # columns that may hold pictures
UNREAD = b""  # in the place of a picture


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number of the row, from 0, and its fields; of pictures only their names."""
    file = _parquet(path)
    leaves = [file.schema.column(index).path for index in range(len(file.schema))]
    light = [leaf for leaf in leaves if not _is_picture_leaf(leaf)]
    hidden = {leaf.partition(".")[0] for leaf in leaves} - {lf.partition(".")[0] for lf in light}
    at = 0
    for batch in file.iter_batches(columns=light):
        for row in batch.to_pylist():
            yield at, row | dict.fromkeys(hidden, UNREAD) | _named(row)
            at += 1


def _is_picture_leaf(leaf: str) -> bool:
    """Whether a leaf column holds pictures: `bytes`, `image.bytes`, `image.list.element.bytes`."""
    root, _, _ = leaf.partition(".")
    return root in PICTURES and leaf.rpartition(".")[2] == "bytes"


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Pictures of which only names were read."""
    return {name: _unread(row[name]) for name in PICTURES if name in row}


def _unread(value: Any) -> Any:  # noqa: ANN401 - a cell of any type
    if isinstance(value, list):
        return [_unread(part) for part in value]
    return {"bytes": UNREAD, **value} if isinstance(value, dict) else value


def parquet_cell(path: Path, column: str, row: int) -> Any:  # noqa: ANN401 - whatever it holds
    """One cell, of a row counted from 0."""
    file = _parquet(path)
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if row < count:
            batches = file.iter_batches(batch_size=1, row_groups=[group], columns=[column])
            for _ in range(row):
                next(batches)
            return next(batches).column(0).to_pylist()[0]
        row -= count
    raise QuestionError(f"{path}: has no row {row}; it was replaced while it was read")


def arrow_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number of the row, from 0, and its fields; of pictures only their names."""
    pyarrow = _pyarrow(path)
    at = 0
    for batch in _batches(path):
        light = batch.select([name for name in batch.schema.names if name not in PICTURES])
        pictures = {
            name: _light(pyarrow, batch.column(name))
            for name in PICTURES
            if name in batch.schema.names
        }
        for index, row in enumerate(light.to_pylist()):
            yield at, row | {name: values[index] for name, values in pictures.items()}
            at += 1


def _light(pyarrow: Any, column: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    """A column of pictures without them."""
    types, kind = pyarrow.types, column.type
    if types.is_list(kind) or types.is_large_list(kind):
        parts, lengths = _light(pyarrow, column.flatten()), column.value_lengths().to_pylist()
        found, at = [], 0
        for length in lengths:
            found.append(parts[at : at + (length or 0)])
            at += length or 0
        return found
    if types.is_struct(kind):
        light = [field.name for field in kind if field.name != "bytes"]
        cells = [column.field(name).to_pylist() for name in light]
        return [
            {"bytes": UNREAD, **dict(zip(light, row, strict=True))}
            for row in (zip(*cells, strict=True) if cells else [()] * len(column))
        ]
    if types.is_binary(kind) or types.is_large_binary(kind):
        return [UNREAD] * len(column)
    values: list[Any] = column.to_pylist()  # names, or base64
    return values


def arrow_cell(path: Path, column: str, row: int) -> Any:  # noqa: ANN401 - whatever it holds
    """One cell, of a row counted from 0."""
    for batch in _batches(path):
        if row < batch.num_rows:
            return batch.column(batch.schema.get_field_index(column)).slice(row, 1).to_pylist()[0]
        row -= batch.num_rows
    raise QuestionError(f"{path}: has no row {row}; it was replaced while it was read")


def _batches(path: Path) -> Iterator[Any]:
    """The batches of an Arrow stream or file, memory-mapped."""
    pyarrow = _pyarrow(path)
    try:
        yield from pyarrow.ipc.open_stream(pyarrow.memory_map(str(path)))
    except pyarrow.ArrowInvalid as error:
        try:
            opened = pyarrow.ipc.open_file(pyarrow.memory_map(str(path)))
        except pyarrow.ArrowInvalid:
            raise QuestionError(f"{path}: not an Arrow stream, or not whole: {error}") from error
        for index in range(opened.num_record_batches):
            yield opened.get_batch(index)


def _parquet(path: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    pyarrow = _pyarrow(path)
    try:
        return pyarrow.parquet.ParquetFile(path, memory_map=True)
    except pyarrow.ArrowInvalid as error:
        raise QuestionError(f"{path}: not a parquet file, or not whole: {error}") from error


def _pyarrow(path: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise QuestionError(
            f"{path}: parquet and Arrow files need pyarrow; pip install 'uhrqa[data]'"
        ) from error
    return pyarrow


CELLS: Mapping[str, Callable[[Path, str, int], Any]] = {
    "parquet": parquet_cell,
    "arrow": arrow_cell,
}
"""Kind of file to what reads one of its cells."""
