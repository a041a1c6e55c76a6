"""Log-probabilities in one pass, against a forward pass of each prompt with each answer."""

from __future__ import annotations

import pytest
import torch

from ndino.evaluation.inference import likelihood
from ndino.evaluation.inference.likelihood import Choice, log_probabilities

# Single tokens; answers that begin alike, one being the beginning of another; a long one by itself.
ANSWERS = {
    "letters": [[30], [31], [32], [33]],
    "beginning alike": [[30], [40, 50], [40, 51], [40, 50, 60], [41, 50]],
    "long": [[44, 45, 46, 47]],
}


def alone(model, choice: Choice, image: dict[str, torch.Tensor]) -> list[float]:
    """One forward pass for each answer."""
    found = []
    for answer in choice.answers:
        ids = torch.tensor([[*choice.prompt, *answer]])
        with torch.no_grad():
            logits = model(input_ids=ids, **image).logits[0]
        before = logits[-len(answer) - 1 : -1].log_softmax(-1)
        found.append(sum(float(row[token]) for row, token in zip(before, answer, strict=True)))
    return found


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("kind", ANSWERS)
def test_they_are_those_of_each_answer_by_itself(model, rows, kind, shares, monkeypatch):
    monkeypatch.setattr(likelihood, "LOGIT_ROWS", 3)
    made = [([Choice(prompt, ANSWERS[kind]) for prompt in prompts], image) for prompts, image in rows]
    # Prompts of one row may have other answers.
    made[0][0][0] = Choice(made[0][0][0].prompt, ANSWERS["letters"][::-1])
    choices, images = zip(*made, strict=True)
    found = log_probabilities(model, choices, images, filler=4, shares=shares)
    assert [len(row) for row in found] == [2, 3, 1]
    for row, (own, image) in zip(found, made, strict=True):
        for values, choice in zip(row, own, strict=True):
            assert values == pytest.approx(alone(model, choice, image), abs=1e-5)
    different = {value for row in found for values in row for value in values}
    assert len(different) == sum(len(choice.answers) for row in choices for choice in row)


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_prompt_is_read_once_however_many_answers_it_has(model, rows, kind):
    read: list[int] = []
    encoded: list[int] = []
    hooks = [
        model.model.language_model.register_forward_hook(
            lambda module, given, output: read.append(output.last_hidden_state.shape[1])
        ),
        model.model.vision_tower.register_forward_hook(lambda *_: encoded.append(1)),
    ]
    prompts, image = rows[1]
    choices = [Choice(prompt, ANSWERS[kind]) for prompt in prompts]
    log_probabilities(model, [choices], [image], filler=4, shares=True)
    for hook in hooks:
        hook.remove()
    # The image with what is shared, and everything behind it.
    assert (len(read), len(encoded)) == (2, 1)
    paths = {"letters": [0], "beginning alike": [2, 1], "long": [3]}[kind]
    shared = next(place for place in range(99) if len({prompt[place] for prompt in prompts}) > 1)
    behind = sum(len(prompt) - shared + path for prompt in prompts for path in paths)
    assert read == [shared, behind]
