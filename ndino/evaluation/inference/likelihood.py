"""Log-probabilities of given answers to many prompts, such as the letters of options, in one pass.

Every prompt is read once, whatever the number of its answers, and a prefix that prompts share is read once
for all of them. The logits behind a prompt give the first token of each answer. Of an answer of several
tokens, all but the last are read behind the prompt, once for all answers that begin with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from transformers import LlavaNextForConditionalGeneration

from ndino.evaluation.inference.greedy import on_model, padded_inputs, read_prefixes
from ndino.evaluation.inference.prefix_cache import attention, join, suffix_places
from ndino.evaluation.inference.prefix_sharing import Ids, common_length

# Rows of logits at a time; 256 rows of LLaMA 3's vocabulary are 131 MB in float32.
LOGIT_ROWS = 256

Images = Sequence[Mapping[str, torch.Tensor]]
# A token of an answer, and the row and column of the hidden state that predicts it.
Predicted = tuple[int, int, int]


class Choice(NamedTuple):
    """A prompt, with one image token for every feature, and the answers to it, each of one token or more."""

    prompt: Ids
    answers: Sequence[Ids]


class _Text(NamedTuple):
    """What is read of a choice: its prompt and ``path``, with which one or more of its answers begin."""

    number: int  # of the choice in its row
    prompt: Ids
    path: tuple[int, ...]

    @property
    def ids(self) -> list[int]:
        return [*self.prompt, *self.path]


def log_probabilities(
    model: LlavaNextForConditionalGeneration,
    rows: Sequence[Sequence[Choice]],
    images: Images,
    *,
    filler: int,
    shares: bool,
) -> list[list[list[float]]]:
    """The log-probability of each answer, in nats, summed over its tokens; by row, choice and answer.

    Args:
        rows: groups of choices. With ``shares`` the `common_length` of a group's prompts must include its
            images.
        images: of each row, as `greedy.decode` takes them.
        filler: the token of padding.
        shares: whether the prompts of a row share a prefix, which `prefix_sharing.py` decides. Otherwise all
            prompts are read whole, in one batch.
    """
    texts = [
        [_Text(number, choice.prompt, path) for number, choice in enumerate(row) for path in _paths(choice)]
        for row in rows
    ]
    hidden, ends = (_read_behind_prefixes if shares else _read_whole)(model, texts, images, filler)
    predicted: list[list[list[list[Predicted]]]] = []
    for row, own, own_ends in zip(rows, texts, ends, strict=True):
        known = [(text.number, text.path, end) for text, end in zip(own, own_ends, strict=True)]
        predicted.append(
            [
                [_predicted(number, answer, known) for answer in choice.answers]
                for number, choice in enumerate(row)
            ]
        )
    answers = chain.from_iterable(chain.from_iterable(predicted))
    found = _token_log_probabilities(model, hidden, dict.fromkeys(chain.from_iterable(answers)))
    return [
        [[math.fsum(found[token] for token in answer) for answer in choice] for choice in row]
        for row in predicted
    ]


def _paths(choice: Choice) -> list[tuple[int, ...]]:
    """The answers without their last tokens; those with which a longer one begins are left out."""
    found = dict.fromkeys(tuple(answer[:-1]) for answer in choice.answers)
    return [path for path in found if not any(path == other[: len(path)] for other in found if other != path)]


def _predicted(
    number: int, answer: Ids, known: Iterable[tuple[int, tuple[int, ...], tuple[int, int]]]
) -> list[Predicted]:
    """Where each token of an answer to choice ``number`` is predicted, the first by the prompt's last."""
    line, end = next(
        end for text, path, end in known if text == number and path[: len(answer) - 1] == tuple(answer[:-1])
    )
    return [(line, end + place, token) for place, token in enumerate(answer)]


