"""The drawn world's benchmarks: the kinds file, and POPE's halves."""

from __future__ import annotations

import json
from collections import Counter

from datasets import load_dataset

from ndino.formats.hub_folders import load_folder


def test_kinds_cover_every_question(drawn_world):
    kinds = json.loads((drawn_world / "benchmarks" / "kinds.json").read_text())
    gqa = load_dataset(str(drawn_world / "benchmarks" / "crux82" / "gqa-it"), split="test")
    assert len(kinds["gqa-it"]) == len(gqa)
    for kind, question in zip(kinds["gqa-it"], gqa["sent"], strict=True):
        assert (kind == "colour") == question.startswith("Di che colore")


def test_half_of_the_presence_questions_are_about_what_is_there(drawn_world):
    rows = load_folder(drawn_world / "benchmarks" / "swap-uniba" / "POPE_IT", split="test")
    counted = Counter(zip(rows["category"], rows["answer"], strict=True))
    assert len(counted) == 6
    for category in ("adversarial", "popular", "random"):
        assert counted[category, "sì"] == counted[category, "no"] > 0
