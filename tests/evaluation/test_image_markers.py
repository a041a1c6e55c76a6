"""One rule for an `<image>` in a question, for every command that reads questions about one image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.data.commands.check import check
from ndino.data.leaks.benchmarks import BenchmarkIndex, SearchedBenchmark
from ndino.data.leaks.hashes import HashStore
from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from ndino.evaluation.perplexity.answer_sets import read_items
from ndino.formats.questions.faults import asked
from tests.formats.questions.layouts import encoded

PLAIN = "Che cosa\ndice?"
ITS_PLACE = [
    "<image>\n{}",
    "<image>{}",
    "<image> {}",
    " <image> {}",
    "{}\n<image>",
    "{} <image> ",
    "{}<image>",
]
REFUSED = {
    "<image> <image> Che?": "question holds 2 <image> for one image",
    "<image> Che? <image>": "question holds 2 <image> for one image",
    "Che <image> dice?": "question holds <image> inside its text",
    "<image>\n": "question is empty",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    found = tmp_path / "swap-uniba" / "MTVQA_IT"
    found.mkdir(parents=True)
    (found / "a.png").write_bytes(encoded(0))
    return found


def write(folder: Path, *questions: str) -> None:
    rows = [{"image": "a.png", "question": question, "answer": "sì"} for question in questions]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))


def searched(root: Path) -> SearchedBenchmark:
    """What `ndino data leaks` reads of the only benchmark."""
    (found,) = BenchmarkIndex(root, HashStore(root / "hashes.sqlite")).benchmarks.values()
    return found


def test_one_at_the_start_or_end_is_the_images_place_for_every_command(folder, tmp_path):
    texts = [place.format(PLAIN) for place in (*ITS_PLACE, "{}")]
    write(folder, *texts)
    task = Benchmarks(["mtvqa-it"], data=tmp_path).task("mtvqa-it")
    assert {task.prompt(number) for number in range(len(texts))} == {task.prompt(len(texts) - 1)}
    items = read_items(str(folder))
    assert {(item.question, item.fault) for item in items} == {(PLAIN, None)}
    assert len({item.content for item in items}) == 1
    found = searched(tmp_path)
    assert [*found.questions] == ["che cosa dice"] and not found.unread
    turns = [[{"from": "human", "value": text}, {"from": "gpt", "value": "Sì."}] for text in texts[:-1]]
    rows = [{"id": f"{i}", "image": "a.png", "conversations": each} for i, each in enumerate(turns)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    assert check(tmp_path / "data.json", folder).faults == []


@pytest.mark.parametrize("question", REFUSED)
def test_any_other_is_refused_alike(question, folder, tmp_path):
    write(folder, PLAIN, question)
    said = f"{folder / 'test.jsonl'} row 2: {REFUSED[question]}"
    with pytest.raises(SetupError) as caught:
        Benchmarks(["mtvqa-it"], data=tmp_path).load()
    assert f"task mtvqa-it: {said}" in str(caught.value)
    good, skipped = read_items(str(folder))
    assert good.fault is None and skipped.fault.startswith(REFUSED[question])
    assert [fault.startswith(said) for fault in searched(tmp_path).unread] == [True]


def test_an_option_with_one_is_refused(tmp_path, folder):
    seed = tmp_path / "swap-uniba" / "SEED-Bench_IT"
    folder.rename(seed)
    row = {"image": "a.png", "question": "<image> Che?", "answer": "A"}
    row |= {f"choice_{letter}": "un <image>" if letter == "c" else letter for letter in "abcd"}
    (seed / "test.jsonl").write_text(json.dumps(row))
    with pytest.raises(SetupError, match=r"test\.jsonl row 1: an option holds <image> \(remedy: "):
        Benchmarks(["seedbench-it"], data=tmp_path).load()


def test_a_text_without_one_keeps_its_blanks():
    assert asked(" Che? \n") == " Che? \n" and asked("Che <image> dice?") == "Che <image> dice?"