@torch.inference_mode()
def _read_behind_prefixes(
    model: LlavaNextForConditionalGeneration,
    rows: Sequence[Sequence[_Text]],
    images: Images,
    filler: int,
) -> tuple[torch.Tensor, list[list[tuple[int, int]]]]:
    """Hidden states (rows, width, size) of what is behind the prefixes, and where in them prompts end."""
    # The prompt's last token predicts, so it belongs to the suffix.
    commons = [
        common_length([text.ids for text in row], [1 + len(text.path) for text in row]) for row in rows
    ]
    prefix = read_prefixes(model, [row[0].ids for row in rows], commons, images, filler)
    suffixes = [[text.ids[common:] for text in row] for row, common in zip(rows, commons, strict=True)]
    places = suffix_places([[len(suffix) for suffix in row] for row in suffixes], prefix.lengths)
    ids = torch.full(places.owner.shape, filler)
    ends: list[list[tuple[int, int]]] = []
    for line, (row, own) in enumerate(zip(rows, suffixes, strict=True)):
        packed = list(chain.from_iterable(own))
        ids[line, : len(packed)] = torch.tensor(packed)
        lengths = [len(suffix) for suffix in own]
        ends.append([(line, sum(lengths[: n + 1]) - len(text.path) - 1) for n, text in enumerate(row)])
    hidden = model.model(
        input_ids=ids.to(model.device),
        attention_mask=attention(places, join(prefix.places, places), model.dtype),
        position_ids=places.position,
        past_key_values=prefix.cache,
        use_cache=True,
    ).last_hidden_state
    return hidden, ends


@torch.inference_mode()
def _read_whole(
    model: LlavaNextForConditionalGeneration,
    rows: Sequence[Sequence[_Text]],
    images: Images,
    filler: int,
) -> tuple[torch.Tensor, list[list[tuple[int, int]]]]:
    """`_read_behind_prefixes` for a model that shares none: a line for each text, padded on the left."""
    repeated = [shown for row, shown in zip(rows, images, strict=True) for _ in row]
    inputs = on_model(padded_inputs([text.ids for row in rows for text in row], repeated, filler), model)
    positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    hidden = model.model(**inputs, position_ids=positions, use_cache=False).last_hidden_state
    lines = iter(range(len(hidden)))
    last = hidden.shape[1] - 1
    return hidden, [[(next(lines), last - len(text.path)) for text in row] for row in rows]


@torch.inference_mode()
def _token_log_probabilities(
    model: LlavaNextForConditionalGeneration, hidden: torch.Tensor, predicted: Iterable[Predicted]
) -> dict[Predicted, float]:
    tokens: dict[tuple[int, int], list[int]] = {}
    for line, place, token in predicted:
        tokens.setdefault((line, place), []).append(token)
    found: dict[Predicted, float] = {}
    where = list(tokens)
    for start in range(0, len(where), LOGIT_ROWS):
        part = where[start : start + LOGIT_ROWS]
        lines, places = torch.tensor(part, device=hidden.device).T
        states = hidden[lines, places]
        logits = model.lm_head(states).float()
        for state, row, place in zip(states, logits, part, strict=True):
            wanted = tokens[place]
            values = _logits(model, state, row, wanted) - row.logsumexp(-1)
            pairs = zip(wanted, values.tolist(), strict=True)
            found.update({(*place, token): value for token, value in pairs})
    return found


def _logits(
    model: LlavaNextForConditionalGeneration, state: torch.Tensor, row: torch.Tensor, tokens: list[int]
) -> torch.Tensor:
    """The logits of ``tokens`` in float32, ``row`` being those of all tokens in the model's dtype.

    In bfloat16 a logit of 20 has steps of 1/8: one letter would often be as likely as another.
    """
    weight = model.lm_head.weight
    # The weights of an offloaded layer are there only while it computes.
    if weight.dtype == torch.float32 or weight.is_meta:
        return row[torch.tensor(tokens, device=row.device)]
    chosen = weight[torch.tensor(tokens, device=weight.device)].float()
    return (chosen @ state.to(weight.device).float()).to(row.device)
