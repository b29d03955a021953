"""From a question to token ids on both sides of the image, in a checkpoint's own template."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import TemplateError, TemplateSyntaxError
from transformers import PreTrainedTokenizerBase

from uhrqa.errors import CheckpointError, QuestionError
from uhrqa.vlm.card import Card
from uhrqa.vlm.sequence import Prompt
from uhrqa.vlm.turns import Turn, Turns, chat_forms, write_turns
from uhrqa.vlm.vocabulary import check_vocabulary

IMAGE = "<image>"  # stands for the image where a tokenizer has no token for it
FAULTS = (  # of a template that runs: it is a program
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RuntimeError,
)


@dataclass(frozen=True)
class Prompter:
    """Writes a checkpoint's prompts.

    Attributes:
        card: gives the template of tokenizers that bring none.
        tokenizer: of the checkpoint.
        image_id: the image token's number by `config.json`; the tokenizer may not have it.
        marks: tokens around the image, where the chat template leaves them to a processor.
    """

    card: Card
    tokenizer: PreTrainedTokenizerBase
    image_id: int
    marks: tuple[str, str] | None = None

    def check(self) -> None:
        """See that questions can be asked at all, before the first one is.

        Raises:
            CheckpointError: the tokenizer is not the model's, or it has no image token or no usable
                template where one is needed.
        """
        where, own = self.card.name, not self.card.prompt
        if own and not self.tokenizer.chat_template:
            raise CheckpointError(
                f"{where}: its tokenizer has no chat template, and {self.card.family} knows no "
                "other; copy chat_template.jinja from the original checkpoint"
            )
        if own and self._image_token() is None:
            raise CheckpointError(
                f"{where}: its tokenizer of {len(self.tokenizer):,} tokens has no image token "
                f"(config.json: {self.image_id}); copy the tokenizer of the original checkpoint"
            )
        check_vocabulary(self.card, self.tokenizer, self.image_id)
        try:
            self.build("?")
        except (QuestionError, ValueError) as error:
            reason = f"prompt: {error}".removeprefix(f"prompt: {where}: ")
            raise CheckpointError(f"{where}: {reason}") from error

    def build(self, question: str, history: Turns = ()) -> Prompt:
        """See `VisionLanguageModel.build_prompt`."""
        known = self._image_token()
        image = known or IMAGE
        if not question.strip():
            raise QuestionError("the question is empty")
        if image in question:
            raise QuestionError(f"the question holds the image token {image}; leave it out")
        asked = question.strip()
        text = self._render(
            asked, [Turn(q.strip(), a.replace(image, "").strip()) for q, a in history], image
        )
        bos = self.tokenizer.bos_token
        special = not (bos and text.startswith(bos))
        if known:  # in one go, as the model was trained
            ids = self._ids(text, special)
            at = ids.index(self.image_id)
            before, after = ids[:at], ids[at + 1 :]
        else:
            first, _, last = text.partition(image)
            before, after = self._ids(first, special), self._ids(last)
        opening, closing = self.marks or ("", "")
        return Prompt(
            (*before, *self._ids(opening)),
            (*self._ids(closing), *after),
            self._ids(self.card.between or ""),
            len(self._ids(text[text.rindex(asked) :])) if history else None,
        )

    def _image_token(self) -> str | None:
        """The token that config.json names, if the tokenizer has it."""
        if not 0 <= self.image_id < len(self.tokenizer):
            return None
        token = self.tokenizer.convert_ids_to_tokens(self.image_id)
        return str(token) if token else None

    def _ids(self, text: str, special: bool = False) -> tuple[int, ...]:
        if not text and not special:
            return ()
        return tuple(self.tokenizer(text, add_special_tokens=special).input_ids)

    def _render(self, question: str, history: Turns, image: str) -> str:
        if not (self.card.template and self.tokenizer.chat_template):
            own = self.card.prompt.replace(IMAGE, image)
            end = self.tokenizer.eos_token or ""
            return write_turns(own, question, history, image=image, end=end)
        fault = ""
        for chat in chat_forms(question, history, image):
            try:
                rendered = self.tokenizer.apply_chat_template(
                    chat, tokenize=False, add_generation_prompt=True
                )
            except TemplateSyntaxError as error:
                raise CheckpointError(
                    f"{self.card.name}: its chat template is no Jinja, line {error.lineno}: "
                    f"{error.message}; copy it from the original checkpoint"
                ) from error
            except FAULTS as error:  # one for the other form
                fault = f"; it fails with: {' '.join(str(error).split())}"
                continue
            text = str(rendered)
            said = [question, *(answer for _, answer in history)]
            if text.count(image) == 1 and all(part in text for part in said):
                return text
        if history:
            raise QuestionError(
                f"{self.card.name}: its chat template has no place for earlier turns; "
                "ask without them (--history 0)"
            )
        raise QuestionError(
            f"{self.card.name}: its chat template has no place for an image ({image}){fault}"
        )
