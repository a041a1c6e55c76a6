from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ndino.data.commands.mix import named_mixes
from ndino.formats.family import load_family, run_name
from ndino.formats.recipes import PARTS, RecipeError, load_recipe

RECIPES = Path(__file__).parents[2] / "launch" / "recipes"
STAGES = ("mlp", "pt", "it", "long", "mix", "multi")


def write(folder: Path, stem: str, **changes) -> Path:
    """A whole recipe of one file, with some fields changed (a value of ... removes the field)."""
    values = {
        key: value
        for file in ("base", "pt")
        for key, value in yaml.safe_load((RECIPES / f"{file}.yaml").read_text()).items()
        if key != "extends"
    }
    values |= changes
    path = folder / f"{stem}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not ...}))
    return path


def test_known_values_of_table_3():
    recipes = {name: load_recipe(RECIPES / f"{name}.yaml") for name in STAGES}
    assert [recipe.name for recipe in recipes.values()] == list(STAGES)
    mlp, pt, it, long = (recipes[name] for name in STAGES[:4])
    assert (mlp.learning_rate, mlp.effective_batch, mlp.epochs) == (1e-3, 256, 1)
    assert (mlp.trainable, mlp.prompt) == ("projector", "plain")
    assert (pt.learning_rate, pt.vision_learning_rate, pt.epochs, pt.max_steps) == (1e-5, 2e-6, 1, None)
    assert (pt.effective_batch, pt.per_device_batch) == (128, 2)
    assert (long.max_steps, long.epochs) == (500, None)
    assert (long.effective_batch, long.per_device_batch) == (128, 4)
    assert (it.prompt, long.prompt, pt.prompt) == ("llama3", "llama3", "plain")
    assert it.learning_rate == pt.learning_rate
    for recipe in recipes.values():
        assert (recipe.scheduler, recipe.warmup_ratio, recipe.weight_decay) == ("cosine", 0.03, 0)
        assert (recipe.max_length, recipe.precision, recipe.vision_feature_layer) == (8192, "bf16", -2)


def test_the_grid_is_the_scripts_list_as_height_width_and_is_in_one_file():
    scripts = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)]
    assert load_recipe(RECIPES / "pt.yaml").grid_pinpoints == tuple((h, w) for w, h in scripts)
    holders = [
        path.name for path in RECIPES.glob("*.yaml") if "grid_pinpoints" in yaml.safe_load(path.read_text())
    ]
    assert holders == ["base.yaml"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lerning_rate": 1.0}, "lerning_rate: unknown field"),
        ({"learning_rate": ...}, "learning_rate: missing"),
        ({"learning_rate": "1e-5"}, r"learning_rate: expected a number, found '1e-5'.*1\.0e-5"),
        (
            {"learning_rate": "1.0e30"},
            r"found '1\.0e30' \(remedy: .*write 1\.0e\+30, with a point and the .* sign",
        ),
        ({"learning_rate": "1E5"}, r"YAML reads 1E5 as text; write 1\.0e\+5"),
        ({"learning_rate": "0.5"}, r"\(remedy: write 0\.5 without quotes\)"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"effective_batch": 12.5}, "effective_batch: expected a whole number, found 12.5"),
        ({"effective_batch": 0}, "effective_batch: expected greater than 0"),
        ({"gradient_checkpointing": "yes"}, "gradient_checkpointing: expected true or false, found 'yes'"),
        ({"prompt": "vicuna"}, "prompt: expected 'plain', 'llama3' or 'chat', found 'vicuna'"),
        ({"grid_pinpoints": [[336, 672, 1]]}, r"grid_pinpoints\.0"),
        ({"grid_pinpoints": []}, "grid_pinpoints"),
        ({"epochs": None}, "epochs and max_steps cannot both be"),
        ({"max_steps": 5}, "epochs and max_steps cannot both be"),
        ({"trainable": "tower"}, "trainable: expected 'projector', 'all' or a list of .*, found 'tower'"),
        ({"trainable": ["projector", "tower"]}, "trainable: expected a list of .*, found 'tower'"),
        ({"trainable": []}, "trainable: .*found an empty list"),
        ({"trainable": 3}, "trainable: expected 'projector', 'all' or a list of .*, found 3"),
        ({"data": ""}, "data: expected text, found ''"),
        ({"background": "white"}, "background: expected a list, found 'white'"),
        ({"background": [255, 255]}, "background"),
        ({"background": [255, 255, 256]}, "background.2: expected less than or equal to 255, found 256"),
        ({"effective_batch": None}, "effective_batch: expected a whole number, found null"),
        (
            {"warmup_ratio": "5 %"},
            r"warmup_ratio: expected a number, found '5 %' \(remedy: correct it there\)",
        ),
        ({"adam_betas": [0.9]}, r"adam_betas: expected another entry, found \[0\.9\]"),
        ({"adapter": "lora"}, "adapter: expected fields and values, found 'lora'"),
        (
            {"adapter": {"kind": "lora", "targets": []}},
            r"adapter\.targets: expected at least one entry, found",
        ),
        ({"prompt": ..., "seed": ...}, r"missing: prompt, seed \(remedy: add them, or extends: a recipe"),
        ({"adapter": {"kind": "dora"}}, "adapter.kind: expected 'lora' or 'qlora', found 'dora'"),
        ({"adapter": {"kind": "lora", "rank": 8}}, "adapter.rank: unknown field"),
        ({"adapter": {"kind": "lora"}, "trainable": "projector"}, "adapter: the language model is not"),
        ({"prompt": "llama3", "system": "Sii breve."}, "prompt: llama3 has neither system nor thinking"),
        ({"prompt": "chat", "system": ""}, "system: expected text, found ''"),
        ({"optimizer": "sgd"}, "optimizer: expected 'adamw'"),
        ({"name": "other"}, "name: a recipe is named by its file"),
    ],
)
def test_a_wrong_field_error_names_file_field_and_expected_value(tmp_path, changes, message):
    path = write(tmp_path, "own", **changes)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    # Words of pydantic for types that YAML does not have, and a list that is said to be empty but is not.
    assert not re.search(r"[Tt]uple|array|Dictionary|object|valid|Input|String|None", str(caught.value))
    assert str(caught.value).count("grid_pinpoints") <= 1


