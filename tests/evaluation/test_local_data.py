"""Every benchmark as plain files of its documented schema, against the same as the hub lays it out."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from datasets import load_dataset
from PIL import Image

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from tests.evaluation.answerer import Answerer, see

NAMES = ["ndino-it", "pope_adv-it"]


def plain_copy(source: Path, folder: Path, *, kind: str) -> Path:
    """The benchmarks of ``source`` without any README: JSON and images as files, or Parquet."""
    for readme in source.glob("*/*/README.md"):
        split = next(readme.parent.glob("*.parquet")).stem
        rows = load_dataset("parquet", data_files=str(readme.with_name(f"{split}.parquet")), split="train")
        target = folder / readme.parent.relative_to(source)
        target.mkdir(parents=True)
        if kind == "parquet":
            rows.to_parquet(target / f"{split}-00000-of-00001.parquet")
            continue
        lines = []
        for row in rows:
            if (image := row.pop("image", None)) is not None:
                name = f"{row['id']}.png" if target.name == "GQA" else f"images/{row['id']}.png"
                (target / name).parent.mkdir(exist_ok=True)
                image.save(target / name)
                # Both names of the field are in use.
                row["file_name" if target.name == "MTVQA_IT" else "image"] = name
            lines.append(row)
        if target.name == "gqa-it":  # as it is published
            lines = [{**row, "label": json.loads(row["label"])} for row in lines]
            (target / "testdev3k.json.gz").write_bytes(gzip.compress(json.dumps(lines).encode()))
        elif target.name != "GQA":
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines)
            (target / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return folder


def answers(data: Path, cache: Path, monkeypatch) -> dict:
    monkeypatch.chdir(data)
    benchmarks = Benchmarks(NAMES, data=data, cache=cache)
    found = {}
    for name in benchmarks.names:
        for control in ("", "shuffled"):
            outcome = benchmarks.ask(Answerer(see), name, control)
            found[name, control] = [(row["target"], row["answer"]) for row in outcome.rows]
    return found


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("kind", ["files", "parquet"])
def test_plain_files_are_asked_as_the_hubs_own(benchmark_folder, tmp_path, cache, monkeypatch, kind):
    plain = plain_copy(benchmark_folder, tmp_path / "data", kind=kind)
    assert not [*plain.rglob("README.md")]
    assert answers(plain, cache, monkeypatch) == answers(benchmark_folder, cache, monkeypatch)


def test_the_hub_is_not_asked(benchmark_folder, tmp_path, cache, monkeypatch):
    import socket

    plain = plain_copy(benchmark_folder, tmp_path / "data", kind="files")

    def refuse(*arguments, **options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert answers(plain, tmp_path / "fresh", monkeypatch)


def test_a_changed_file_is_read_anew(tmp_path, cache, monkeypatch):
    from PIL import Image

    folder = tmp_path / "swap-uniba" / "MTVQA_IT"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    monkeypatch.chdir(tmp_path)
    for wanted in ("rosso", "verde"):
        row = {"id": "0", "image": "a.png", "question": "?", "answer": wanted}
        (folder / "test.jsonl").write_text(json.dumps(row))
        benchmarks = Benchmarks(["mtvqa-it"], data=tmp_path, cache=cache)
        task = benchmarks.task("mtvqa-it").task
        assert [task.doc_to_target(document) for document in task.eval_docs] == [wanted]


def test_a_missing_image_is_named_with_its_row(benchmark_folder, tmp_path, cache, monkeypatch):

    plain = plain_copy(benchmark_folder, tmp_path / "data", kind="files")
    shutil.rmtree(plain / "swap-uniba" / "POPE_IT" / "images")
    monkeypatch.chdir(plain)
    with pytest.raises(
        SetupError,
        match=r"task pope-it: .*swap-uniba/POPE_IT/test.jsonl row 1: image .*\.png is not in .*POPE_IT; "
        r"row 2: .*; and 2 more",
    ):
        Benchmarks(["pope-it"], data=plain, cache=cache).load()


def test_a_question_with_two_places_for_its_image_is_named(tmp_path, cache, monkeypatch):
    folder = tmp_path / "swap-uniba" / "MTVQA_IT"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    questions = ["<image> Che cosa dice?", "Che cosa dice?", "<image> <image> Che cosa dice?"]
    rows = [{"id": f"{i}", "image": "a.png", "question": q, "answer": "sì"} for i, q in enumerate(questions)]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        SetupError, match=r"task mtvqa-it: .*test.jsonl row 3: question holds 2 <image> for one"
    ):
        Benchmarks(["mtvqa-it"], data=tmp_path, cache=cache).load()
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    Benchmarks(["mtvqa-it"], data=tmp_path, cache=cache).load()


def test_a_first_image_that_is_none_is_named(tmp_path, cache, monkeypatch):
    folder = tmp_path / "swap-uniba" / "MTVQA_IT"
    folder.mkdir(parents=True)
    (folder / "0.png").write_text("no image")
    row = {"id": "0", "image": "0.png", "question": "?", "answer": "rosso"}
    (folder / "test.jsonl").write_text(json.dumps(row))
    monkeypatch.chdir(tmp_path)
    benchmarks = Benchmarks(["mtvqa-it"], data=tmp_path, cache=cache)
    with pytest.raises(
        SetupError,
        match=r"task mtvqa-it: .*/test.jsonl row 1: image cannot be read: it is no image \(remedy: ",
    ):
        benchmarks.load()


def test_other_peoples_tasks_refuse_truncated_images_too(tmp_path):
    import io

    import lmms_eval.api.task  # noqa: F401  lets truncated images pass

    from ndino.evaluation.lmms_eval_adapter.surroundings import task_environment

    whole = io.BytesIO()
    Image.effect_noise((60, 60), 50).save(whole, "PNG")
    with task_environment(shuffled=False, cache=None), pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(whole.getvalue()[:-600])).load()
