"""The Cauldron, with a translator that changes only the markers and with Apertium."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ndino.data.framework.merge import merge
from ndino.data.sources import cauldron
from ndino.data.translation import rejection
from ndino.data.translation.engines.apertium import END, Apertium, _escape
from ndino.evaluation.tasks.framework import instructions
from ndino.formats.llava_json import read_conversations
from ndino.languages.language import language
from tests.commands import data as main
from tests.data.same import assert_same_folders
from tests.data.samples.cauldron_samples import TWO_IMAGES, draw_image, pairs, row, write_samples, write_task
from tests.data.translation.apertium_there import needs_apertium, needs_apertium_back
from tests.data.translation.translators.marked import Marked, marked_translation

FILES = ("data.jsonl", "rejects.jsonl")


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def run(source: Path, out: Path, *arguments: str) -> int:
    return main(["cauldron", "--source", str(source), "--out", str(out), *arguments])


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command with a translator that changes the markers only, in the place of Apertium."""
    monkeypatch.setattr(cauldron, "open_translation", lambda args, memory: marked_translation(memory.parent))
    monkeypatch.setattr(cauldron, "translation_identity", lambda args: Marked().identity)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("the_cauldron"))


class TestWithApertium:
    pytestmark = needs_apertium

    def test_nearly_all_samples_pass(self, samples, tmp_path):
        assert run(samples, tmp_path / "out") == 0
        counts = json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"]
        for task, texts in pairs().items():
            assert counts[f"{task}/instances"] == len(texts)
            assert counts[f"{task}/translated"] >= 0.9 * len(texts)
        rows = {one["id"]: one for one in rows_of(tmp_path / "out" / "data.jsonl")}
        chosen = rows["cauldron/visual7w/00001/02"]["conversations"]
        assert chosen[0]["value"].endswith(f"\nA. 5.\nB. 2.\nC. 3.\nD. 4.{instructions.letter_answer('it')}")
        assert chosen[1]["value"] == "A"
        assert rows["cauldron/vqav2/00001/01"]["conversations"][1]["value"] == "No."
        assert rows["cauldron/vqav2/00003/01"]["conversations"][1]["value"] == "Sì."

    def test_another_language_needs_only_its_words(self, samples, tmp_path):
        assert run(samples, tmp_path / "out", "--lang", "es") == 0
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        assert manifest["lang"] == "es"
        assert manifest["rows"]["total"] >= 0.9 * sum(map(len, pairs().values()))
        answers = Counter(
            one["conversations"][1]["value"] for one in rows_of(tmp_path / "out" / "data.jsonl")
        )
        assert answers["Sí."] > 10 and not answers["Yes."]

    def test_seven_shards_give_the_bytes_of_one(self, samples, tmp_path):
        assert run(samples, tmp_path / "one") == 0
        for index in range(7):
            assert run(samples, tmp_path / "seven", "--shard", f"{index}/7") == 0
        merge(tmp_path / "seven")
        for name in FILES:
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "seven" / name).read_bytes()
        one, seven = (
            {path.name for path in (tmp_path / n / "images").rglob("*.*")} for n in ("one", "seven")
        )
        assert one == seven

    def test_a_run_killed_at_any_moment_resumes_and_translates_nothing_twice(self, samples, tmp_path):
        shim, log = tmp_path / "bin" / "lt-proc", tmp_path / "log"
        shim.parent.mkdir()
        # Notes what goes into the first program of the pipe from English.
        real = shutil.which("lt-proc")
        shim.write_text(
            f'#!/bin/sh\ncase "$*" in\n*eng-spa.automorf*) sleep 0.1; tee -a {log} | {real} "$@";;\n'
            f'*) exec {real} "$@";;\nesac\n'
        )
        shim.chmod(0o755)
        environment = os.environ | {"PATH": f"{shim.parent}:{os.environ['PATH']}"}
        small = "import sys; from ndino import cli; from ndino.data.sources import cauldron; "
        small += "cauldron.ROWS_AT_ONCE = 8; "

        def start(out: Path) -> subprocess.Popen:
            command = [sys.executable, "-c", small + "sys.exit(cli.main())", "data", "cauldron"]
            command += ["--source", str(samples), "--out", str(out)]
            return subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

        def asked() -> set[str]:
            return set(log.read_bytes().decode().split("\0"))

        labels = rejection.TextChecks(language("en")).labels

        def sent(texts: set[str]) -> set[str]:
            return {_escape(text, labels) + END for text in texts}

        assert start(tmp_path / "undisturbed").wait() == 0
        everything = sent(remembered(tmp_path / "undisturbed" / "memory.sqlite"))
        assert len(everything) > 100 and everything <= asked()
        out, rng, kills = tmp_path / "killed", random.Random(7), 0
        shard = out / "shards" / "00000-of-00001.partial"
        while True:
            known = remembered(shard / "memory.sqlite")
            log.write_bytes(b"")
            process = start(out)
            while kills < 3 and process.poll() is None:
                if log.stat().st_size:
                    time.sleep(rng.random() * 0.5)
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.01)
            returned = process.wait()
            assert not asked() & sent(known)
            if returned == 0:
                break
            assert returned == -signal.SIGKILL
            kills += 1
        assert kills
        assert_same_folders(out, tmp_path / "undisturbed")

    def test_new_guards_judge_the_memory_of_an_earlier_build(self, samples, tmp_path, monkeypatch, capsys):
        few = ["--tasks", "vqav2", "--limit", "9"]
        assert run(samples, tmp_path / "old", *few) == 0
        monkeypatch.setattr(rejection, "VERSION", 99)
        monkeypatch.setattr(cauldron, "GUARDS", 99)
        refused = "closed", lambda source, target, checks: "closed" in source
        monkeypatch.setattr(rejection, "TEXT_CHECKS", (*rejection.TEXT_CHECKS, refused))
        assert run(samples, tmp_path / "old", *few) == 1
        assert "another --out, with memory.sqlite: docs/data/translation.md)" in capsys.readouterr().err
        shard = tmp_path / "new" / "shards" / "00000-of-00001.partial"
        shard.mkdir(parents=True)
        shutil.copy(tmp_path / "old" / "memory.sqlite", shard / "memory.sqlite")
        monkeypatch.setattr(Apertium, "translate", lambda self, texts: pytest.fail(f"asked for {texts}"))
        assert run(samples, tmp_path / "new", *few) == 0
        old, new = (rows_of(tmp_path / name / "data.jsonl") for name in ("old", "new"))
        assert new == [row for row in old if "closed" not in str(row["original"])] != old
        rejects = json.loads((tmp_path / "new" / "manifest.json").read_text())["rejects"]
        assert rejects["closed"] == len(old) - len(new)


