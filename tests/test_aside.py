"""A draft takes its place whole, with the umask's rights, or leaves all as it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from uhrqa.aside import SUFFIX, clear_drafts, draft_of, follow_umask


def write(path: Path, *, alone: bool = False) -> None:
    with draft_of(path, alone=alone) as draft:
        draft.write_text("new")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_there_stays_until_the_draft_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_text("old")
    with draft_of(path) as draft:
        assert draft.name == path.name  # writers choose by the ending
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt(), ValueError("wrong")])
def test_what_breaks_off_leaves_all_as_it_was(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a").write_text("old")

    def fails(draft: Path) -> None:
        draft.write_text("half")
        raise error

    with pytest.raises(type(error)), draft_of(tmp_path / "a") as draft:
        fails(draft)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("inside", ["", "part"])
def test_rights_are_those_of_the_umask_whoever_wrote(
    tmp_path: Path, umask: int, inside: str
) -> None:
    before = os.umask(umask)
    try:
        with draft_of(tmp_path / "a") as draft:
            if inside:
                draft.mkdir()
            (draft / inside).touch(0o600)  # as safetensors does
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / inside).stat().st_mode) == 0o666 & ~umask
    if inside:
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o777 & ~umask


def test_files_of_other_names_keep_their_rights(tmp_path: Path) -> None:
    for name in ("a.safetensors", "mine"):
        (tmp_path / name).touch(0o600)
    follow_umask(tmp_path, "*.safetensors")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["mine"] == 0o600
    assert modes["a.safetensors"] != 0o600


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "far").write_text("theirs")
    (tmp_path / "a").symlink_to("far")
    write(tmp_path / "a")
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "far").read_text() == "theirs"


def test_a_directory_that_is_not_empty_is_replaced_only_when_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "old").touch()
    for old in ([], [path]):
        try:
            with draft_of(path, old) as draft:
                draft.mkdir()
        except OSError:
            assert not old
            assert names(path) == ["old"]
    assert names(path) == []
    assert names(tmp_path) == ["a.zarr"]


def test_what_cannot_be_replaced_is_put_back(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()  # no file takes its place
    (tmp_path / "a.ovr").write_text("old")
    with (
        pytest.raises(OSError, match="directory"),
        draft_of(tmp_path / "a", [tmp_path / "a.ovr"]) as draft,
    ):
        draft.write_text("new")
    assert (tmp_path / "a.ovr").read_text() == "old"
    assert names(tmp_path) == ["a", "a.ovr"]


def test_what_killed_processes_left_goes_where_nobody_else_writes(tmp_path: Path) -> None:
    left = (".a[1].abcdefg_.tmp", ".a[1].0bcdefgh.tmp")
    (tmp_path / left[0]).touch()
    (tmp_path / left[1]).mkdir()
    (tmp_path / ".b.abcdefgh.tmp").touch()
    write(tmp_path / "a[1]")
    assert names(tmp_path) == sorted([*left, ".b.abcdefgh.tmp", "a[1]"])
    write(tmp_path / "a[1]", alone=True)
    assert names(tmp_path) == [".b.abcdefgh.tmp", "a[1]"]


def test_drafts_of_longer_names_are_not_touched(tmp_path: Path) -> None:
    with draft_of(tmp_path / "a.json") as draft:
        draft.write_text("theirs")
        write(tmp_path / "a", alone=True)
        write(tmp_path / "json", alone=True)
    assert (tmp_path / "a.json").read_text() == "theirs"


def killed(folder: Path, name: str) -> Path:
    """What is left of a process that ended between setting the old one apart and replacing it."""
    left = folder / f".{name}.abcdefgh{SUFFIX}"
    (left / f"{name}.old" / name).mkdir(parents=True)
    (left / f"{name}.old" / name / "old").touch()
    (left / f"{name}.old" / f"{name}.ovr").touch()
    (left / name).mkdir()
    return left


def test_what_a_killed_process_had_set_apart_goes_back(tmp_path: Path) -> None:
    killed(tmp_path, "a")
    clear_drafts(tmp_path / "a")
    assert names(tmp_path) == ["a", "a.ovr"]
    assert names(tmp_path / "a") == ["old"]


def test_and_not_where_something_else_was_written_since(tmp_path: Path) -> None:
    killed(tmp_path, "a")
    (tmp_path / "a").write_text("newer")
    clear_drafts(tmp_path / "a")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "newer"


def test_a_young_draft_may_be_somebodys(tmp_path: Path) -> None:
    left = killed(tmp_path, "a")
    clear_drafts(tmp_path / "a", age=3600)
    assert left.exists()
    os.utime(left, (0, 0))
    clear_drafts(tmp_path / "a", age=3600)
    assert names(tmp_path) == ["a", "a.ovr"]
