"""Scores a set of answers with a LLaVA-NeXT model and writes the log and its summary.

Only the answers' tokens count (`scorer.py`). The paper averages the samples' perplexities and leaves out
those above 1,000. The corpus perplexity beside it weights every token equally and leaves nothing out.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from ndino.common.bootstrap import bootstrap
from ndino.common.files import key_of, write_json, write_text
from ndino.common.images import READING_VERSION
from ndino.common.interrupts import raise_if_interrupted
from ndino.evaluation.inference.memory import MemoryLimit
from ndino.evaluation.models import Backend, Model
from ndino.evaluation.perplexity.answer_sets import AnswerItem, exchange_images
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
from ndino.evaluation.provenance import answers_depend_on, made_with, result_key, what_changed

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
) -> tuple[dict[str, Any], list[Score]]:
    """Score ``items``; write one row each to ``out`` (``.jsonl``) and the summary beside it (``.json``).

    Each batch is written as soon as it is done, and an interrupted run resumes after the last one.
    ``out.fingerprint`` records all that the rows depend on: if any of it has changed, scoring starts over.
    Rows of another model are never replaced.

    Args:
        backend: how the model is loaded, by default as `scoring_backend` does.

    Returns:
        The summary (see `summarise`) and the rows in the order of ``items``.

    Raises:
        PerplexityError: nothing could be scored, ``out`` is another file or another model's, or see
            `load_scorer`.
        AnswerSetError: see `exchange_images`.
        OSError: the output cannot be written.
    """
    chosen = exchange_images(items) if shuffled else list(items)
    summary, marker = out.with_suffix(".json"), out.with_name(f"{out.name}.fingerprint")
    if out.exists() and not marker.exists():
        raise PerplexityError(f"{out} exists and is not ours (remedy: choose another output)")
    backend = backend or scoring_backend()
    held, depends = _held(marker), _depends(model, backend, chosen)
    asked = {
        "key": result_key(depends),
        "model": model.path,
        "weights": model.fingerprint,
        "depends": depends,
    }
    if held.get("key") != asked["key"]:
        another = all(held.get(name) not in (None, asked[name]) for name in ("model", "weights"))
        if another and out.exists():
            raise PerplexityError(
                f"{out}: holds rows of {held['model']}, which has other weights "
                "(remedy: choose another --out, or remove that file)"
            )
        if out.exists():
            reason = what_changed(held.get("depends"), depends)
            message = f"{out}: stale and made again, since this changed: {reason}"
            print(f"ndino perplexity: {message}", file=sys.stderr)
        summary.unlink(missing_ok=True)
        out.unlink(missing_ok=True)
        write_json(marker, asked)
    done = _finished(out)
    if any(item.id not in done for item in chosen):
        scorer = load_scorer(model, backend)
        # Planned from the whole set, so that a resumed run has the batches of an uninterrupted one.
        memory = MemoryLimit()
        skipped, batches = scorer.plan(chosen, batch=batch)
        with (
            out.open("a", encoding="utf-8") as log,
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
    write_text(out, "".join(map(_line, scores)))
    result = summarise(scores)
    stated = made_with(depends["answers"]["device"])
    write_json(summary, {**result, "depends": depends, "made_with": stated})
    return result, scores


def _scored_in_order(scorer: Scorer, whole: ScoringBatch, answers: Sequence[TokenizedAnswer]) -> list[Score]:
    part = ScoringBatch(tuple(answers), whole.shares_prefix)
    scores = {score.id: score for score in scorer.score(part)}
    return [scores[prepared.item.id] for prepared in answers]


def _depends(model: Model, backend: Backend, items: Sequence[AnswerItem]) -> dict[str, dict[str, Any]]:
    answers = answers_depend_on(model, backend, f"Scorer {VERSION}, images {READING_VERSION}")
    texts = [[item.id, item.question, item.answer, item.fault] for item in items]
    images = [item.digest for item in items]
    return {
        "answers": answers,
        "task": {"questions": len(items), "texts": key_of(texts), "images": key_of(images)},
    }


def _held(marker: Path) -> dict[str, Any]:
    """What ``out`` was made from; the key alone where an earlier version wrote it."""
    if not marker.exists():
        return {}
    text = marker.read_text(encoding="utf-8")
    return json.loads(text) if text.startswith("{") else {"key": text}


def _append(log: TextIO, scores: Sequence[Score], done: Mapping[str, Score]) -> dict[str, Score]:
    new = {score.id: score for score in scores if score.id not in done}
    log.writelines(map(_line, new.values()))
    log.flush()
    return new


def _finished(out: Path) -> dict[str, Score]:
    # A killed run may leave half a line at the end; the rows before it are good.
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
