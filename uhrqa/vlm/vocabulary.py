"""A checkpoint's tokenizer held against its configuration."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from uhrqa.errors import CheckpointError
from uhrqa.vlm.card_fields import Card

LLAVA = "<image>"
IMAGE_TOKENS = {"qwen": "<|image_pad|>", "internvl": "<IMG_CONTEXT>", "llava": LLAVA}
"""What stands for an image in a prompt, by the word a family's name begins with."""
COPY = "copy config.json and tokenizer from one checkpoint"


def check_vocabulary(card: Card, tokenizer: PreTrainedTokenizerBase, image_id: object) -> None:
    """Refuse a tokenizer that is not the configuration's.

    Args:
        card: whose configuration it is.
        tokenizer: of the checkpoint.
        image_id: number of the image token by the configuration.

    Raises:
        CheckpointError: words the decoder does not know, or an image token that is another word.
    """
    words = card.config["text_config"].get("vocab_size")
    if isinstance(words, int) and tokenizer.vocab_size > words:
        raise CheckpointError(
            f"{card.name}: its tokenizer has {tokenizer.vocab_size:,} words, its decoder {words:,} "
            f"(config.json: vocab_size); {COPY}"
        )
    if card.layout is not None and image_id == words:
        return  # an original checkpoint names none: one past the vocabulary stands for it
    usual = next(
        (token for key, token in IMAGE_TOKENS.items() if card.family.startswith(key)), LLAVA
    )
    if fault := _image_fault(tokenizer, image_id, usual):
        raise CheckpointError(f"{card.name}: config.json: image_token_id {image_id} {fault}")


def _image_fault(tokenizer: PreTrainedTokenizerBase, image_id: object, usual: str) -> str | None:
    """What is wrong with the number of the image token, if anything.

    Args:
        tokenizer: of the checkpoint.
        image_id: the number.
        usual: the token of the family.
    """
    added: dict[str, int] = tokenizer.added_tokens_encoder
    if not isinstance(image_id, int) or isinstance(image_id, bool):
        return f"is no number of a token; {COPY}"
    own: Any = getattr(tokenizer, "image_token", None)
    names = [name for name in (own, *IMAGE_TOKENS.values()) if name in added]
    if image_id in (added[name] for name in names):
        return None
    inside = 0 <= image_id < len(tokenizer)
    token = tokenizer.convert_ids_to_tokens(image_id) if inside else None
    called = f"is '{token}' in the tokenizer" if token else "is no token of the tokenizer"
    if mine := next((name for name in (own, usual) if name in added), None):
        return f"{called}, whose {mine} is {added[mine]}; write that, or {COPY}"
    if names:  # another family's
        return f"{called}, which has no {usual}; {COPY}"
    if token and token not in added:
        return f"{called}, an ordinary word; {COPY}"
    return None
