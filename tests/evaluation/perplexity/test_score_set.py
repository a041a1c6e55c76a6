from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from PIL import Image

from fixtures.tiny import write_tiny_model
from ndino.common.images import READING_VERSION, read_image
from ndino.common.provenance import commit
from ndino.evaluation import provenance
from ndino.evaluation.perplexity import score_set as score_module
from ndino.evaluation.perplexity.answer_sets import exchange_images
from ndino.evaluation.perplexity.loading import load_scorer
from ndino.evaluation.perplexity.score_set import score_set, summarise
from ndino.evaluation.perplexity.scorer import VERSION, PerplexityError, Score, Scorer
from tests.evaluation.answer_files import find, read_answers


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def scored(perplexity: float, tokens: int) -> Score:
    return Score("x", tokens * math.log(perplexity), tokens, perplexity, False, None)


def test_summary_against_hand_counted_numbers():
    skipped = Score("s", None, 0, None, True, "why: so")
    summary = summarise([scored(2, 1), scored(8, 3), scored(1000, 1), scored(1e6, 5), skipped])
    assert summary["reasons"] == {"why": 1}
    assert summary["paper"] == pytest.approx((2 + 8 + 1000) / 3)
    assert summary["corpus"] == pytest.approx((2 * 8**3 * 1000 * 1e6**5) ** (1 / 10))
    assert (summary["outliers"], summary["n"], summary["skipped"]) == (1, 4, 1)
    low, high = summary["interval"]
    assert 2 <= low < summary["corpus"] < high <= 1e6
    assert summarise([scored(1e4, 2)])["paper"] is None
    assert summarise([scored(3, 2)] * 4)["interval"] == pytest.approx([3, 3])
    huge = summarise([Score("h", 1e6, 1, math.exp(700), False, None)])
    json.dumps(huge, allow_nan=False)
    with pytest.raises(PerplexityError, match="not one of 1 samples could be scored; the first: why: so"):
        summarise([skipped])


def test_rows_and_summary_are_written(tmp_path, tiny_model_folder, answer_items):
    out = tmp_path / "ppl" / "tiny" / "set.jsonl"
    summary, scores = score_set(find(tiny_model_folder), answer_items, out, batch=2)
    rows = read_rows(out)
    assert [row["id"] for row in rows] == [item.id for item in answer_items]
    assert set(rows[0]) == {
        *("id", "nll", "answer_tokens", "perplexity", "skipped", "reason"),
        *("content", "image", "characters"),
    }
    assert [row["characters"] for row in rows] == [len(item.answer) for item in answer_items]
    stated = json.loads(out.with_suffix(".json").read_text())
    depends, made = stated.pop("depends"), stated.pop("made_with")
    assert stated == summary == summarise(scores)
    assert made["commit"] == commit() and depends["answers"]["dtype"] == "float32"
    assert {"weights", "device", "torch", "transformers", "wrapper"} <= set(depends["answers"])
    bits = sum(row["nll"] for row in rows) / math.log(2) / sum(row["characters"] for row in rows)
    assert summary["bits_per_character"] == pytest.approx(bits)
    shuffled = out.with_name("set.shuffled.jsonl")
    control, _ = score_set(find(tiny_model_folder), answer_items, shuffled, shuffled=True)
    assert control["corpus"] != pytest.approx(summary["corpus"], rel=1e-3)


def test_a_resumed_run_writes_the_same_bytes(tmp_path, tiny_model_folder, answer_items, monkeypatch):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    for out in (whole, cut):
        score_set(find(tiny_model_folder), answer_items, out, batch=2)
    # What a kill leaves: the first of two batches and half a line of the second.
    lines = {json.loads(line)["id"]: line for line in whole.read_bytes().splitlines(keepends=True)}
    planned = load_scorer(find(tiny_model_folder)).plan(answer_items, batch=2)[1]
    order = [prepared.item.id for part in planned for prepared in part.answers]
    cut.write_bytes(lines[order[0]] + lines[order[1]] + lines[order[2]][:20])
    cut.with_suffix(".json").unlink()
    asked: list[str] = []
    real = Scorer.score
    monkeypatch.setattr(
        Scorer,
        "score",
        lambda self, part: asked.extend(prepared.item.id for prepared in part.answers) or real(self, part),
    )
    score_set(find(tiny_model_folder), answer_items, cut, batch=2)
    assert cut.read_bytes() == whole.read_bytes()
    assert cut.with_suffix(".json").read_bytes() == whole.with_suffix(".json").read_bytes()
    assert asked == order[2:]
    score_set(find(tiny_model_folder), answer_items, cut, batch=2)
    assert len(asked) == 3


