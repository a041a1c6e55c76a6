"""Run folders in the documented format, with scores chosen so that every figure can be worked out by hand."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

FAMILY = ("PT", "IT", "PT+IT", "LONG-IT", "PT+LONG-IT", "IT+LONG-IT", "PT+IT+LONG-IT")


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def sample(doc_id: int, score: float, *, metric: str = "exact_match", **fields: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "doc_hash": f"hash-{doc_id}",
        "question": f"Domanda {doc_id}?",
        "target": "rosso",
        "answer": "rosso" if score == 1 else "blu",
        "metrics": {metric: score},
        "shuffled": False,
        "image_sha256": f"image-{doc_id}",
        "question_sha256": f"question-{doc_id}",
    } | fields


def write_task(
    model: Path,
    task: str,
    right: Sequence[float],
    shuffled: Sequence[float] | None = None,
    *,
    metric: str = "exact_match",
    extra: dict[str, float] | None = None,
    majority: float = 0.25,
    targets: Sequence[str] | None = None,
    answers: Sequence[str] | None = None,
) -> None:
    """Write one task's logs and add its entry to results.json, as an evaluation does."""

    def rows(scores: Sequence[float], is_shuffled: bool) -> list[dict[str, Any]]:
        made = [sample(i, score, metric=metric, shuffled=is_shuffled) for i, score in enumerate(scores)]
        for row, target in zip(made, targets or [], strict=False):
            row["target"] = target
        for row, answer in zip(made, answers or [], strict=False):
            row["answer"] = answer
        return made

    write_rows(model / f"{task}.jsonl", rows(right, False))
    entry: dict[str, Any] = {
        "version": 1,
        "n": len(right),
        "metrics": {metric: sum(right) / len(right)} | (extra or {}),
        "shuffled": {},
        "majority": {metric: majority},
    }
    if shuffled is not None:
        write_rows(model / f"{task}.shuffled.jsonl", rows(shuffled, True))
        entry["shuffled"] = {metric: sum(shuffled) / len(shuffled)}
    path = model / "results.json"
    results = {"model": model.name, "fingerprint": "f", "tasks": {}}
    if path.exists():
        results = json.loads(path.read_text())
    results["tasks"][task] = entry
    path.write_text(json.dumps(results))


def write_perplexity(
    run: Path,
    model: str,
    name: str,
    values: Sequence[float],
    *,
    control: float | None = None,
) -> None:
    """Write one perplexity set from per-answer perplexities of ten-token answers."""
    folder = run / "ppl" / model
    rows = [
        {
            "id": f"q{i}",
            "nll": 10 * math.log(value),
            "answer_tokens": 10,
            "perplexity": value,
            "skipped": False,
            "reason": None,
        }
        for i, value in enumerate(values)
    ]
    write_rows(folder / f"{name}.jsonl", rows)
    kept = [value for value in values if value <= 1000]
    corpus = math.exp(sum(math.log(value) for value in values) / len(values))
    summary = {
        "paper": sum(kept) / len(kept) if kept else None,
        "corpus": corpus,
        "outliers": len(values) - len(kept),
        "n": len(values),
        "interval": [corpus * 0.9, corpus * 1.1],
    }
    (folder / f"{name}.json").write_text(json.dumps(summary))
    if control is not None:
        (folder / f"{name}.shuffled.json").write_text(json.dumps(summary | {"corpus": control}))


def write_training(run: Path, chain: str, losses: Sequence[float], **fields: Any) -> None:
    manifest = {
        "recipe": {"name": chain.rsplit("-", 1)[-1], "learning_rate": 1e-5, "max_steps": 10 * len(losses)},
        "data": {"path": f"data/{chain}.json", "sha256": "0123456789abcdef" * 4, "records": 1200},
        "seed": 0,
        "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
        "steps": 10 * len(losses),
        "started": 1790000000.0,
        "seconds": 41.5,
        "peak_rss_mb": 1130.2,
        "loss_curve": [[10 * (i + 1), loss] for i, loss in enumerate(losses)],
    } | fields
    path = run / chain / "manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest))


