"""Multiple choice by the likelihood of letters: in one pass, against one letter at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lmms_eval.models.simple.llava_next_it import LlavaNextIt

from ndino.evaluation.inference.prompting import prompt_text
from tests.overlay.asking import DOCUMENTS, ask, images, odd_documents

# To the tiny tokenizer, the last two are two tokens each and begin alike.
LETTERS = "ABЖЗ"
# Values of -30, as random weights give, have steps of 2e-6 in float32, and each sums up several of them.
CLOSE = {"abs": 1e-5, "rel": 1e-6}


def one_by_one(model: LlavaNextIt, documents: list[dict], letters: str) -> list[dict[str, float]]:
    """A forward pass of each question with each letter, on transformers' own inputs."""
    found = []
    for document in documents:
        prompt = prompt_text(model.tokenizer, model.chat_template, document["question"], 1)
        before = model.processor(text=prompt, images=document["images"], return_tensors="pt")
        values = {}
        for letter in letters:
            inputs = model.processor(text=prompt + letter, images=document["images"], return_tensors="pt")
            ids = inputs["input_ids"][0, before["input_ids"].shape[1] :]
            with torch.no_grad():
                logits = model.model(**inputs).logits[0, -len(ids) - 1 : -1].log_softmax(-1)
            values[letter] = float(logits[range(len(ids)), ids].sum())
        found.append(values)
    return found


@pytest.fixture(scope="module")
def alone(model) -> list[dict[str, float]]:
    return one_by_one(model, few_of_each(), LETTERS)


def few_of_each() -> list[dict]:
    """Images of their own, and images with several questions."""
    return [*DOCUMENTS[5:10], *odd_documents()[:15]]


@pytest.mark.parametrize(
    ("batch_size", "attention"), [(1, "sdpa"), (3, "sdpa"), ("auto", "sdpa"), ("auto", "eager")]
)
def test_they_are_those_of_one_letter_at_a_time(one_stop_folder, alone, batch_size, attention):
    ours = LlavaNextIt(
        str(one_stop_folder), device="cpu", batch_size=batch_size, attn_implementation=attention
    )
    answers = ask(ours, few_of_each(), letters=LETTERS)
    for number, (answer, values) in enumerate(zip(answers, alone, strict=True)):
        assert ours.letters["task"][number] == pytest.approx(values, **CLOSE)
        assert answer == max(values, key=values.__getitem__)
    assert len({*answers}) > 1


def test_a_model_without_shared_prefixes_gives_the_same(one_stop_folder, alone):
    ours = LlavaNextIt(str(one_stop_folder), device="cpu", batch_size=4)
    ours.prefix_sharing = replace(ours.prefix_sharing, model_blocker="a sliding window")
    ask(ours, few_of_each(), letters=LETTERS)
    for number, values in enumerate(alone):
        assert ours.letters["task"][number] == pytest.approx(values, **CLOSE)


def test_all_letters_of_all_questions_about_an_image_are_one_pass(model):
    read, encoded, asked = [], [], odd_documents()[:40:5]
    hooks = [
        model.model.model.language_model.register_forward_hook(lambda *_: read.append(1)),
        model.model.model.vision_tower.register_forward_hook(lambda *_: encoded.append(1)),
    ]
    ask(model, asked, letters=LETTERS)
    for hook in hooks:
        hook.remove()
    assert len({id(document["images"][0]) for document in asked}) == 1 and len(asked) == 8
    # The image, and what is behind it.
    assert (len(read), len(encoded)) == (2, 1)


def test_letters_of_options_that_a_row_lacks_do_not_compete(model, alone):
    documents = few_of_each()
    best = [max(values, key=values.__getitem__) for values in alone]
    fewer = [
        {**d, "letters": LETTERS.replace(letter, "") if i % 2 else None}
        for i, (d, letter) in enumerate(zip(documents, best, strict=True))
    ]
    answers = ask(model, fewer, letters=LETTERS)
    for number, (answer, letter) in enumerate(zip(answers, best, strict=True)):
        rest = {name: value for name, value in alone[number].items() if not number % 2 or name != letter}
        assert answer == max(rest, key=rest.__getitem__)
        assert model.letters["task"][number] == pytest.approx(rest, **CLOSE)
    # A letter that the task does not have is none of a row's.
    assert ask(model, [{**documents[0], "letters": "AX"}], letters=LETTERS) == ["A"]