class TestScored:
    pytestmark = needs_apertium_back

    def test_translations_of_an_earlier_run_are_scored_without_translating_them_again(
        self, samples, tmp_path, monkeypatch
    ):
        few = ["--tasks", "vqav2", "--limit", "3"]
        assert run(samples, tmp_path / "plain", *few) == 0
        shard = tmp_path / "scored" / "shards" / "00000-of-00001.partial"
        shard.mkdir(parents=True)
        shutil.copy(tmp_path / "plain" / "memory.sqlite", shard / "memory.sqlite")
        translate = Apertium.translate

        def only_back(self: Apertium, texts: list[str]) -> list[str]:
            assert self.modes == ("ita-spa", "spa-eng")
            return translate(self, texts)

        monkeypatch.setattr(Apertium, "translate", only_back)
        assert run(samples, tmp_path / "scored", *few, "--quality", "back-translation") == 0
        plain, scored = (rows_of(tmp_path / name / "data.jsonl") for name in ("plain", "scored"))
        assert all(0 < row.pop("quality") <= 1 for row in scored) and plain == scored
        manifest = json.loads((tmp_path / "scored" / "manifest.json").read_text())
        assert manifest["quality"]["sources"]["cauldron/vqav2"]["scored"] == len(plain)


def remembered(memory: Path) -> set[str]:
    if not memory.exists():
        return set()
    with sqlite3.connect(memory) as database:
        tables = database.execute("SELECT name FROM sqlite_master").fetchall()
        found = database.execute("SELECT source FROM attempts").fetchall() if ("attempts",) in tables else []
    database.close()
    return {source for (source,) in found}


def test_rows_are_what_training_reads(marked, samples, tmp_path):
    assert run(samples, tmp_path / "out") == 0
    read = list(read_conversations(tmp_path / "out" / "data.jsonl", image_folder=tmp_path / "out" / "images"))
    assert len(read) == sum(map(len, pairs().values()))
    for conversation in read:
        task = conversation.id.split("/")[1]
        assert len(conversation.images) == 1 + (task in TWO_IMAGES)
        assert conversation.turns[0].text.startswith("<image>\n" * len(conversation.images))
    assert len({conversation.id for conversation in read}) == len(read)
    sources = json.loads((tmp_path / "out" / "manifest.json").read_text())["rows"]["sources"]
    assert set(sources) == {f"cauldron/{task}" for task in cauldron.TASKS}


