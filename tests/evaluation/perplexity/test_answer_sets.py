from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from ndino.common.errors import UsageError
from ndino.evaluation.perplexity.answer_sets import AnswerSetError, exchange_images, read_items
from ndino.evaluation.perplexity.loading import load_scorer
from ndino.evaluation.perplexity.scorer import Scorer
from ndino.formats.hub_folders import write_split
from tests.evaluation.answer_files import find, read_answers
from tests.surroundings import on_a_full_disk


@pytest.fixture(scope="module")
def scorer(tiny_model_folder: Path) -> Scorer:
    return load_scorer(find(tiny_model_folder))


def test_exchanged_images_are_each_anothers(answer_items):
    exchanged = exchange_images(answer_items)
    assert sorted(item.digest for item in exchanged) == sorted(item.digest for item in answer_items)
    assert all(
        a.digest != b.digest and a.answer == b.answer for a, b in zip(answer_items, exchanged, strict=True)
    )
    with pytest.raises(AnswerSetError, match="two or more"):
        exchange_images(answer_items[:1])


def test_the_control_hands_no_broken_image_to_a_sound_question(answers_file):
    (answers_file.parent / "images" / "broken.png").write_text("no image")
    broken = {"id": "odd", "question": "Cosa?", "file_name": "broken.png", "answer": "rosso"}
    answers_file.write_text(f"{answers_file.read_text()}\n{json.dumps(broken)}")
    *sound, odd = read_answers(answers_file)
    row = f"{answers_file} row {len(sound) + 1}"
    assert odd.fault == f"image cannot be read: it is no image: {row}"
    exchanged = exchange_images([*sound, odd])
    assert exchanged[-1] == odd
    assert sorted(item.digest for item in exchanged[:-1]) == sorted(item.digest for item in sound)


def test_rows_to_train_on_are_told_from_questions(tmp_path):
    turns = [{"from": "human", "value": "<image>\nDov'è?"}, {"from": "gpt", "value": "A Bari."}]
    data = tmp_path / "rows.json"
    data.write_text(json.dumps([{"id": "1", "image": "a.png", "conversations": turns}]))
    with pytest.raises(
        UsageError, match=r"holds conversations to train on, .*\(remedy: write a \.jsonl with rows"
    ) as told:
        read_items(str(data))
    row = json.loads(str(told.value).partition("rows such as ")[2].removesuffix(")"))
    (tmp_path / "questions.jsonl").write_text(json.dumps(row))
    assert read_items(str(tmp_path / "questions.jsonl"))[0].question == "Dov'è?"


def test_ids_are_unique_whatever_the_data_repeats(answers_file):
    lines = answers_file.read_text().splitlines()
    answers_file.write_text(
        "\n".join([lines[0], lines[0], json.dumps({**json.loads(lines[1]), "id": None}), lines[0]])
    )
    ids = [item.id for item in read_items(str(answers_file), images_dir=answers_file.parent / "images")]
    assert ids == ["q0", "q0#2", "3", "q0#3"]


def test_rows_without_an_id_are_named_by_their_numbers(tmp_path):
    lines = ["", "{broken", '{"question": "q", "answer": "a", "file_name": "no.png"}']
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    for item, number in zip(read_items(str(tmp_path / "test.jsonl")), (2, 3), strict=True):
        assert item.id == str(number) and f"test.jsonl row {number}: " in item.message
    # One file after the other.
    for shard in range(2):
        (tmp_path / f"dev-0000{shard}-of-00002.jsonl").write_text("\n".join(lines[2:] * 2))
    assert [item.id for item in read_items(str(tmp_path), split="dev")] == ["1", "2", "3", "4"]


def test_parquet_and_dataset_folder_score_as_the_jsonl(tmp_path, answers_file, answer_items, scorer):
    rows = [
        {
            "id": item.id,
            "image": {"bytes": item.image(), "path": None},
            "question": item.question,
            "gpt_answer": item.answer,
        }
        for item in answer_items
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
    expected = scorer(answer_items)
    assert scorer(read_items(str(parquet))) == expected
    assert scorer(read_items(str(folder), split="test")) == expected
    with pytest.raises(UsageError, match="--split: test, dev"):
        read_items(str(folder))
    with pytest.raises(UsageError, match="no split train"):
        read_items(str(folder), split="train")
    with pytest.raises(UsageError, match=r"no field answer .*gpt_answer, id, question"):
        read_items(str(parquet), answer_field="answer")
    Dataset.from_list([{"question": "q", "answer": "a"}]).to_parquet(str(parquet))
    with pytest.raises(AnswerSetError, match="no column image"):
        read_items(str(parquet))


def test_a_plain_folder_is_read_as_its_jsonl(tmp_path, answers_file, answer_items):
    folder = tmp_path / "WILD_IT"
    folder.mkdir()
    (tmp_path / "images").rename(folder / "images")
    rows = [json.loads(line) for line in answers_file.read_text().splitlines()]
    rows = [{"image": f"images/{row.pop('file_name')}", **row} for row in rows]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [(i.id, i.digest) for i in read_items(str(folder))] == [(i.id, i.digest) for i in answer_items]
    (folder / "dev.jsonl").write_text(json.dumps(rows[0]))
    assert len(read_items(str(folder), split="dev")) == 1
    with pytest.raises(UsageError, match="--split: dev, test"):
        read_items(str(folder))


def test_a_dataset_folder_that_was_written_anew_is_read_anew(tmp_path, answer_items):
    def write(*answers: str) -> list[str]:
        rows = [
            {"image": {"bytes": item.image(), "path": None}, "question": item.question, "answer": answer}
            for item, answer in zip(answer_items, answers, strict=False)
        ]
        types = {"image": ImageFeature(), "question": Value("string"), "answer": Value("string")}
        write_split(tmp_path / "WILD_IT", "test", rows, types)
        return [item.answer for item in read_items(str(tmp_path / "WILD_IT"))]

    assert write("rosso", "blu") == ["rosso", "blu"]
    assert write("verde", "blu", "giallo") == ["verde", "blu", "giallo"]


def test_local_data_need_no_room_for_a_cache(tmp_path):
    script = "import sys; from ndino.evaluation.perplexity.answer_sets import read_items\n"
    script += "print([(item.answer, item.fault) for item in read_items(sys.argv[1])])"
    pixels = np.random.default_rng(0).integers(256, size=(200, 400, 3), dtype=np.uint8)
    parquet, cache = tmp_path / "a.parquet", tmp_path / "cache"
    cache.mkdir()
    types = {"image": ImageFeature(), "question": Value("string"), "answer": Value("string")}
    row = {"image": Image.fromarray(pixels), "question": "Cosa?", "answer": "Niente."}
    Dataset.from_list([row], features=Features(types)).to_parquet(str(parquet))
    done = subprocess.run(
        on_a_full_disk(cache, [sys.executable, "-c", script, parquet]),
        env=os.environ | {"HF_DATASETS_CACHE": str(cache), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[('Niente.', None)]\n"


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet", "none/none/none"])
def test_missing_data_is_one_clear_line(tmp_path, name):
    with pytest.raises((UsageError, AnswerSetError), match="none") as caught:
        read_items(str(tmp_path / name))
    assert "\n" not in str(caught.value)
