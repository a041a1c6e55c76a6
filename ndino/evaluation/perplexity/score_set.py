"""Scores a set of answers with a LLaVA-NeXT model and writes the log and its summary.

Only the answers' tokens count (`scorer.py`). The paper averages the samples' perplexities and leaves out
those above 1,000. The corpus perplexity beside it weights every token equally and leaves nothing out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from ndino.common.bootstrap import bootstrap
from ndino.common.files import key_of, write_text
from ndino.common.images import READING_VERSION
from ndino.common.interrupts import raise_if_interrupted
from ndino.evaluation.inference.memory import MemoryLimit
from ndino.evaluation.models import Backend, Model
from ndino.evaluation.perplexity.answer_sets import AnswerItem, exchange_images
from ndino.evaluation.perplexity.held_rows import finish, finished, lines, place_for, require_named_as
from ndino.evaluation.perplexity.loading import load_scorer, scoring_backend
from ndino.evaluation.perplexity.scorer import (
    VERSION,
    PerplexityError,
    Score,
    Scorer,
    ScoringBatch,
    TokenizedAnswer,
    exponential,
)
from ndino.evaluation.provenance import answers_depend_on, made_with, result_key

# The paper leaves out samples with a higher perplexity.
OUTLIER = 1000.0
RESAMPLES = 1000


def summarise(scores: Sequence[Score]) -> dict[str, Any]:
    """The paper's mean (None when every sample is an outlier) and the corpus perplexity with a 95 % interval.

    The interval is a percentile bootstrap over samples with a fixed seed.

    Raises:
        PerplexityError: not one sample was scored.
    """
    scored = [score for score in scores if not score.skipped]
    if not scored:
        raise PerplexityError(
            f"not one of {len(scores)} samples could be scored; the first: {scores[0].reason} "
            "(remedy: mend the samples)"
        )
    perplexities = [score.perplexity for score in scored if score.perplexity is not None]
    within = [value for value in perplexities if value <= OUTLIER]
    nll = np.array([score.nll for score in scored])
    tokens = np.array([score.answer_tokens for score in scored])
    corpus = mean_nll(nll, tokens)
    bounds = (corpus, corpus)
    if len(scored) > 1:
        bounds = bootstrap(mean_nll, nll, tokens, resamples=RESAMPLES, seed=0).interval
    return {
        "paper": float(np.mean(within)) if within else None,
        "corpus": exponential(corpus),
        "outliers": len(scored) - len(within),
        "n": len(scored),
        "skipped": len(scores) - len(scored),
        "reasons": dict(Counter(kind_of(score.reason) for score in scores if score.reason).most_common()),
        "interval": [exponential(bound) for bound in bounds],
        "bits_per_character": _bits_per_character(scored),
    }


def _bits_per_character(scored: Sequence[Score]) -> float | None:
    """Bits that the answers cost, their end tokens included, for each of their characters.

    It does not depend on the tokenizer, as nats per token do. None where rows do not say their characters.
    """
    characters = sum(score.characters for score in scored)
    nats = sum(score.nll for score in scored if score.nll is not None)
    return nats / math.log(2) / characters if characters else None


def mean_nll(nll: np.ndarray, tokens: np.ndarray, axis: int = -1) -> Any:
    """Nats per answer token over all samples along ``axis``."""
    return nll.sum(axis=axis) / tokens.sum(axis=axis)


def kind_of(reason: str) -> str:
    """The kind of a skip reason: everything before its first colon."""
    return reason.partition(": ")[0]


def score_set(
    model: Model,
    items: Sequence[AnswerItem],
    out: Path,
    *,
    batch: int | None = None,
    shuffled: bool = False,
    backend: Backend | None = None,
    replace_data: bool = False,
) -> tuple[dict[str, Any], list[Score]]:
    """Score ``items``; write one row each to ``out`` (``.jsonl``) and the summary beside it (``.json``).

    Each batch is written as soon as it is done, and an interrupted run resumes after the last one.
    ``out.fingerprint`` records all that the rows depend on: if the model or the software has changed, scoring
    starts over, and the old result stays until the new one is whole. Rows of another model or of other data
    are never replaced; see `held_rows.place_for`.

    Args:
        backend: how the model is loaded, by default as `scoring_backend` does.
        replace_data: rows of other data may be replaced; for callers that make the data themselves.

    Returns:
        The summary (see `summarise`) and the rows in the order of ``items``.

    Raises:
        PerplexityError: nothing could be scored, or see `place_for`, `require_named_as` and `load_scorer`.
        AnswerSetError: see `exchange_images`.
        OSError: the output cannot be written.
    """
    require_named_as(out, shuffled)
    chosen = exchange_images(items) if shuffled else list(items)
    backend = backend or scoring_backend()
    depends = _depends(model, backend, chosen, shuffled)
    asked = {
        "key": result_key(depends),
        "model": model.path,
        "weights": model.fingerprint,
        "depends": depends,
    }
    place = place_for(out, asked, chosen, replace_data=replace_data)
    done = finished(place)
    if place.exists():
        write_text(place, lines(done.values()))
    if any(item.id not in done for item in chosen):
        scorer = load_scorer(model, backend)
        # Planned from the whole set, so that a resumed run has the batches of an uninterrupted one.
        memory = MemoryLimit()
        skipped, batches = scorer.plan(chosen, batch=batch)
        with (
            place.open("a", encoding="utf-8") as log,
            tqdm(total=len(chosen), initial=len(skipped), desc=out.stem, unit=" answers") as bar,
        ):
            done |= _append(log, skipped, done)
            for part in batches:
                raise_if_interrupted()
                if any(prepared.item.id not in done for prepared in part.answers):
                    scores = memory.run(part.answers, partial(_scored_in_order, scorer, part))
                    done |= _append(log, scores, done)
                bar.update(len(part.answers))
    scores = [done[item.id] for item in chosen]
    result = summarise(scores)
    stated = made_with(depends["answers"]["device"])
    finish(out, place, scores, {**result, "depends": depends, "made_with": stated})
    return result, scores


def _scored_in_order(scorer: Scorer, whole: ScoringBatch, answers: Sequence[TokenizedAnswer]) -> list[Score]:
    part = ScoringBatch(tuple(answers), whole.shares_prefix)
    scores = {score.id: score for score in scorer.score(part)}
    return [scores[prepared.item.id] for prepared in answers]


def _depends(
    model: Model, backend: Backend, items: Sequence[AnswerItem], shuffled: bool
) -> dict[str, dict[str, Any]]:
    answers = answers_depend_on(model, backend, f"Scorer {VERSION}, images {READING_VERSION}")
    texts = [[item.id, item.question, item.answer, item.fault] for item in items]
    images = [item.digest for item in items]
    task = {"questions": len(items), "texts": key_of(texts), "images": key_of(images)}
    # Only of a control, so that the keys of results stay what they are.
    return {"answers": answers, "task": task | ({"shuffled": True} if shuffled else {})}


def _append(log: TextIO, scores: Sequence[Score], done: Mapping[str, Score]) -> dict[str, Score]:
    new = {score.id: score for score in scores if score.id not in done}
    log.write(lines(new.values()))
    log.flush()
    return new
