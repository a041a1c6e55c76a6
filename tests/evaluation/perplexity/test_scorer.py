from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image

from fixtures.tiny import write_tiny_model
from ndino.common.errors import UsageError
from ndino.evaluation.errors import SetupError
from ndino.evaluation.perplexity.answer_sets import AnswerItem, exchange_images, read_items
from ndino.evaluation.perplexity.loading import load_scorer
from ndino.evaluation.perplexity.scorer import PerplexityError, Scorer
from tests.evaluation.answer_files import find, png


@pytest.fixture(scope="module")
def scorer(tiny_model_folder: Path) -> Scorer:
    return load_scorer(find(tiny_model_folder))


def documented_reasons() -> list[str]:
    """What a reason begins with, by the table in docs/evaluation.md."""
    page = Path(__file__).parents[3].joinpath("docs/evaluation.md").read_text(encoding="utf-8")
    lines = page.partition("| reason | what is wrong |")[2].partition("\n\n")[0].splitlines()[2:]
    return [kind.removesuffix("...") for line in lines for kind in re.findall("`(.*?)`", line.split("|")[1])]


def rendered(item: AnswerItem) -> str:
    return (
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<image>\n{item.question}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{item.answer}<|eot_id|>"
    )


def test_ids_equal_the_processors_own_for_every_shape(scorer, answer_items):
    _, batches = scorer.plan(answer_items, batch=2)
    planned = [prepared for batch in batches for prepared in batch.answers]
    assert sorted(prepared.item.id for prepared in planned) == [item.id for item in answer_items]
    for prepared in planned:
        image = Image.open(io.BytesIO(prepared.item.image()))
        own = scorer.processor(images=image, text=rendered(prepared.item), add_special_tokens=False)
        assert prepared.widened(scorer.model.config.image_token_id) == list(own["input_ids"][0])
        assert prepared.length == len(own["input_ids"][0])


def test_a_batch_scores_as_transformers_own_loss_one_by_one(scorer, answer_items):
    for item, score in zip(answer_items, scorer(answer_items, batch=3), strict=True):
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
def several(answer_items) -> list[AnswerItem]:
    """Two images with several questions and answers each, mixed, and one with a single one."""
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
        AnswerItem(f"s{i}", question, answer, answer_items[image].digest, answer_items[image].image)
        for i, (image, question, answer) in enumerate(asked)
    ]


@pytest.mark.parametrize("packed", [4096, 40])
def test_answers_that_share_a_prefix_score_the_same_as_alone(scorer, several, monkeypatch, packed):
    alone = [scorer([item])[0] for item in several]
    monkeypatch.setattr("ndino.evaluation.perplexity.scorer.PACKED_TOKENS", packed)
    _, batches = scorer.plan(several, batch=4)
    told = [
        (batch.shares_prefix, sorted(prepared.item.id for prepared in batch.answers)) for batch in batches
    ]
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


