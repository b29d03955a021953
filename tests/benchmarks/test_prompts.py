"""Prompts, to the byte."""

from __future__ import annotations

from tests.benchmarks.makers import CHOICES, MANY
from uhrqa.benchmarks import TASKS
from uhrqa.benchmarks.items import Item

S = (
    "Select the best answer to the above multiple-choice question based on the image. Respond with "
    "only the letter (A, B, C, D, or E) of the correct option."
)
LISTED = "\n".join(CHOICES)


def prompt(task: str, name: str, **parts) -> str:
    item = Item(1, "q", parts.pop("question", "What?"), "B", "color", **parts)
    text: str = TASKS.load(task).prompts[name](item)
    return text


def test_the_six_prompts_of_mme() -> None:
    asked = {
        name: prompt("mme-realworld-rs", name, choices=tuple(CHOICES))
        for name in TASKS.load("mme-realworld-rs").prompts
    }
    head = "The choices are listed below:"
    assert asked == {
        "paper": f"What? {head} \n\n{LISTED}\n{S}",
        "paper-qwen": f"What?\n{LISTED}\n{S}",
        "authors": f"What? {head} \n{LISTED}\n{S}\nThe best answer is:",
        "readme": f"What?\n\n{head}\n{LISTED}\n{S}\nThe best answer is:",
        "lmms-eval": f"What? {head}\n{LISTED}\n{S}\nThe best answer is: ",
        "vlmevalkit": f"What? {head}\n{LISTED}\n{S} \nThe best answer is:",
    }
    assert next(iter(asked)) == "paper"


def test_a_chinese_question_gets_the_chinese_words() -> None:
    text = prompt("mme-realworld-rs", "lmms-eval", question="颜色？", choices=("(A) 红",))  # noqa: RUF001
    assert "选项如下所示:" in text
    assert "choices" not in text


def test_lrs_vqa_is_asked_as_it_stands() -> None:
    text = "How many? \nAnswer the question using a single word or phrase."
    assert prompt("lrs-vqa", "paper", question=text) == text
    assert prompt("lrs-vqa", "authors", question=text) == f"{text}\n"


def test_xlrs_asks_for_letters_and_for_several_where_several_may_be_right() -> None:
    one = prompt("xlrs", "lmms-eval", choices=("(A) x", "(B) y"))
    assert one == (
        "What?The choices are listed below:\n(A) x\n(B) y\n\nSelect the best answer for the "
        "multiple-choice question based on the image. Only respond with the letter corresponding "
        "to the correct answer (A, B, C, D).\nThe answer is:"
    )
    many = prompt("xlrs", "lmms-eval", choices=("(A) x",), many=True)
    assert many.endswith("multiple choices separated by spaces.The answer(s) is(are):")
    assert prompt("xlrs", "vlmevalkit", choices=("(A) x",), ready="ready") == "What?ready"
    assert MANY in TASKS.load("xlrs").sizes


def test_rshr_gives_away_that_several_letters_are_right() -> None:
    one = prompt("rshr", "paper", choices=("A. x", "B. y"))
    end = "Select the best answer based on the image."
    assert one == f"What?\nA. x\nB. y\n{end} Answer with the option letter only."
    many = prompt("rshr", "paper", choices=("A. x",), many=True)
    assert f"{end} You should choose multiple answers. Answer" in many