def test_a_family_given_as_a_recipe_is_called_by_its_name():
    with pytest.raises(
        RecipeError, match=r"family\.yaml: is not a recipe but a family, .*\(remedy: name the"
    ):
        load_recipe(RECIPES / "family.yaml")


def test_parts_are_one_set_in_any_order(tmp_path):
    one, other = (["language_model", "projector"], ["projector", "language_model"])
    recipes = [load_recipe(write(tmp_path, "own", trainable=parts)) for parts in (one, other)]
    assert recipes[0] == recipes[1]
    assert recipes[0].trained_parts == ("projector", "language_model")
    assert load_recipe(write(tmp_path, "own", trainable="all")).trained_parts == PARTS


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "\x00", ""])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path, content):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=r"own\.yaml"):
        load_recipe(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml: No such file"):
        load_recipe(tmp_path / "none.yaml")


def test_extends_chains_files_and_refuses_cycles_and_missing_files(tmp_path):
    write(tmp_path, "a", seed=1)
    (tmp_path / "b.yaml").write_text("extends: a\nseed: 2\n")
    (tmp_path / "c.yaml").write_text("extends: b\nsave_steps: 7\n")
    recipe = load_recipe(tmp_path / "c.yaml")
    assert (recipe.name, recipe.seed, recipe.save_steps) == ("c", 2, 7)
    (tmp_path / "ring.yaml").write_text("extends: ring\n")
    with pytest.raises(RecipeError, match="cycle"):
        load_recipe(tmp_path / "ring.yaml")
    (tmp_path / "hole.yaml").write_text("extends: nothing\n")
    with pytest.raises(RecipeError, match=r"extends: there is no .*nothing\.yaml"):
        load_recipe(tmp_path / "hole.yaml")


def test_overrides_act_as_lines_at_the_end_of_the_file_they_name(tmp_path):
    overrides = tmp_path / "tiny.yaml"
    overrides.write_text(
        "base: {max_length: 256, seed: 5}\npt: {max_steps: 9, epochs: null}\nit: {seed: 6, max_steps: 10}\n"
    )
    mlp, pt, it, long = (load_recipe(RECIPES / f"{name}.yaml", overrides) for name in STAGES[:4])
    assert (pt.max_length, pt.seed, pt.max_steps, pt.epochs) == (256, 5, 9, None)
    assert (it.max_length, it.seed, it.max_steps, it.epochs) == (256, 6, 10, None)
    assert (long.max_length, long.max_steps) == (256, 500)
    assert mlp.max_length == 8192  # mlp.yaml's own line comes after base.yaml's


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ptt: {seed: 1}", "no recipe 'ptt'"),
        ("pt: 3", "pt: is 3, not fields and values"),
        ("pt: {sed: 3}", r"pt\.yaml with .*tiny\.yaml: sed: unknown field"),
    ],
)
def test_wrong_overrides_are_refused(tmp_path, content, message):
    overrides = tmp_path / "tiny.yaml"
    overrides.write_text(content)
    with pytest.raises(RecipeError, match=message):
        load_recipe(RECIPES / "pt.yaml", overrides)


def test_the_family_is_eight_runs_parents_first():
    family = load_family(RECIPES / "family.yaml")
    assert len(family.models) == 7
    assert family.models["PT+IT+LONG-IT"] == ("mlp", "pt", "it", "long")
    stages = family.stages()
    assert [run_name(chain) for chain in stages] == [
        "mlp",
        "mlp-pt",
        "mlp-it",
        "mlp-long",
        "mlp-pt-it",
        "mlp-pt-long",
        "mlp-it-long",
        "mlp-pt-it-long",
    ]
    assert all(chain[:-1] in stages[:position] for position, chain in enumerate(stages) if len(chain) > 1)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"A": ["a", "b"]}, r"A: no recipe b\.yaml"),
        ({"A": ["a"], "B": ["a"]}, "B and A are the same chain"),
        ({"A": []}, "models.A"),
        ({}, "models"),
        ({"A": "a"}, "models.A"),
    ],
)
def test_a_wrong_family_is_refused(tmp_path, models, message):
    write(tmp_path, "a")
    path = tmp_path / "family.yaml"
    path.write_text(yaml.safe_dump({"models": models}))
    with pytest.raises(RecipeError, match=message):
        load_family(path)


def test_every_recipe_trains_on_the_mix_of_its_name():
    for name in STAGES:
        recipe = load_recipe(RECIPES / f"{name}.yaml")
        assert (recipe.data, recipe.image_folder) == (f"data/{name}/data.jsonl", f"data/{name}/images")
    assert named_mixes().keys() == set(STAGES)