def test_a_truncated_image_skips_its_own_answers_only(scorer, several, answer_items):
    def torn() -> bytes:
        return answer_items[0].image()[:-40]

    broken = [
        AnswerItem(i.id, i.question, i.answer, i.digest, torn) if i.digest == answer_items[0].digest else i
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


def test_a_model_without_our_markers_is_asked_by_its_own_template(scorer, answer_items, monkeypatch):
    monkeypatch.setattr("ndino.evaluation.perplexity.scorer.has_llama3_markers", lambda tokenizer: False)
    monkeypatch.setattr(scorer.processor, "chat_template", TEMPLATE)
    tokenizer = scorer.processor.tokenizer
    for item, score in zip(answer_items, scorer(answer_items), strict=True):
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
    assert {score.reason for score in scorer(answer_items)} == {
        "cannot be asked: the chat template fails: no"
    }


TEXT_FIRST = (
    "{{ bos_token }}{% for m in messages %}{% for p in m['content'] if p['type'] == 'text' %}"
    "{{ p['text'] }}<image>END{% endfor %}{% endfor %}"
)


@pytest.mark.parametrize(("end", "shared"), [(".", {"Cosa vedi?"}), ("", set())], ids=["before", "last"])
def test_with_text_before_the_image_only_equal_questions_share(scorer, several, monkeypatch, end, shared):
    monkeypatch.setattr("ndino.evaluation.perplexity.scorer.has_llama3_markers", lambda tokenizer: False)
    monkeypatch.setattr(scorer.processor, "chat_template", TEXT_FIRST.replace("END", end))
    _, batches = scorer.plan(several)
    assert shared == {
        prepared.item.question for part in batches if part.shares_prefix for prepared in part.answers
    }
    alone = [scorer([item])[0].nll for item in several]
    assert [score.nll for score in scorer(several)] == pytest.approx(alone, rel=1e-5)


def test_the_image_and_the_question_matter(scorer, answer_items):
    right = scorer(answer_items)
    wrong = scorer(exchange_images(answer_items))
    assert all(abs(a.nll - b.nll) > 1e-3 for a, b in zip(right, wrong, strict=True))
    other = [AnswerItem(i.id, "Quanti cerchi ci sono?", i.answer, i.digest, i.image) for i in answer_items]
    assert all(abs(a.nll - b.nll) > 1e-3 for a, b in zip(right, scorer(other), strict=True))


def test_the_exif_orientation_is_applied_before_scoring(scorer, answer_items, tmp_path):
    lying = Image.open(io.BytesIO(answer_items[2].image())).transpose(Image.Transpose.ROTATE_90)
    exif = lying.getexif()
    exif[ExifTags.Base.Orientation] = 6
    buffer = io.BytesIO()
    lying.save(buffer, "PNG", exif=exif)
    (turned,) = scorer([dataclasses.replace(answer_items[2], image=buffer.getvalue)])
    assert turned == scorer([answer_items[2]])[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"answer": " "}, "answer is empty"),
        ({"answer": None}, "answer is None, not a text"),
        ({"question": ""}, "question is empty"),
        (
            {"file_name": "none.png"},
            "image cannot be read: image none.png is not in .*images: .*answers.jsonl row 6$",
        ),
        ({"file_name": "broken.png"}, "image cannot be read: it is no image: .*answers.jsonl row 6$"),
        ({"file_name": "torn.png"}, "image cannot be read"),
        ({"file_name": None}, "image cannot be read: image is empty: "),
        ({"question": "a \ud800?"}, "question is no Unicode"),
        ({"answer": "a <|eot_id|> b"}, r"cannot be asked: the answer holds the control token <\|eot_id\|>"),
        ({"question": "a <|pad|> b"}, r"the question holds the control token <\|pad\|>"),
        ({"question": "dove <image>?"}, "question holds <image> inside its text: .*answers.jsonl row 6$"),
        ({"answer": "un <image>"}, "answer holds the control token <image>: .*answers.jsonl row 6$"),
        ({"answer": "parola " * 5000}, r"\d+ tokens, but the model's context is 4096"),
        ("{broken", "broken JSON: .* row 6"),
        ("[1]", "is no JSON object: .* row 6"),
    ],
)
def test_what_cannot_be_scored_is_skipped_with_its_reason(answers_file, scorer, row, reason):
    (answers_file.parent / "images" / "broken.png").write_text("no image")
    (answers_file.parent / "images" / "torn.png").write_bytes(png((56, 56), 0)[:-40])
    good = {"id": "odd", "question": "Cosa?", "file_name": "0.png", "answer": "rosso"}
    line = row if isinstance(row, str) else json.dumps(good | row)
    answers_file.write_text(f"{answers_file.read_text()}\n{line}\n")
    answer_items = read_items(str(answers_file), images_dir=answers_file.parent / "images")
    undisturbed, scores = scorer(answer_items[:5]), scorer(answer_items)
    assert [score.skipped for score in scores] == [False] * 5 + [True]
    assert (scores[5].nll, scores[5].answer_tokens, scores[5].perplexity) == (None, 0, None)
    assert re.search(reason, scores[5].reason)
    assert any(scores[5].reason.startswith(kind) for kind in documented_reasons()), scores[5].reason
    assert [score.nll for score in scores[:5]] == [score.nll for score in undisturbed]


def test_scaled_positions_are_a_longer_context(tmp_path):
    folder = write_tiny_model(tmp_path / "scaled", seed=0)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["rope_parameters"] |= {"rope_type": "linear", "factor": 2.0}
    (folder / "config.json").write_text(json.dumps(config))
    assert load_scorer(find(folder)).context == 2 * config["text_config"]["max_position_embeddings"]


def test_unusable_models_are_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no such model folder"):
        find(tmp_path / "none")
    wrong = write_tiny_model(tmp_path / "wrong", seed=0)
    config = json.loads((wrong / "config.json").read_text())
    # Transformers would draw the third layer at random.
    for setting, value, said in [
        ("num_hidden_layers", 3, "9 weights are missing, model.language_model.layers.2"),
        (
            "intermediate_size",
            48,
            "6 weights are not of the size .* is 32 x 64 .* 32 x 48 by config.json",
        ),
    ]:
        changed = {**config, "text_config": {**config["text_config"], setting: value}}
        (wrong / "config.json").write_text(json.dumps(changed))
        with pytest.raises(PerplexityError, match=f"wrong: {said}") as caught:
            load_scorer(find(wrong))
        assert "\n" not in str(caught.value)
    monkeypatch.setattr("ndino.evaluation.perplexity.loading.has_llama3_markers", lambda tokenizer: False)
    untold = write_tiny_model(tmp_path / "untold", seed=0)
    (untold / "chat_template.jinja").unlink()
    with pytest.raises(PerplexityError, match="untold: has no chat template"):
        load_scorer(find(untold))
    (wrong / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(SetupError, match="is a language model without a vision tower, not a LLaVA-NeXT"):
        find(wrong)