def test_the_form_of_a_letter_is_that_of_the_template(model, one_stop_folder):
    spaced = LlavaNextIt(str(one_stop_folder), device="cpu")
    head = "<|start_header_id|>assistant<|end_header_id|>"
    text = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}"
        f"{{% else %}}{head} {{{{ m['content'] }}}}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{head}{{% endif %}}"
    )
    spaced.chat_template = replace(spaced.chat_template, text=text)
    documents = [{**document, "letters": LETTERS} for document in DOCUMENTS[:3]]
    ask(spaced, documents, letters=LETTERS)
    expected = one_by_one(spaced, documents, [f" {letter}" for letter in LETTERS])
    for number, values in enumerate(expected):
        found = spaced.letters["task"][number]
        assert {f" {letter}": value for letter, value in found.items()} == pytest.approx(values, **CLOSE)


def test_they_are_kept_and_asked_again_when_the_letters_change(one_stop_folder, tmp_path, monkeypatch):
    calls = []
    choose = LlavaNextIt._choose
    monkeypatch.setattr(
        LlavaNextIt, "_choose", lambda *given: calls.append(len(new := choose(*given))) or new
    )

    def again(letters: str = LETTERS, options: str = LETTERS) -> tuple[list[str], dict]:
        calls.clear()
        ours = LlavaNextIt(str(one_stop_folder), device="cpu", answers=str(tmp_path / "answers"))
        documents = [{**document, "letters": options} for document in DOCUMENTS[:5]]
        return ask(ours, documents, letters=letters), ours.letters

    first = again()
    assert calls and sum(calls) == 5
    assert again() == first and calls == []
    narrowed = again("BЖ")
    assert sum(calls) == 5 and "A" in first[0] and "A" not in narrowed[0]
    # What a row offers counts, whatever its task has.
    assert again(options="BЖ") == narrowed and calls == []
    generated = ask(
        LlavaNextIt(str(one_stop_folder), device="cpu", answers=str(tmp_path / "answers")), DOCUMENTS[:5]
    )
    assert generated != first[0]


def test_in_bfloat16_no_letter_is_as_likely_as_another_by_rounding(one_stop_folder):
    exact, rounded = (
        LlavaNextIt(str(one_stop_folder), device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    for ours in (exact, rounded):
        ask(ours, odd_documents(), letters="ABCDEFGH")
    noted = rounded.letters["task"].values()
    assert all(len({*values.values()}) == len(values) for values in noted)
    rough = [value for values in noted for value in values.values()]
    values = [value for found in exact.letters["task"].values() for value in found.values()]
    assert torch.tensor(rough).sub(torch.tensor(values)).abs().mean() < 0.5


def test_letters_that_are_one_to_the_tokenizer_or_none_of_the_task_s_are_refused(model):
    document = {"question": "Quale?", "images": images(1)}
    with pytest.raises(
        ValueError, match="task document 0: the tokenizer cannot tell its letters apart: A, A"
    ):
        ask(model, [document], letters="AA")
    with pytest.raises(ValueError, match="task document 0: it offers none of its task's letters, A, B"):
        ask(model, [{**document, "letters": "XY"}], letters="AB")


def test_a_ruined_model_gives_no_choice(one_stop_folder: Path):
    ours = LlavaNextIt(str(one_stop_folder), device="cpu")
    with torch.no_grad():
        ours.model.lm_head.weight[7] = torch.inf
    with pytest.raises(RuntimeError, match="probabilities are no finite numbers"):
        ask(ours, DOCUMENTS[:1], letters="AB")
