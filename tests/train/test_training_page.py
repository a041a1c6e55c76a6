"""docs/training.md against the code: what may change on a resume, defaults, and its examples."""

from __future__ import annotations

import dataclasses
import re
import shutil

import pytest
import yaml

from ndino.formats.llava_json import read_conversations
from ndino.formats.recipes import NOT_IN_IDENTITY, Adapter, load_recipe
from ndino.train.rows.steps import few_steps, no_step
from tests.train.conftest import ROOT

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
RECIPES = ROOT / "launch" / "recipes"


def rows_under(head: str) -> list[list[str]]:
    """The cells of the table whose first line is ``head``."""
    lines = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_fields_that_may_change_on_a_resume_are_all_listed():
    named = [re.findall(r"`(\w+)`", first) for first, _ in rows_under("| may change on resume |")]
    assert sorted(name for names in named for name in names) == sorted(NOT_IN_IDENTITY)


def test_the_recipes_and_what_they_extend_are_all_listed():
    listed = {name.strip("`"): parent.strip("`") for name, _, parent in rows_under("| recipe | stage |")}
    files = {path.stem: yaml.safe_load(path.read_text()) for path in RECIPES.glob("*.yaml")}
    assert listed == {name: fields.get("extends", "") for name, fields in files.items() if name != "family"}


def test_the_defaults_of_an_adapter_are_those_of_the_code():
    for name, default, _ in rows_under("| field of `adapter` |"):
        value = getattr(Adapter(kind="lora"), name.strip("`"))
        if name == "`targets`":
            assert tuple(re.findall(r"`(\w+)`", default)) == value
        elif name != "`kind`":
            assert float(default) == value
    assert len(rows_under("| field of `adapter` |")) == len(dataclasses.fields(Adapter))


def test_the_examples_are_rows_and_recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "images").mkdir(parents=True)
    (script,) = blocks("python")
    exec(compile(script, "mine/draw.py", "exec"), {})
    rows = list(
        read_conversations(tmp_path / "mine" / "rows.json", image_folder=tmp_path / "mine" / "images")
    )
    assert len(rows) == 10
    (row,) = blocks("json")
    (tmp_path / "row.jsonl").write_text(row)
    assert [each.images for each in read_conversations(tmp_path / "row.jsonl")] == [("bari.png",)]
    small, lora = blocks("yaml")
    (tmp_path / "small.yaml").write_text(small)
    recipe = load_recipe(RECIPES / "it.yaml", tmp_path / "small.yaml")
    assert no_step(recipe, 10, tmp_path, ranks=1) is few_steps(recipe, 10, tmp_path, ranks=1) is None
    shutil.copytree(RECIPES, tmp_path / "recipes")
    (tmp_path / "recipes" / "it-lora.yaml").write_text(lora)
    assert load_recipe(tmp_path / "recipes" / "it-lora.yaml").adapter == Adapter(kind="lora")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(#([^)]+)\)", PAGE))))
def test_links_within_the_page_lead_to_a_heading(link):
    heads = [
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^#+ (.+)$", PAGE, re.M)
    ]
    assert link in heads
