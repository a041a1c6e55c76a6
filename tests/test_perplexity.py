from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

import evaluate_ppl
from ndino.answer_sets import AnswerSetError, Item, exchange_images, read_items
from ndino.evaluation.errors import SetupError
from ndino.evaluation.models import Model, find_model
from ndino.hub_folders import write_split
from ndino.perplexity import score_set, summarise
from ndino.scorer import PerplexityError, Score, Scorer, load_scorer
from tests.tiny import write_tiny_model

SIZES = [(56, 56), (150, 90), (60, 200), (112, 113), (31, 7)]
ANSWERS = ["rosso", "C'è un triangolo rosso nell'immagine.", "No.", "tre", "un gatto e un cane, blu e verde"]


def png(size: tuple[int, int], seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five answers with pictures of five shapes, as a JSONL file."""
    rows = []
    for number, (size, answer) in enumerate(zip(SIZES, ANSWERS, strict=True)):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{number}.png").write_bytes(png(size, number))
        rows.append(
            {"id": f"q{number}", "question": "Cosa vedi?", "file_name": f"{number}.png", "answer": answer}
        )
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def items(data: Path) -> list[Item]:
    return read_items(str(data), images_dir=data.parent / "images")


@pytest.fixture(scope="session")
def scorer(tiny_model_folder: Path):
    return load_scorer(find(tiny_model_folder))


def find(folder: Path) -> Model:
    return find_model(folder.name, str(folder))


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rendered(item: Item) -> str:
    return (
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<image>\n{item.question}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{item.answer}<|eot_id|>"
    )


def test_ids_equal_the_processors_own_for_every_shape(scorer, items):
    _, batches = scorer.plan(items, batch=2)
    planned = [ready for batch in batches for ready in batch.answers]
    assert sorted(ready.item.id for ready in planned) == [item.id for item in items]
    for ready in planned:
        image = Image.open(io.BytesIO(ready.item.image()))
        own = scorer.processor(images=image, text=rendered(ready.item), add_special_tokens=False)
        assert ready.widened(scorer.model.config.image_token_id) == list(own["input_ids"][0])
        assert ready.length == len(own["input_ids"][0])


def test_a_batch_scores_as_transformers_own_loss_one_by_one(scorer, items):
    for item, score in zip(items, scorer(items, batch=3), strict=True):
        image = Image.open(io.BytesIO(item.image()))
        inputs = scorer.processor(
            images=image, text=rendered(item), add_special_tokens=False, return_tensors="pt"
        )
        tokens = len(
            scorer.processor.tokenizer(f"{item.answer}<|eot_id|>", add_special_tokens=False)["input_ids"]
        )
        labels = inputs["input_ids"].clone()
        labels[:, :-tokens] = -100
        with torch.inference_mode():
            loss = scorer.model(**inputs, labels=labels).loss.item()
        assert score.answer_tokens == tokens
        assert score.nll / tokens == pytest.approx(loss, rel=1e-5)
        assert score.perplexity == pytest.approx(math.exp(loss), rel=1e-4)
        assert (score.id, score.skipped, score.reason) == (item.id, False, None)


@pytest.fixture
def several(items) -> list[Item]:
    """Two pictures with several questions and answers each, mixed, and one with a single one."""
    asked = [
        (0, "Cosa vedi?", "rosso"),
        (1, "Cosa vedi?", "un gatto"),
        (0, "Cosa vedi?", "rosso e blu"),
        (0, "Quanti cerchi ci sono?", "tre"),
        (1, "Cosa vedi?", "C'è un triangolo rosso nell'immagine."),
        (2, "Cosa vedi?", "No."),
        (0, "Cosa vedi?", "rosso"),
    ]
    return [
        Item(f"s{i}", question, answer, items[picture].digest, items[picture].image)
        for i, (picture, question, answer) in enumerate(asked)
    ]


@pytest.mark.parametrize("packed", [4096, 40])
def test_answers_about_one_picture_share_it_and_score_as_alone(scorer, several, monkeypatch, packed):
    alone = [scorer([item])[0] for item in several]
    monkeypatch.setattr("ndino.scorer.PACKED_TOKENS", packed)
    _, batches = scorer.plan(several, batch=4)
    told = [(batch.one_picture, sorted(ready.item.id for ready in batch.answers)) for batch in batches]
    if packed == 4096:
        assert told == [(False, ["s5"]), (True, ["s0", "s2", "s3", "s6"]), (True, ["s1", "s4"])]
    else:
        assert [one for one, _ in told].count(True) > 2
    encoded = []
    real = type(scorer.model.model).get_image_features
    monkeypatch.setattr(
        type(scorer.model.model),
        "get_image_features",
        lambda self, *rest, **more: encoded.append(1) or real(self, *rest, **more),
    )
    together = scorer(several)
    assert len(encoded) == len(batches)
    assert [score.id for score in together] == [item.id for item in several]
    assert [score.answer_tokens for score in together] == [score.answer_tokens for score in alone]
    assert [score.nll for score in together] == pytest.approx([score.nll for score in alone], rel=1e-5)


def test_a_torn_picture_takes_all_its_answers_and_no_others(scorer, several, items):
    def torn() -> bytes:
        return items[0].image()[:-40]

    broken = [
        Item(i.id, i.question, i.answer, i.digest, torn) if i.digest == items[0].digest else i
        for i in several
    ]
    scores = scorer(broken)
    assert [score.skipped for score in scores] == [True, False, True, True, False, False, True]
    assert {score.reason.split(":")[0] for score in scores if score.skipped} == {"image cannot be read"}


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} [assistant] {% endif %}"
)


def test_a_model_without_our_markers_is_asked_by_its_own_template(scorer, items, monkeypatch):
    monkeypatch.setattr("ndino.scorer.has_llama3_markers", lambda tokenizer: False)
    monkeypatch.setattr(scorer.processor, "chat_template", TEMPLATE)
    tokenizer = scorer.processor.tokenizer
    for item, score in zip(items, scorer(items), strict=True):
        prompt = f"{tokenizer.bos_token}[user] <image>{item.question} [assistant] "
        image = Image.open(io.BytesIO(item.image()))
        asked = scorer.processor(images=image, text=prompt, add_special_tokens=False, return_tensors="pt")
        answer = tokenizer(item.answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        ids = torch.cat([asked["input_ids"], torch.tensor([answer])], 1)
        labels = ids.clone()
        labels[:, : -len(answer)] = -100
        inputs = {**asked, "input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
        with torch.inference_mode():
            loss = scorer.model(**inputs).loss.item()
        assert score.answer_tokens == len(answer)
        assert score.nll / len(answer) == pytest.approx(loss, rel=1e-5)
    monkeypatch.setattr(scorer.processor, "chat_template", "{{ raise_exception('no') }}")
    assert {score.reason for score in scorer(items)} == {"cannot be asked: the chat template fails: no"}


def test_the_picture_and_the_question_matter(scorer, items):
    right = scorer(items)
    wrong = scorer(exchange_images(items))
    assert all(abs(a.nll - b.nll) > 1e-3 for a, b in zip(right, wrong, strict=True))
    other = [Item(i.id, "Quanti cerchi ci sono?", i.answer, i.digest, i.image) for i in items]
    assert all(abs(a.nll - b.nll) > 1e-3 for a, b in zip(right, scorer(other), strict=True))


def test_exchanged_images_are_each_anothers(items):
    exchanged = exchange_images(items)
    assert sorted(item.digest for item in exchanged) == sorted(item.digest for item in items)
    assert all(a.digest != b.digest and a.answer == b.answer for a, b in zip(items, exchanged, strict=True))
    with pytest.raises(AnswerSetError, match="two or more"):
        exchange_images(items[:1])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"answer": " "}, "answer is empty"),
        ({"answer": None}, "answer is empty or no text"),
        ({"question": ""}, "question is empty"),
        ({"file_name": "none.png"}, "image cannot be read: .*none.png"),
        ({"file_name": "broken.png"}, "image cannot be read"),
        ({"file_name": "torn.png"}, "image cannot be read"),
        ({"file_name": None}, "no file_name"),
        ({"answer": "a <|eot_id|> b"}, "contains the marker"),
        ({"question": "dove <image>?"}, "2 <image> in the text but 1"),
        ({"answer": "parola " * 5000}, r"\d+ tokens, but the model's context is 4096"),
        ("{broken", "broken JSON: .* row 6"),
        ("[1]", "no file_name"),
    ],
)
def test_what_cannot_be_scored_is_skipped_with_its_reason(data, scorer, row, reason):
    (data.parent / "images" / "broken.png").write_text("no picture")
    (data.parent / "images" / "torn.png").write_bytes(png((56, 56), 0)[:-40])
    good = {"id": "odd", "question": "Cosa?", "file_name": "0.png", "answer": "rosso"}
    line = row if isinstance(row, str) else json.dumps(good | row)
    data.write_text(f"{data.read_text()}\n{line}\n")
    items = read_items(str(data), images_dir=data.parent / "images")
    undisturbed, scores = scorer(items[:5]), scorer(items)
    assert [score.skipped for score in scores] == [False] * 5 + [True]
    assert (scores[5].nll, scores[5].answer_tokens, scores[5].perplexity) == (None, 0, None)
    assert re.search(reason, scores[5].reason)
    assert [score.nll for score in scores[:5]] == [score.nll for score in undisturbed]


def test_ids_are_unique_whatever_the_data_repeats(data):
    lines = data.read_text().splitlines()
    data.write_text(
        "\n".join([lines[0], lines[0], json.dumps({**json.loads(lines[1]), "id": None}), lines[0]])
    )
    ids = [item.id for item in read_items(str(data), images_dir=data.parent / "images")]
    assert ids == ["q0", "q0#2", "3", "q0#3"]


def test_parquet_and_dataset_folder_score_as_the_jsonl(tmp_path, data, items, scorer):
    rows = [
        {
            "id": item.id,
            "image": {"bytes": item.image(), "path": None},
            "question": item.question,
            "gpt_answer": item.answer,
        }
        for item in items
    ]
    features = Features(
        {
            "id": Value("string"),
            "image": ImageFeature(),
            "question": Value("string"),
            "gpt_answer": Value("string"),
        }
    )
    folder = tmp_path / "swap-uniba" / "WILD_IT"
    (folder / "data").mkdir(parents=True)
    parquet = folder / "data" / "test-00000.parquet"
    Dataset.from_list(rows, features=features).to_parquet(str(parquet))
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - split: test\n    path: data/test-*\n  - split: dev\n    path: data/test-*\n---\n"
    )
    expected = scorer(items)
    assert scorer(read_items(str(parquet))) == expected
    assert scorer(read_items(str(folder), split="test")) == expected
    with pytest.raises(AnswerSetError, match="--split: test, dev"):
        read_items(str(folder))
    with pytest.raises(AnswerSetError, match="no split train"):
        read_items(str(folder), split="train")
    with pytest.raises(AnswerSetError, match=r"no field answer .*gpt_answer, id, question"):
        read_items(str(parquet), answer_field="answer")
    Dataset.from_list([{"question": "q", "answer": "a"}]).to_parquet(str(parquet))
    with pytest.raises(AnswerSetError, match="no column image"):
        read_items(str(parquet))


def test_a_plain_folder_is_read_as_its_jsonl(tmp_path, data, items):
    folder = tmp_path / "WILD_IT"
    folder.mkdir()
    (tmp_path / "images").rename(folder / "images")
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows = [{"image": f"images/{row.pop('file_name')}", **row} for row in rows]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [(i.id, i.digest) for i in read_items(str(folder))] == [(i.id, i.digest) for i in items]
    (folder / "dev.jsonl").write_text(json.dumps(rows[0]))
    assert len(read_items(str(folder), split="dev")) == 1
    with pytest.raises(AnswerSetError, match="--split: dev, test"):
        read_items(str(folder))


def test_a_dataset_folder_that_was_written_anew_is_read_anew(tmp_path, items):
    def write(*answers: str) -> list[str]:
        rows = [
            {"image": {"bytes": item.image(), "path": None}, "question": item.question, "answer": answer}
            for item, answer in zip(items, answers, strict=False)
        ]
        types = {"image": ImageFeature(), "question": Value("string"), "answer": Value("string")}
        write_split(tmp_path / "WILD_IT", "test", rows, types)
        return [item.answer for item in read_items(str(tmp_path / "WILD_IT"))]

    assert write("rosso", "blu") == ["rosso", "blu"]
    assert write("verde", "blu", "giallo") == ["verde", "blu", "giallo"]


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet", "none/none/none"])
def test_missing_data_is_one_clear_line(tmp_path, name):
    with pytest.raises(AnswerSetError, match="none") as caught:
        read_items(str(tmp_path / name))
    assert "\n" not in str(caught.value)


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


def test_rows_and_summary_are_written(tmp_path, tiny_model_folder, items):
    out = tmp_path / "ppl" / "tiny" / "set.jsonl"
    summary, scores = score_set(find(tiny_model_folder), items, out, batch=2)
    rows = read_rows(out)
    assert [row["id"] for row in rows] == [item.id for item in items]
    assert set(rows[0]) == {"id", "nll", "answer_tokens", "perplexity", "skipped", "reason"}
    assert json.loads(out.with_suffix(".json").read_text()) == summary == summarise(scores)
    shuffled = out.with_name("set.shuffled.jsonl")
    control, _ = score_set(find(tiny_model_folder), items, shuffled, shuffled=True)
    assert control["corpus"] != pytest.approx(summary["corpus"], rel=1e-3)


def test_a_cut_off_run_goes_on_to_the_same_bytes(tmp_path, tiny_model_folder, scorer, items, monkeypatch):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    for out in (whole, cut):
        score_set(find(tiny_model_folder), items, out, batch=2)
    # What a kill leaves: the first of two batches and half a line of the second.
    lines = {json.loads(line)["id"]: line for line in whole.read_bytes().splitlines(keepends=True)}
    order = [ready.item.id for part in scorer.plan(items, batch=2)[1] for ready in part.answers]
    cut.write_bytes(lines[order[0]] + lines[order[1]] + lines[order[2]][:20])
    cut.with_suffix(".json").unlink()
    asked: list[str] = []
    real = Scorer.score
    monkeypatch.setattr(
        Scorer,
        "score",
        lambda self, part: asked.extend(ready.item.id for ready in part.answers) or real(self, part),
    )
    score_set(find(tiny_model_folder), items, cut, batch=2)
    assert cut.read_bytes() == whole.read_bytes()
    assert cut.with_suffix(".json").read_bytes() == whole.with_suffix(".json").read_bytes()
    assert asked == order[2:]
    score_set(find(tiny_model_folder), items, cut, batch=2)
    assert len(asked) == 3


def test_another_model_or_other_data_starts_anew(tmp_path, tiny_model_folder, items):
    out = tmp_path / "set.jsonl"
    first = score_set(find(tiny_model_folder), items, out)[0]
    other = find(write_tiny_model(tmp_path / "other", seed=1))
    assert score_set(other, items, out)[0]["corpus"] != first["corpus"]
    assert len(read_rows(out)) == 5
    assert score_set(other, items[:2], out)[0]["n"] == 2
    assert len(read_rows(out)) == 2


def test_a_file_that_is_not_ours_is_left_alone(data, tiny_model_folder, items):
    before = data.read_bytes()
    with pytest.raises(PerplexityError, match="exists and is not ours"):
        score_set(find(tiny_model_folder), items, data)
    assert data.read_bytes() == before


def test_unusable_models_are_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(SetupError, match="no such model folder"):
        find(tmp_path / "none")
    torn = write_tiny_model(tmp_path / "torn", seed=0)
    weights = torn / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(PerplexityError, match="torn: cannot be loaded: ") as caught:
        load_scorer(find(torn))
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("ndino.scorer.has_llama3_markers", lambda tokenizer: False)
    untold = write_tiny_model(tmp_path / "untold", seed=0)
    (untold / "chat_template.jinja").unlink()
    with pytest.raises(PerplexityError, match="untold: has no chat template"):
        load_scorer(find(untold))
    (torn / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(SetupError, match="is a llama model, not LLaVA-NeXT"):
        find(torn)


def test_command(tmp_path, data, tiny_model_folder, capsys):
    out = tmp_path / "out" / "set.jsonl"
    data.write_text(
        f"{data.read_text()}\n" + json.dumps({"question": "q", "answer": "a", "file_name": "no.png"})
    )
    command = [
        "--model",
        str(tiny_model_folder),
        "--data",
        str(data),
        "--images-dir",
        str(tmp_path / "images"),
    ]
    assert evaluate_ppl.main([*command, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "5 scored, 1 skipped" in printed
    assert "skipped 1: image cannot be read (id 6; the first: " in printed and "no.png" in printed
    assert "paper's mean       ⋄" in printed
    assert f"{json.loads(out.with_suffix('.json').read_text())['corpus']:.4g}" in printed

    assert evaluate_ppl.main([*command, "--answer-field", "risposta", "--out", str(out)]) == 1
    assert "--answer-field" in capsys.readouterr().err
    assert evaluate_ppl.main([*command[:2], "--data", str(tmp_path / "none.jsonl")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    # Without asking a hub, whose answer takes half a minute where there is none.
    assert evaluate_ppl.main(["--model", "none", *command[2:]]) == 1
    assert capsys.readouterr().err == (
        "evaluate_ppl: none: no such model folder (give the folder that holds config.json)\n"
    )


def test_default_output_is_named_after_run_and_data():
    assert evaluate_ppl.default_out("runs/demo/mlp-pt/model", "x/WILD_IT", False) == Path(
        "runs/ppl/mlp-pt/WILD_IT.jsonl"
    )
    assert evaluate_ppl.default_out("org/name", "a.jsonl", True) == Path("runs/ppl/name/a.shuffled.jsonl")
