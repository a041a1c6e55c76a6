"""The four benchmarks, translated and written as their tasks read them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ndino.data.framework.merge import merge
from ndino.data.sources import benchmarks
from ndino.evaluation.benchmarks import Benchmarks
from ndino.formats.hub_folders import load_folder
from tests.commands import data as main
from tests.data.samples.benchmark_samples import write_benchmark_sources, write_gqa_source
from tests.data.samples.cauldron_samples import draw_image
from tests.data.translation.apertium_there import needs_apertium
from tests.data.translation.translators.marked import Marked, marked_translation, remark


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        benchmarks, "open_translation", lambda args, memory: marked_translation(memory.parent)
    )
    monkeypatch.setattr(benchmarks, "translation_identity", lambda args: Marked().identity)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmark_sources(tmp_path_factory.mktemp("lmms-lab"))


def run(source: Path, out: Path, *arguments: str) -> int:
    return main(["benchmarks", "--source", str(source), "--out", str(out), *arguments])


def read(out: Path, name: str, split: str = "test") -> list[dict]:
    return list(load_folder(out / "benchmarks" / "swap-uniba" / name, split=split))


def test_the_tasks_columns_and_the_counts_of_table_4(marked, sources, tmp_path):
    assert run(sources, tmp_path / "out") == 0
    (animal, wheels, healthy) = read(tmp_path / "out", "OK-VQA_IT", "val2014")
    assert (animal["id"], animal["question"]) == ("100", "What animal is on the sofa?")
    assert animal["answers"] == ["dog"] * 6 + ["puppy"] * 4
    assert wheels["answers"] == ["3"] * 10
    assert healthy["answers"] == ["sì"] * 7 + ["no"] * 3
    seed = read(tmp_path / "out", "SEED-Bench_IT")
    assert [one["answer"] for one in seed] == ["A", "B", "D"]
    assert [seed[1][f"choice_{letter}"] for letter in "abcd"][1] == "Under the table"
    pope = read(tmp_path / "out", "POPE_IT")
    assert [one["answer"] for one in pope] == ["no", "sì"] * 9
    assert {one["category"] for one in pope} == {"adversarial", "popular", "random"}
    assert len({one["id"] for one in pope}) == 18
    (wild,) = read(tmp_path / "out", "WILD_IT")
    assert wild["gpt_answer"] == "The photo shows a beach.\n\n1. There is a dog.\n2. There are two people."
    assert wild["image"].size == (32, 32)
    counts = json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"]
    assert (counts["POPE/original"], counts["POPE/translated"]) == (18, 18)
    # The video is no question of the part on images.
    assert (counts["SEED-Bench/original"], counts["SEED-Bench/other parts"]) == (3, 1)


def test_lmms_eval_tasks_read_the_folders(marked, sources, tmp_path):
    """Columns and answers through the tasks' own code."""
    from importlib.util import module_from_spec, spec_from_file_location

    assert run(sources, tmp_path / "out") == 0
    for folder, name, function in (
        ("pope_it", "POPE_IT", "all_questions"),
        ("seedbench_it", "SEED-Bench_IT", "process_docs"),
        ("llava-bench_it", "WILD_IT", "process_docs"),
    ):
        path = Path(__file__).parents[3] / "tasks_it" / folder / "utils.py"
        spec = spec_from_file_location(f"utils_of_{folder.replace('-', '_')}", path)
        utils = module_from_spec(spec)
        spec.loader.exec_module(utils)
        dataset = load_folder(tmp_path / "out" / "benchmarks" / "swap-uniba" / name, split="test")
        documents = getattr(utils, function)(dataset)
        assert len(documents) == len(dataset)
        assert utils.doc_to_text(documents[0])


def test_a_question_that_fails_a_check_is_left_out_and_a_refused_answer_alone(
    monkeypatch, marked, sources, tmp_path
):
    def broken(line: str) -> str:
        # An answer of one OK-VQA question, an option of one of SEED-Bench, a no of POPE.
        line = remark(line).replace("Risposta: puppy", "Il cucciolo")
        line = line.replace("(3) In the garden", "In the garden")
        return line.replace("show a person? Risposta: sì", "show a person? Risposta: no")

    monkeypatch.setattr(
        benchmarks, "open_translation", lambda args, memory: marked_translation(memory.parent, broken)
    )
    assert run(sources, tmp_path / "out") == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    counts = manifest["counts"]
    assert (counts["OK-VQA/original"], counts["OK-VQA/translated"]) == (3, 3)
    assert counts["OK-VQA/answers dropped"] == 1
    animal = read(tmp_path / "out", "OK-VQA_IT", "val2014")[0]
    assert (animal["question"], animal["answers"]) == ("What animal is on the sofa?", ["dog"] * 6)
    assert manifest["pass_rates"]["POPE"] == {
        "rows": 15, "passed_percent": 83.33, "rejected_percent": {"answer not at the end": 16.67},
    }  # fmt: skip
    assert (counts["SEED-Bench/original"], counts["SEED-Bench/translated"]) == (3, 2)
    assert (counts["POPE/original"], counts["POPE/translated"]) == (18, 15)
    assert manifest["rejects"] == {"answer not at the end": 4, "number of options differs": 1}
    assert len(read(tmp_path / "out", "POPE_IT")) == 15