def test_a_model_trained_on_starts_anew(tmp_path, answer_items):
    out, folder = tmp_path / "set.jsonl", tmp_path / "model"
    first = score_set(find(write_tiny_model(folder, seed=0)), answer_items, out)[0]
    shutil.rmtree(folder)
    other = find(write_tiny_model(folder, seed=1))
    assert score_set(other, answer_items, out)[0]["corpus"] != first["corpus"]
    assert len(read_rows(out)) == 5


def test_rows_of_images_that_open_differently_now_are_made_again(
    tmp_path, tiny_model_folder, answer_items, monkeypatch, capsys
):
    out, model = tmp_path / "set.jsonl", find(tiny_model_folder)
    score_set(model, answer_items[:2], out)
    monkeypatch.setattr(score_module, "READING_VERSION", 99)
    score_set(model, answer_items[:2], out)
    changed = f"wrapper Scorer {VERSION}, images {READING_VERSION} → Scorer {VERSION}, images 99"
    assert f"stale and made again, since this changed: {changed}" in capsys.readouterr().err


def test_rows_of_two_versions_never_meet_in_one_file(
    tmp_path, tiny_model_folder, answer_items, monkeypatch, capsys
):
    out, model = tmp_path / "set.jsonl", find(tiny_model_folder)
    score_set(model, answer_items, out)
    first = read_rows(out)
    # Half of it is there when a newer version continues.
    out.write_text("".join(json.dumps(row) + "\n" for row in first[:2]))
    found, asked, real = provenance.versions, [], Scorer.score
    monkeypatch.setattr(provenance, "versions", lambda names: {**found(names), "transformers": "99.0"})
    monkeypatch.setattr(Scorer, "score", lambda self, part: asked.extend(part.answers) or real(self, part))
    capsys.readouterr()
    score_set(model, answer_items, out)
    assert len(asked) == 5
    error = capsys.readouterr().err
    assert f"ndino perplexity: {out}: stale and made again, since this changed: transformers " in error
    score_set(model, answer_items, out, batch=3)
    assert len(asked) == 5, "another batch size changes no key"


def test_an_image_in_another_encoding_is_not_another_image_for_the_control(tmp_path, answers_file):
    images = answers_file.parent / "images"
    with Image.open(images / "0.png") as first:
        first.save(images / "1.bmp")
    rows = [json.loads(line) for line in answers_file.read_text().splitlines()]
    rows[1]["file_name"] = "1.bmp"
    answers_file.write_text("\n".join(map(json.dumps, rows)))
    items = read_answers(answers_file)
    right, wrong = (
        [read_image(item.image()).tobytes() for item in kind] for kind in (items, exchange_images(items))
    )
    assert right[0] == right[1] and wrong[0] == wrong[1]
    assert all(own != other for own, other in zip(right, wrong, strict=True))


def test_rows_of_another_model_are_kept(tmp_path, tiny_model_folder, answer_items):
    out = tmp_path / "set.jsonl"
    score_set(find(tiny_model_folder), answer_items[:2], out)
    before = out.read_bytes(), out.with_suffix(".json").read_bytes()
    other = find(write_tiny_model(tmp_path / "other", seed=1))
    with pytest.raises(PerplexityError, match=f"{out}: holds rows of {tiny_model_folder}, which has other"):
        score_set(other, answer_items[:2], out)
    assert (out.read_bytes(), out.with_suffix(".json").read_bytes()) == before
    # The same weights elsewhere are the same model.
    moved = find(shutil.copytree(tiny_model_folder, tmp_path / "moved"))
    assert score_set(moved, answer_items[:2], out)[0]["n"] == 2
    out.unlink()
    assert score_set(other, answer_items[:2], out)[0]["n"] == 2


def test_a_file_that_is_not_ours_is_left_alone(answers_file, tiny_model_folder, answer_items):
    before = answers_file.read_bytes()
    with pytest.raises(PerplexityError, match="exists and is not ours"):
        score_set(find(tiny_model_folder), answer_items, answers_file)
    assert answers_file.read_bytes() == before
