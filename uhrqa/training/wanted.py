"""What a question wants of a view: where attention should lie, and how much its answer counts."""

from __future__ import annotations

import numpy as np

from uhrqa.synth.questions import DETAIL, Question
from uhrqa.training.views import View

SINK_WEIGHT = 8.0  # attention a count leaves on the first token, in objects
ASKED_SHARE = 0.6  # of the attention on an object asked about, beside those it is told from
UNREADABLE = 0.12  # weight of an answer that can only be guessed


def ground_row(view: View, question: Question, spot: np.ndarray, count: int) -> np.ndarray:
    """Objects share the attention equally; "no" and "0" leave half or all of it on the sink.

    An object that is told from others gets `ASKED_SHARE` of it, the others the rest.
    """
    row = np.zeros(1 + count, np.float32)
    if question.category == "rural/urban":
        return row
    pairs = view.thing_hits if question.things or question.among else view.site_hits
    asked = question.things or question.among or question.sites
    beside = question.among if question.things else ()
    for owners, share in ((asked, ASKED_SHARE if beside else 1.0), (beside, 1.0 - ASKED_SHARE)):
        found: dict[int, list[int]] = {}
        for owner, token in pairs.tolist():
            if owner in owners and view.level[token] > 0 and spot[token] >= 0:
                found.setdefault(owner, []).append(1 + int(spot[token]))
        for tokens in found.values():
            row[tokens] += share / (len(found) * len(tokens))
    if not row.any():
        row[0] = 0.0 if question.things else 1.0
    elif question.answer in ("no", "0") or not question.things:
        row *= 0.5 / row.sum()
        row[0] = 0.5
    else:
        row /= row.sum()
    return row


def count_row(view: View, question: Question, spot: np.ndarray, count: int) -> np.ndarray:
    """One part of attention for each object at the finest level, beside the sink.

    An object's part is spread over its tokens by area, as in the density maps that crowds are
    counted with: where exactly its centre lies need not be known.
    """
    row = np.zeros(1 + count, np.float32)
    if question.category != "count":
        return row
    finest = max(view.scale)
    own = [
        (thing, token, share)
        for (thing, token), share in zip(view.parts.tolist(), view.part_share, strict=True)
        if thing in question.things and view.level[token] == finest and spot[token] >= 0
    ]
    whole = dict.fromkeys((thing for thing, _, _ in own), 0.0)
    for thing, _, share in own:
        whole[thing] += share
    for thing, token, share in own:
        row[1 + spot[token]] += share / whole[thing]
    row[0] = SINK_WEIGHT
    return row / row.sum()


def readable(view: View, question: Question) -> bool:
    """Whether the objects are large enough at the finest level for the answer to be seen."""
    if not question.things:
        return True
    least = float(view.length[list(question.things)].min())
    return least * view.scale[max(view.scale)] >= DETAIL.get(question.category, 0.0)


def answer_weight(view: View, question: Question) -> float:
    """Of the answer in the loss."""
    return 1.0 if readable(view, question) else UNREADABLE