SPANISH = {
    "Question: What color is the sofa? Answer: red": "Pregunta: ¿De qué color es el sofá? Respuesta: rojo",
    "Question: Is the door open? Answer: yes": "Pregunta: ¿Está abierta la puerta? Respuesta: sí",
    "Question: Who is there? Answer: man": "Pregunta: ¿Quién está ahí? Respuesta: un hombre",
    "Question: Is it cold? Answer: no": "Pregunta: ¿Hace frío? Respuesta: sí",
}


def test_gqa_is_translated_to_languages_in_which_it_is_not_published(monkeypatch, marked, tmp_path):
    monkeypatch.setattr(
        benchmarks,
        "open_translation",
        lambda args, memory: marked_translation(memory.parent, SPANISH.__getitem__),
    )
    source, out = write_gqa_source(tmp_path / "lmms-lab"), tmp_path / "out"
    assert run(source, out, "--only", "gqa", "--lang", "es") == 0
    folder = out / "benchmarks"
    documents = list(load_folder(folder / "crux82" / "gqa-es", split="test"))
    assert [(one["question_id"], one["img_id"], one["answer"]) for one in documents] == [
        ("00", "n1", "rojo"),
        ("01", "n2", "sí"),
        ("02", "n1", "un hombre"),
    ]
    assert documents[0]["types"] == {"structural": "query", "semantic": "attr"}
    assert sorted(load_folder(folder / "lmms-lab" / "GQA", split="testdev")["id"]) == ["n1", "n2"]
    first = json.loads((out / "data.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (first["original"]["sent"], first["original"]["answer"]) == ("What color is the sofa?", "red")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"] == {"GQA/original": 5, "GQA/translated": 3}
    # No is the opposite of yes, and an image is missing.
    assert manifest["rejects"] == {"answer not at the end": 1, "image: not in lmms-lab/GQA": 1}
    assert {one["file"].split("/")[1] for one in manifest["inputs"]} == {
        "testdev_balanced_images",
        "testdev_balanced_instructions",
    }

    monkeypatch.chdir(folder)
    found = Benchmarks(["gqa-es"], data=folder)
    task = found.task("gqa-es")
    assert task.prompt(0) == "¿De qué color es el sofá?\nResponde con una sola palabra o frase."
    assert task.score(2, "hombre")["robust"] == 1 and found.notes == ()


def test_gqa_is_not_translated_to_the_language_in_which_it_is_published(marked, tmp_path, capsys):
    source = write_gqa_source(tmp_path / "lmms-lab")
    assert run(source, tmp_path / "out", "--only", "gqa") == 2
    said = "--only gqa: published in this language (remedy: ndino data native gqa-it)"
    assert said in capsys.readouterr().err


def test_broken_rows_have_a_reason(marked, tmp_path):
    text, image = pa.string(), pa.struct({"bytes": pa.binary(), "path": pa.string()})
    whole, torn = {"bytes": draw_image(1), "path": None}, {"bytes": draw_image(1)[:-30], "path": None}
    rows = [
        {"question": "Is it?", "answer": "yes", "image": whole},
        {"question": "Is it?", "answer": "maybe", "image": whole},
        {"question": None, "answer": "yes", "image": whole},
        {"question": "Is it?", "answer": None, "image": whole},
        {"question": "Is it?", "answer": "no", "image": torn},
        {"question": "Is it?", "answer": "no", "image": None},
    ]
    rows = [{**row, "question_id": str(n), "category": "random"} for n, row in enumerate(rows)]
    schema = {"question": text, "answer": text, "image": image, "question_id": text, "category": text}
    (tmp_path / "POPE").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(schema)), tmp_path / "POPE" / "a.parquet")
    assert run(tmp_path, tmp_path / "out", "--only", "pope") == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rejects"] == {
        "answer is neither yes nor no": 1,
        "no answer": 1,
        "no question": 1,
        "image: image file is truncated": 1,
        "image: it is empty": 1,
    }
    assert manifest["counts"] == {"POPE/original": 6, "POPE/translated": 1}


def test_shards_are_merged_and_then_written(marked, sources, tmp_path, capsys):
    assert run(sources, tmp_path / "one") == 0
    for index in range(3):
        assert run(sources, tmp_path / "three", "--shard", f"{index}/3") == 0
    assert not (tmp_path / "three" / "benchmarks").exists()
    assert main(["evaluation-folders", str(tmp_path / "three")]) == 1
    assert "ndino data merge" in capsys.readouterr().err
    merge(tmp_path / "three")
    assert main(["evaluation-folders", str(tmp_path / "three")]) == 0
    one, three = (sorted((tmp_path / name / "benchmarks").rglob("*.*")) for name in ("one", "three"))
    assert [path.name for path in one] == [path.name for path in three] != []
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in three]


class TestWithApertium:
    pytestmark = needs_apertium

    def test_everything_passes_in_italian(self, sources, tmp_path):
        assert run(sources, tmp_path / "out") == 0
        counts = json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"]
        for name in ("OK-VQA", "SEED-Bench", "POPE", "LLaVA-Bench"):
            assert counts[f"{name}/translated"] == counts[f"{name}/original"]
        assert read(tmp_path / "out", "OK-VQA_IT", "val2014")[0]["answers"][0] == "cane"
