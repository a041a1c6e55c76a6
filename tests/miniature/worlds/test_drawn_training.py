"""The drawn world's instruction file has the benchmarks' kinds of questions, in the tasks' words."""

from __future__ import annotations

from collections import Counter

from miniature.worlds.drawn_training import QUESTIONS_PER_SCENE
from ndino.evaluation.benchmarks import Benchmarks
from ndino.formats.llava_json import read_conversations


def test_the_instruction_file_has_the_benchmarks_questions_in_their_words(drawn_world, monkeypatch):
    benchmarks = Benchmarks(["ndino-it"], data=drawn_world / "benchmarks", limit=None)
    asked = Counter()
    for row in read_conversations(drawn_world / "it.jsonl"):
        asked[row.turns[0].text.removeprefix("<image>\n")] += 1
    monkeypatch.chdir(drawn_world / "benchmarks")
    for name in ("ok-vqa-it", "mtvqa-it", "exams-v-it", "pope-it"):
        task = benchmarks.task(name).task
        assert asked[task.doc_to_text(task.test_docs()[0])] > 0, name


def test_questions_per_scene_are_as_configured(drawn_world):
    rows = [row for row in read_conversations(drawn_world / "it.jsonl") if row.images[0].startswith("scene-")]
    counts = [row for row in rows if "Quante figure" in row.turns[0].text]
    presence = [row for row in rows if "C'è " in row.turns[0].text]
    assert len(counts) == 200 * QUESTIONS_PER_SCENE["count"]
    assert len(presence) == 200 * QUESTIONS_PER_SCENE["presence"]