def write_small_run(run: Path) -> Path:
    """Two models whose tests are known: gqa-it p = 756/8192, mtvqa-it p = 2/4096, ok-vqa-it fractional."""
    plain, pretrained = run / "eval" / "IT", run / "eval" / "PT+IT"
    plain.mkdir(parents=True)
    pretrained.mkdir(parents=True)
    # gqa-it: 40 documents, 3 only IT, 10 only PT+IT, 7 both.
    write_task(
        plain, "gqa-it", [1] * 3 + [0] * 10 + [1] * 7 + [0] * 20, [1] * 3 + [0] * 10 + [1] * 7 + [0] * 20
    )
    write_task(pretrained, "gqa-it", [0] * 3 + [1] * 10 + [1] * 7 + [0] * 20, [0] * 40)
    # mtvqa-it: 40 documents, 12 only PT+IT.
    write_task(plain, "mtvqa-it", [0] * 40, [0] * 40)
    write_task(pretrained, "mtvqa-it", [1] * 12 + [0] * 28, [0] * 40)
    # ok-vqa-it: fractional; four differences, all in favour of PT+IT.
    write_task(plain, "ok-vqa-it", [0.0, 0.0, 0.0, 0.3, 0.6, 0.6], [0.0, 0.0, 0.0, 0.3, 0.6, 0.6])
    write_task(pretrained, "ok-vqa-it", [0.3, 0.6, 1.0, 0.6, 0.6, 0.6])
    write_perplexity(run, "IT", "llava-bench-it", [2000.0, 5000.0, 3000.0], control=9000.0)
    write_perplexity(run, "PT+IT", "llava-bench-it", [2.0, 8.0, 2000.0])
    write_training(run, "mlp", [3.0, 2.0, 1.0])
    write_training(run, "mlp-it", [2.0, 0.5])
    timings = {"seconds": {"tower": 40.0, "mlp": 20.25}, "peak_rss_mb": 1100.5}
    (run / "timings.json").write_text(json.dumps(timings))
    return run


def _draw(path: Path, colour: str) -> None:
    image = Image.new("RGB", (112, 112), "white")
    ImageDraw.Draw(image).ellipse((20, 20, 70, 70), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_family_run(run: Path) -> Path:
    """All seven models on all tables' tasks, drawn-world question kinds, loss curves and example images."""
    draw = random.Random(7)
    skills = {name: 0.25 + 0.08 * len(name.split("+")) for name in FAMILY}
    tasks = {
        "gqa-it": "exact_match",
        "ok-vqa-it": "exact_match",
        "seedbench-it": "seed_image",
        "pope-it": "pope_accuracy",
        "mtvqa-it": "exact_match",
        "exams-v-it": "exact_match",
        "colour-it": "exact_match",
        "count-it": "exact_match",
        "caption-it": "exact_match",
    }
    seen = {"gqa-it", "pope-it", "colour-it", "count-it", "caption-it"}
    colours = ["red", "green", "blue"]
    for name in FAMILY:
        folder = run / "eval" / name
        folder.mkdir(parents=True)
        for task, metric in tasks.items():
            n, skill = 200, skills[name] + (0.25 if task in seen and "PT" in name else 0)
            if task == "ok-vqa-it":
                right = [
                    draw.choice([0.0, 0.3, 0.6, 1.0]) if draw.random() < skill else 0.0 for _ in range(n)
                ]
                control = [draw.choice(right) for _ in range(n)]
            else:
                right = [float(draw.random() < skill) for _ in range(n)]
                control = [float(draw.random() < (0.3 if task in seen else skill)) for _ in range(n)]
            targets, answers, extra = None, None, None
            if task == "pope-it":
                targets = ["sì", "no"] * (n // 2)
                answers = [
                    t if s else {"sì": "no", "no": "sì"}[t] for t, s in zip(targets, right, strict=True)
                ]
                hits = sum(right[::2])
                false_yes = n / 2 - sum(right[1::2])
                extra = {
                    "pope_precision": hits / (hits + false_yes),
                    "pope_recall": hits / (n / 2),
                    "pope_f1_score": 2 * hits / (n / 2 + hits + false_yes),
                    "pope_yes_ratio": 0.5,
                }
            if task == "caption-it":
                answers = ["Una scena con un cerchio rosso in alto a sinistra e due quadrati blu. " * 3] * n
            write_task(
                folder, task, right, control, metric=metric, extra=extra, targets=targets, answers=answers
            )
        long = "LONG" in name
        write_perplexity(
            run, name, "llava-bench-it", [1.05 + draw.random() if long else 5e5] * 30, control=2.5
        )
        write_perplexity(run, name, "mtvqa-it", [4000.0 if long else 1.5 + draw.random()] * 30, control=2.5)
    for task in tasks:
        for doc_id, colour in enumerate(colours):
            _draw(run / "eval" / "images" / task / f"{doc_id}.png", colour)
    for chain in (
        "mlp",
        "mlp-pt",
        "mlp-it",
        "mlp-pt-it",
        "mlp-long",
        "mlp-pt-long",
        "mlp-it-long",
        "mlp-pt-it-long",
    ):
        losses = [6 * math.exp(-i / 30) + 0.3 + 0.2 * draw.random() for i in range(120)]
        write_training(run, chain, losses)
    seconds = {"tower": 40.1, "mlp": 20.2, "mlp-pt": 45.3, "mlp-it": 80.4, "evaluate": 61.0, "report": 3.2}
    (run / "timings.json").write_text(json.dumps({"seconds": seconds, "peak_rss_mb": 1180.4}))
    return run