def test_broken_rows_of_every_kind_are_counted_and_rejected(marked, tmp_path):
    good = ("Is it red?\nOne word.", "Yes.")
    whole = draw_image(1)
    rows = [
        row([whole], [good], "vqav2"),
        row([whole], [], "vqav2"),
        row([], [good], "vqav2"),
        row([b""], [good, good], "vqav2"),
        row([b"<html>no</html>"], [good], "vqav2"),
        row([whole[:-30]], [good], "vqav2"),
        row([whole, whole[:-30]], [good], "vqav2"),
        row([whole], [(None, "Yes."), ("Is it?", None), good], "vqav2"),
        {"images": [{"bytes": whole, "path": None}], "texts": None},
        {"images": None, "texts": [{"user": "Is it?", "assistant": "No.", "source": None}]},
        {"images": [None], "texts": [None, {"user": "Is it?", "assistant": "No.", "source": None}]},
        row(
            [draw_image(2)], [("Which?\nOptions: One, two.", "Three."), ("The Answer: is?", "mine")], "vqav2"
        ),
    ]
    write_task(tmp_path / "source", "vqav2", rows, files=3)
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "vqav2") == 0
    made, rejects = (rows_of(tmp_path / "out" / name) for name in FILES)
    assert [one["id"] for one in made] == ["cauldron/vqav2/00000/00", "cauldron/vqav2/00007/02"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rejects"] == {
        "answer is none of the options": 1,
        "no answer": 1,
        "no question": 1,
        "no question in the row": 2,
        "image: it is HTML, not an image": 1,
        "image: image file is truncated": 2,
        "image: it is empty": 4,
        "image: none in the row": 2,
        "text holds a marker of its own": 1,
    }
    assert manifest["counts"] == {"vqav2/rows": 12, "vqav2/instances": 15, "vqav2/translated": 2}
    # Every pair is a row or a reject; two rejects are of rows without a pair.
    assert len(made) + len(rejects) - 2 == 15
    assert rejects[-2]["detail"] == {"user": "Which?\nOptions: One, two.", "assistant": "Three."}
    # Only images that a row names are stored.
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 1


def test_a_rejected_pair_is_recorded_with_both_lines(monkeypatch, marked, tmp_path):
    broken = lambda line: "Domanda: chi? Risposta: no."  # noqa: E731
    monkeypatch.setattr(
        cauldron, "open_translation", lambda args, memory: marked_translation(memory.parent, broken)
    )
    texts = [("Is it red?", "Yes."), ("Where is it?", "Here."), ("How many?", "3.")]
    write_task(tmp_path / "source", "vqav2", [row([draw_image(1)], texts, "vqav2")])
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "vqav2") == 0
    rejects = rows_of(tmp_path / "out" / "rejects.jsonl")
    assert Counter(one["reason"] for one in rejects) == {"answer not at the end": 2}
    assert rejects[0] == {
        "where": "vqav2/00000/00",
        "reason": "answer not at the end",
        "detail": {
            "user": "Is it red?",
            "assistant": "Yes.",
            "line": "Question: Is it red? Answer: yes",
            "translated": "Domanda: chi? Risposta: no.",
        },
        "source": "cauldron/vqav2",
    }


def test_the_first_rows_of_each_task_and_the_first_of_all(marked, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(cauldron, "ROWS_A_TASK", 7)
    assert run(samples, tmp_path / "out", "--tasks", "clevr", "vqav2") == 0
    counts = json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"]
    assert (counts["clevr/rows"], counts["vqav2/rows"]) == (7, 7)
    assert run(samples, tmp_path / "limited", "--tasks", "vqav2", "clevr", "--limit", "9") == 0
    limited = json.loads((tmp_path / "limited" / "manifest.json").read_text())["counts"]
    assert (limited["clevr/rows"], limited["vqav2/rows"]) == (7, 2)
    made, all_made = (rows_of(tmp_path / name / "data.jsonl") for name in ("limited", "out"))
    assert made == all_made[: len(made)]


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet at all PAR1"])
def test_a_broken_file_is_named(marked, tmp_path, capsys, content):
    write_task(tmp_path / "source", "vqav2", [row([draw_image(1)], [("Is it?", "No.")], "vqav2")])
    file = next((tmp_path / "source").rglob("*.parquet"))
    file.write_bytes(content)
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "vqav2") == 1
    assert str(file) in capsys.readouterr().err


def test_missing_tasks_folders_and_columns_are_named(marked, tmp_path, capsys):
    write_task(tmp_path / "source", "vqav2", [row([draw_image(1)], [("Is it?", "No.")], "vqav2")])
    assert run(tmp_path / "source", tmp_path / "out") == 1
    assert "aokvqa/*.parquet" in capsys.readouterr().err
    # Tests run without the hub.
    assert run(tmp_path / "nowhere", tmp_path / "out") == 2
    assert "hf download" in capsys.readouterr().err
    file = next((tmp_path / "source").rglob("*.parquet"))
    other = tmp_path / "other" / "vqav2" / "a.parquet"
    other.parent.mkdir(parents=True)
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(file).rename_columns(["images", "text"]), other)
    assert run(tmp_path / "other", tmp_path / "out", "--tasks", "vqav2") == 1
    assert "no column texts among images, text" in capsys.readouterr().err


def test_a_language_without_words_is_refused_before_any_work(samples, tmp_path, capsys):
    assert run(samples, tmp_path / "out", "--lang", "hr") == 2
    assert "ndino language new hr" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
