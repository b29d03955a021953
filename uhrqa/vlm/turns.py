"""Earlier turns of a conversation, written as a checkpoint's own template wants them.

The image stands in the first turn. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

SPECIAL = re.compile(r"<\|[^|>]+\|>\s*")  # as <|im_end|> and <|eot_id|> are written


class Turn(NamedTuple):
    """A question that was answered before."""

    question: str
    answer: str


Turns = Sequence[Turn]  # oldest first


def chat_forms(question: str, history: Turns, image: str) -> list[list[dict[str, Any]]]:
    """The conversation as messages, in the forms that chat templates take: parts or plain text.

    Args:
        question: the last one, unanswered.
        history: what was asked before, oldest first.
        image: the image token, for templates of plain text.
    """
    return [
        _chat(question, history, image, parts, answer_parts)
        for parts, answer_parts in ((True, False), (True, True), (False, False))
    ]


def _chat(
    question: str, history: Turns, image: str, parts: bool, answer_parts: bool
) -> list[dict[str, Any]]:
    chat: list[dict[str, Any]] = []
    for number, (asked, answer) in enumerate([*history, Turn(question, "")]):
        text: list[dict[str, str]] = [{"type": "text", "text": asked}]
        if number == 0:
            asked, text = f"{image}\n{asked}", [{"type": "image"}, *text]
        chat.append({"role": "user", "content": text if parts else asked})
        if number < len(history):
            said = [{"type": "text", "text": answer}] if answer_parts else answer
            chat.append({"role": "assistant", "content": said})
    return chat


def write_turns(template: str, question: str, history: Turns, *, image: str, end: str) -> str:
    """The conversation by a template of one turn, for tokenizers that bring none of their own.

    What leads to the question (`USER: `) leads to the later ones, too. An answer ends as the
    question does where that is a special token (`<|im_end|>`), and with `end` elsewhere.

    Args:
        template: holds `image` and `{question}` once each.
        question: the last one, unanswered.
        history: what was asked before, oldest first.
        image: the image token.
        end: the tokenizer's end token, or nothing.
    """
    head, _, tail = template.partition("{question}")
    before, _, between = head.partition(image)
    role = between.lstrip() or (re.findall(r"\S+\s*$", before) or [""])[0]
    closing = SPECIAL.search(tail)
    lead = "" if tail[-1:].isspace() or not tail else " "
    text = head
    for asked, answer in history:
        text += f"{asked}{tail}{lead}{answer}{closing[0] if closing else end}{role}"
    return f"{text}{question}{tail}"
