"""On what a family is scored: in which languages, and when its scores are done."""

from __future__ import annotations

from pathlib import Path

import pytest

from ndino.cluster import questions
from ndino.cluster.family import FamilyPaths, folder_of, plan
from ndino.formats.family import Family, load_family
from ndino.languages.language import LanguageError

RECIPES = Path(__file__).parents[2] / "launch" / "recipes"


def test_the_papers_family_is_scored_in_italian():
    codes = questions.languages_of(load_family(RECIPES / "family.yaml"), None)
    assert questions.task_groups(codes) == ["ndino-it"]
    assert questions.perplexity_sets(codes) == [
        *("llava-bench-it=swap-uniba/WILD_IT", "mtvqa-it=swap-uniba/MTVQA_IT")
    ]
    assert questions.how_to_make(codes) == []


def test_what_is_chosen_goes_before_the_familys_file():
    family = Family(models={"A": ("mlp",)}, languages=("it", "es"))
    assert questions.languages_of(family, None) == ("it", "es")
    codes = questions.languages_of(family, ["es", "de"])
    assert questions.task_groups(codes) == ["ndino-es", "ndino-de"]
    # MTVQA is published in German, not in Spanish.
    assert [item.partition("=")[0] for item in questions.perplexity_sets(codes)] == [
        *("llava-bench-es", "llava-bench-de", "mtvqa-de")
    ]
    assert "ndino data benchmarks --lang es" in questions.how_to_make(codes)[0]
    assert questions.languages_of(Family(models={"A": ("mlp",)}), None) == ("it",)
    with pytest.raises(LanguageError, match="'xx': not among"):
        questions.languages_of(family, ["xx"])


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        ({"tasks": ["ndino-it"]}, True),
        ({"tasks": ["ndino-it", "ndino-es"]}, False),
        ({"tasks": ["pope-it"]}, False),
        ({}, True),
    ],
)
def test_scores_in_other_languages_are_not_done_yet(tmp_path, asked, done):
    here = Path("nowhere")
    paths = FamilyPaths(RECIPES, tmp_path, "native", here, here, here, asked=asked)
    stamp = folder_of(tmp_path) / "tasks-mblip.done"
    stamp.parent.mkdir()
    stamp.write_text("ndino-it\n", encoding="utf-8")
    jobs = plan(Family(models={"A": ("mlp",)}, baselines=("mblip",)), paths)
    assert [job.done for job in jobs if job.name == "tasks-mblip"] == [done]
