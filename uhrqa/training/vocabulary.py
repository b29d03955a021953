"""The embedded model's tokenizer: byte-level BPE learnt on its own questions, lower case.

Any text has tokens; words no template uses merely take more of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from uhrqa.synth import phrases
from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.questions import make_questions

END, USER, ASSISTANT, IMAGE = "<|end|>", "<|user|>", "<|assistant|>", "<image>"
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|' + message['role'] + '|>' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}{{- '<image>' -}}{%- endif -%}
{%- endfor -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'text' -%}{{- part['text'] -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if message['role'] == 'assistant' -%}{{- '<|end|>' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
_SCENES = 600


def corpus(seed: int) -> Iterator[str]:
    """Questions, answers and words people may use instead."""
    for index in range(_SCENES):
        scene = draw_scene(seed * 10_000 + index, 2048)
        for question in make_questions(scene, index, suffix=0.2):
            yield question.text.lower()
            yield question.answer
    words = " ".join(phrases.EXTRA.split())
    for _ in range(20):
        yield words


def tokenizer_in(folder: Path, seed: int, size: int) -> PreTrainedTokenizerFast:
    """The tokenizer of a training run: learnt once, then read, so that weights keep fitting it."""
    file = folder / "tokenizer.json"
    if not file.exists():
        learn_tokenizer(seed, size).backend_tokenizer.save(str(file))
    return _wrapped(Tokenizer.from_file(str(file)))


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """The id of a special token."""
    found = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(found, int):
        raise TypeError(f"{token} is not one token")
    return found


def learn_tokenizer(seed: int, size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of at most `size` entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END, USER, ASSISTANT, IMAGE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(seed), trainer)
    return _wrapped(tokenizer)


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=[USER, ASSISTANT, IMAGE],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
