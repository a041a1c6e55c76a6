"""Perplexity of a LLaVA-NeXT model on given answers, conditioned on its picture and question.

The prompt is Listing 2 and only the answer's tokens count, its ``<|eot_id|>`` included. The paper averages
the samples' perplexities and leaves out those above 1,000; the corpus perplexity beside it weighs every token
alike and leaves nothing out.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor

from ndino.answer_sets import Item, exchange_images
from ndino.errors import BROKEN_PICTURE, reason_of
from ndino.evaluation.models import Model
from ndino.files import key_of, write_json, write_text
from ndino.prompts import IGNORE_INDEX, IMAGE_TOKEN, PromptError, Turn, encode_llama3

OUTLIER = 1000.0
RESAMPLES = 1000
# exp() of more than this is no number that JSON can hold.
LARGEST_EXPONENT = 700.0


class PerplexityError(RuntimeError):
    """A model or a run that gives no number; the message says what to change."""


@dataclass(frozen=True)
class Score:
    """One row of the log. ``nll`` is in nats and summed over ``answer_tokens``; a skipped row has neither."""

    id: str
    nll: float | None
    answer_tokens: int
    perplexity: float | None
    skipped: bool
    reason: str | None


@dataclass(frozen=True)
class Scorer:
    """A model ready to score; ``context`` is the most tokens it takes, picture features included."""

    model: LlavaNextForConditionalGeneration
    processor: LlavaNextProcessor

    @property
    def context(self) -> int:
        return self.model.config.text_config.max_position_embeddings

    def __call__(self, items: Sequence[Item]) -> list[Score]:
        """Score a batch, padded on the right; what cannot be scored comes back skipped, with the reason."""
        scores: dict[int, Score] = {}
        ready: list[tuple[int, list[int], int, dict[str, Any]]] = []
        for place, item in enumerate(items):
            try:
                ready.append((place, *self._prepare(item)))
            except _SkipError as skip:
                scores[place] = _skipped(item, str(skip))
        if ready:
            losses = self._losses(
                [ids for _, ids, _, _ in ready], [n for _, _, n, _ in ready], [i for *_, i in ready]
            )
            for (place, _, tokens, _), nll in zip(ready, losses, strict=True):
                item = items[place]
                scores[place] = (
                    Score(item.id, nll, tokens, _exp(nll / tokens), False, None)
                    if math.isfinite(nll)
                    else _skipped(item, "the model's loss is no finite number")
                )
        return [scores[place] for place in range(len(items))]

    def _prepare(self, item: Item) -> tuple[list[int], int, dict[str, Any]]:
        if item.fault:
            raise _SkipError(item.fault)
        turns = [Turn("user", f"{IMAGE_TOKEN}\n{item.question}"), Turn("assistant", item.answer)]
        try:
            encoded = encode_llama3(self.processor.tokenizer, turns, supervision="answer")
        except PromptError as error:
            raise _SkipError(str(error)) from error
        try:
            with Image.open(io.BytesIO(item.image())) as image:
                picture = self.processor.image_processor(image.convert("RGB"), return_tensors="pt")
        except BROKEN_PICTURE as error:
            raise _SkipError(f"image cannot be read: {error}") from error
        ids = self.expand(encoded.input_ids, picture["image_sizes"].tolist())
        if len(ids) > self.context:
            raise _SkipError(f"{len(ids)} tokens, but the model's context is {self.context}")
        return ids, sum(label != IGNORE_INDEX for label in encoded.labels), picture

    def expand(self, input_ids: Sequence[int], sizes: Sequence[Sequence[int]]) -> list[int]:
        """Repeat each ``<image>`` id for every feature of its picture; sizes are (height, width)."""
        counts = iter(self.processor._get_num_multimodal_tokens(image_sizes=sizes)["num_image_tokens"])
        image_id = self.model.config.image_token_id
        return [token for one in input_ids for token in [one] * (next(counts) if one == image_id else 1)]

    @torch.inference_mode()
    def _losses(
        self, rows: Sequence[list[int]], answers: Sequence[int], pictures: Sequence[dict[str, Any]]
    ) -> list[float]:
        device = self.model.device
        lengths = torch.tensor([len(ids) for ids in rows])
        padding = rows[0][-1]  # masked: any id will do but that of <image>
        ids = pad_sequence([torch.tensor(ids) for ids in rows], batch_first=True, padding_value=padding)
        position = torch.arange(ids.shape[1])
        # An answer is the last tokens of its row; the position before each predicts it.
        answer = (position >= (lengths - torch.tensor(answers))[:, None]) & (position < lengths[:, None])
        hidden = self.model.model(
            input_ids=ids.to(device),
            attention_mask=(position < lengths[:, None]).long().to(device),
            pixel_values=_stack([picture["pixel_values"][0] for picture in pictures]).to(
                device, self.model.dtype
            ),
            image_sizes=torch.cat([picture["image_sizes"] for picture in pictures]).to(device),
            use_cache=False,
        ).last_hidden_state
        # Logits of all positions over a large vocabulary would be most of the memory.
        logits = self.model.lm_head(hidden[:, :-1][answer[:, 1:].to(device)]).float()
        nll = (
            torch.nn.functional.cross_entropy(logits, ids[answer].to(device), reduction="none").double().cpu()
        )
        return [float(part.sum()) for part in nll.split(list(answers))]


class _SkipError(Exception):
    """Why one item cannot be scored."""


def _stack(pixels: Iterable[torch.Tensor]) -> torch.Tensor:
    # Pictures differ in their number of tiles; the model reads from image_sizes how many of a row are real.
    return pad_sequence(list(pixels), batch_first=True)


def _skipped(item: Item, reason: str) -> Score:
    return Score(item.id, None, 0, None, True, reason)


def _exp(value: float) -> float:
    return math.exp(min(value, LARGEST_EXPONENT))


def load_scorer(model: Model) -> Scorer:
    """Load a LLaVA-NeXT, in bfloat16 on a GPU and float32 on a CPU.

    Raises:
        PerplexityError: a file of it is broken.
    """
    gpu = torch.cuda.is_available()
    try:
        processor = LlavaNextProcessor.from_pretrained(model.path)
        loaded = LlavaNextForConditionalGeneration.from_pretrained(
            model.path, dtype=torch.bfloat16 if gpu else torch.float32
        )
    except Exception as error:  # every reader has errors of its own
        raise PerplexityError(f"{model.source}: cannot be loaded: {reason_of(error)}") from error
    return Scorer(loaded.to("cuda" if gpu else "cpu").eval(), processor)


def summarise(scores: Sequence[Score]) -> dict[str, Any]:
    """The paper's mean (None when every sample is an outlier) and the corpus perplexity with a 95 % interval.

    The interval is a percentile bootstrap over samples with a fixed seed.

    Raises:
        PerplexityError: not one sample was scored.
    """
    scored = [score for score in scores if not score.skipped]
    if not scored:
        raise PerplexityError(
            f"not one of {len(scores)} samples could be scored; the first: {scores[0].reason}"
        )
    within = [score.perplexity for score in scored if score.perplexity <= OUTLIER]
    nll = np.array([score.nll for score in scored])
    tokens = np.array([score.answer_tokens for score in scored])
    drawn = np.random.default_rng(0).integers(len(scored), size=(RESAMPLES, len(scored)))
    means = nll[drawn].sum(axis=1) / tokens[drawn].sum(axis=1)
    return {
        "paper": float(np.mean(within)) if within else None,
        "corpus": _exp(nll.sum() / tokens.sum()),
        "outliers": len(scored) - len(within),
        "n": len(scored),
        "skipped": len(scores) - len(scored),
        "interval": [_exp(bound) for bound in np.percentile(means, [2.5, 97.5])],
    }


def score_set(
    model: Model, items: Sequence[Item], out: Path, *, batch: int = 4, shuffled: bool = False
) -> tuple[dict[str, Any], list[Score]]:
    """Score ``items`` and write a row each to ``out`` (``.jsonl``) and the summary beside it (``.json``).

    A run that was cut off goes on where it stopped; ``out.fingerprint`` tells whether model and data are
    still the same, and if not, scoring starts anew.

    Returns:
        The summary (see `summarise`) and the rows in the order of ``items``.

    Raises:
        PerplexityError: nothing could be scored, ``out`` is another file, or see `load_scorer`.
        AnswerSetError: see `exchange_images`.
        OSError: the output cannot be written.
    """
    chosen = exchange_images(items) if shuffled else list(items)
    summary, marker = out.with_suffix(".json"), out.with_name(f"{out.name}.fingerprint")
    if out.exists() and not marker.exists():
        raise PerplexityError(f"{out} exists and is not ours (remedy: choose another output)")
    fields = [[item.id, item.question, item.answer, item.digest, item.fault] for item in chosen]
    fingerprint = key_of(model.fingerprint, fields)
    if not marker.exists() or marker.read_text(encoding="utf-8") != fingerprint:
        summary.unlink(missing_ok=True)
        out.unlink(missing_ok=True)
        write_text(marker, fingerprint)
    done = _finished(out)
    scorer = None
    with (
        out.open("a", encoding="utf-8") as log,
        tqdm(total=len(chosen), desc=out.stem, unit=" answers") as bar,
    ):
        # Batches are cut from the whole set, so a run that goes on computes what an undisturbed one would.
        for start in range(0, len(chosen), batch):
            part = chosen[start : start + batch]
            if any(item.id not in done for item in part):
                scorer = scorer or load_scorer(model)
                new = {score.id: score for score in scorer(part) if score.id not in done}
                log.writelines(_line(score) for score in new.values())
                log.flush()
                done |= new
            bar.update(len(part))
    scores = [done[item.id] for item in chosen]
    result = summarise(scores)
    write_json(summary, result)
    return result, scores


def _finished(out: Path) -> dict[str, Score]:
    # A kill may leave half a line at the end: what came before it stands.
    done: dict[str, Score] = {}
    if not out.exists():
        return done
    for line in out.read_bytes().split(b"\n"):
        try:
            score = Score(**json.loads(line))
        except (ValueError, TypeError):
            break  # the rest is scored again
        done[score.id] = score
    write_text(out, "".join(_line(score) for score in done.values()))
    return done


def _line(score: Score) -> str:
    return json.dumps(asdict(score)) + "\n"
