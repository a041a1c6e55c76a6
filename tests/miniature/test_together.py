"""The demo in several languages: what each model is trained on, and what its tables say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from miniature import demo, steps
from miniature.together.cost import write_tables
from miniature.together.plan import plan_together
from miniature.together.variants import TEXT_SHARE
from miniature.worlds import drawn
from ndino.cli import main as ndino
from ndino.common.markdown import percent

CODES = ["it", "es"]
MODELS = {"it", "es", "it+es", "it+text"}
TASKS = ("gqa", "ok-vqa", "llava-bench")
KINDS = ("colour", "place", "count", "fruit")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo in two languages, hardly trained, with some of the tasks."""
    out = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "FAST_STEPS", 2)
        patch.setattr(steps, "TASKS", ",".join(f"{task}-{{lang}}" for task in TASKS))
        patch.setattr(drawn, "FAST_TRAINING_SCENES", 40)
        patch.setattr(drawn, "FAST_TEST_SCENES", 12)
        patch.setenv("HF_DATASETS_CACHE", str(out / "cache"))
        for job in plan_together(out, CODES, world="drawn", seed=1, fast=True):
            job.run(lambda *_: None, *job.arguments)
        assert ndino(["report", str(out)]) == 0
    return out


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(out: Path, mix: str) -> list[dict]:
    lines = (out / "data" / "mixes" / mix / "data.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_languages_have_equal_shares_and_text_alone_its_weight(run):
    for stage in ("mlp-pt", "mlp-pt-mix"):
        shares = read(run / "data" / "mixes" / f"{stage}_it+es" / "manifest.json")["languages"]
        assert {*shares} == {*CODES} and shares["it"] == shares["es"]
        alone = read(run / "data" / "mixes" / f"{stage}_it" / "manifest.json")["languages"]
        assert alone == {"it": shares["it"]}
    rows = rows_of(run, "mlp-pt-mix_it+text")
    text = [row for row in rows if "image" not in row]
    assert {row["source"] for row in text} == {"text/es"} and len(text) == round(len(rows) * TEXT_SHARE)
    assert all(row["image"].startswith("it/") for row in rows if "image" in row)
    assert any("Describe" in row["conversations"][0]["value"] for row in text)


def test_each_model_trains_on_its_own_mix_and_the_first_stages_are_shared(run):
    trained = {path.parent.name: read(path) for path in run.glob("mlp*/manifest.json")}
    pretrained = {"mlp", "mlp-pt_it", "mlp-pt_es", "mlp-pt_it+es"}
    assert {*trained} == pretrained | {f"mlp-pt-mix_{model}" for model in MODELS}
    weights = Counter(
        (run / name / "model" / "model.safetensors").read_bytes() for name in trained if "mix" in name
    )
    assert len(weights) == len(MODELS)


def test_every_model_is_scored_in_every_language(run):
    summary = read(run / "report" / "summary.json")
    asked = {f"{name}-{code}" for name in (*TASKS, *KINDS) for code in CODES}
    assert {model: {*scores} for model, scores in summary["models"].items()} == dict.fromkeys(MODELS, asked)
    sets = {f"{name}-{code}" for name in ("llava-bench", "mtvqa") for code in CODES}
    assert {model: {*found} for model, found in summary["perplexity"].items()} == dict.fromkeys(MODELS, sets)
    report = (run / "report" / "tables.md").read_text(encoding="utf-8")
    assert "GQA-IT" in report and "GQA-ES" in report


def test_the_tables_hold_each_language_alone_and_together_and_the_languages_of_long_answers(run):
    models = read(run / "report" / "summary.json")["models"]
    table = write_tables(run, CODES).read_text(encoding="utf-8")
    for code, name in (("it", "Italian"), ("es", "Spanish")):
        assert f"**{name}: alone and together**" in table
        alone, both = (models[model][f"colour-{code}"]["exact_match"] for model in (code, "it+es"))
        change = percent(both - alone, signed=True)
        row = f"| COLOUR-{code.upper()} | {percent(alone)} | {percent(both)} | {change} |"
        assert row in table
        for model in ("it", "it+text", "it+es"):
            share = percent(models[model][f"llava-bench-{code}"]["in_language"])
            assert f"| {name} | {model} | {share} |" in table


@pytest.mark.parametrize(
    ("given", "said"),
    [("it,it", "names it twice"), ("it es it", "names it twice"), (",", "names nothing"), ("it,xx", "'xx'")],
)
def test_what_are_no_languages_is_named_before_anything_is_made(tmp_path, capsys, given, said):
    try:
        code = demo.main(["--fast", "--lang", given, "--out", str(tmp_path / "run")])
    except SystemExit as ended:
        code = ended.code
    assert code == 2 and said in capsys.readouterr().err and not (tmp_path / "run" / "data").exists()
