"""Checkpoints in the local hub cache: `org/name`, or `org/name@revision`. Downloads nothing."""

from __future__ import annotations

import os
from pathlib import Path

from uhrqa.errors import CheckpointError

MARK = "hub:"


def is_hub_id(text: str) -> bool:
    """Whether a text reads as `org/name`, with or without a revision."""
    hub_id, _, _ = text.partition("@")
    return hub_id.count("/") == 1


def has_cached(hub_id: str) -> bool:
    """Whether the local cache has anything of a hub id; without huggingface_hub, which is slow."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{home}/huggingface"
    place = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    repo = hub_id.partition("@")[0].replace("/", "--")
    return (Path(place or f"{home}/hub").expanduser() / f"models--{repo}").is_dir()


def cached_snapshot(hub_id: str) -> Path:
    """The directory of a hub id in the local cache.

    Args:
        hub_id: `org/name`, which is its `main`, or `org/name@revision`: a branch, tag or commit.

    Raises:
        CheckpointError: not in the cache.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repo, _, revision = hub_id.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, local_files_only=True))
    except (OSError, HFValidationError) as error:
        option = f" --revision {revision}" if revision else ""
        where = f"revision {revision} is not in" if revision else "not a directory and not in"
        raise CheckpointError(
            f"{repo}: {where} the hub cache; download it once with: hf download {repo}{option}"
        ) from error
