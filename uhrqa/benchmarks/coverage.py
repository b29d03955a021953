"""How much of its data set a result file holds."""

from __future__ import annotations

from uhrqa.benchmarks.rows import Outcome


def asked_of(outcome: Outcome) -> tuple[int, int] | None:
    """Questions with a row for every way met, and those the run was to ask.

    None where the file does not tell: answers of other programs, and shards.
    """
    manifest = outcome.manifest
    whole = manifest.get("data", {}).get("questions")
    if not isinstance(whole, int) or manifest.get("from") or manifest.get("shard"):
        return None
    asked = min((len(outcome.of(way)) for way in outcome.ways), default=0)
    return asked, min(whole, manifest.get("limit") or whole)


def part_notes(outcome: Outcome) -> list[str]:
    """What keeps a result from being about all questions, a line each."""
    manifest = outcome.manifest
    found = asked_of(outcome)
    if found is None:
        if not manifest.get("shard"):
            return []
        part, count = manifest["shard"]
        return [f"--shard {part}/{count}: {len(outcome.main)} of {manifest['data']['questions']}"]
    asked, wanted = found
    notes = []
    if asked < wanted:
        notes.append(f"{asked} of {wanted} questions: the run was stopped, start it again")
    if wanted < manifest["data"]["questions"]:
        notes.append(
            f"--limit {manifest['limit']}: {wanted} of {manifest['data']['questions']} questions"
        )
    return notes
