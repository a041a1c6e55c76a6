"""What the adapter relies on in lmms-eval, name by name, against the pinned version."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.answerer import Answerer, guess

ROOT = Path(__file__).parents[2]
ADAPTER = ROOT / "ndino" / "evaluation" / "lmms_eval_adapter"

# Module and attribute -> the parameters that we pass by name or position.
CALLED: dict[tuple[str, str], list[str]] = {
    ("lmms_eval.models", "get_model"): ["model_name"],
    ("lmms_eval.models", "list_available_models"): ["include_aliases"],
    ("lmms_eval.models.registry_v2", "ModelManifest"): ["model_id", "simple_class_path"],
    ("lmms_eval.api.model", "lmms.create_from_arg_string"): ["arg_string", "additional_config"],
    ("lmms_eval.api.model", "lmms.generate_until"): ["self", "requests"],
    ("lmms_eval.api.instance", "Instance"): ["request_type", "arguments", "idx", "metadata"],
    ("lmms_eval.api.instance", "unwrap_generation_output"): ["output"],
    ("lmms_eval.tasks", "TaskManager"): ["verbosity", "include_path", "include_defaults"],
    ("lmms_eval.tasks", "TaskManager.load_task_or_group"): ["task_list", "task_type"],
    ("lmms_eval.utils", "load_yaml_config"): ["yaml_path", "mode"],
    ("lmms_eval.evaluator", "simple_evaluate"): [
        *("model", "tasks", "limit", "bootstrap_iters", "task_manager", "verbosity", "cli_args")
    ],
    ("lmms_eval.evaluator_utils", "consolidate_group_results"): ["results", "versions", "task_dict"],
    ("lmms_eval.api.group", "ConfigurableGroup"): ["config"],
    ("lmms_eval.api.metrics", "exact_match_hf_evaluate"): [
        *("predictions", "references", "ignore_case", "ignore_punctuation")
    ],
    ("lmms_eval.api.metrics", "mean"): ["arr"],
    ("lmms_eval.api.task", "ConfigurableTask.process_results"): ["doc", "results"],
    ("lmms_eval.api.task", "ConfigurableTask.aggregation"): ["self"],
    ("lmms_eval.api.task", "ConfigurableTask.doc_to_text"): ["doc"],
    ("lmms_eval.api.task", "ConfigurableTask.doc_to_target"): ["doc"],
    ("lmms_eval.api.task", "ConfigurableTask.doc_to_visual"): ["doc"],
    ("lmms_eval.api.task", "ConfigurableMessagesTask"): [],
}


def found(module: str, name: str) -> Callable:
    value = import_module(module)
    for part in name.split("."):
        assert hasattr(value, part), f"lmms-eval no longer has {module}.{name}: adapt {ADAPTER.name}"
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(("module", "name"), CALLED, ids=[f"{m}.{n}" for m, n in CALLED])
def test_everything_that_is_called_exists_and_takes_our_arguments(module, name):
    parameters = inspect.signature(found(module, name)).parameters
    missing = [wanted for wanted in CALLED[module, name] if wanted not in parameters]
    assert not missing, f"{module}.{name} takes {list(parameters)}, and no longer {missing}"


def test_nothing_else_of_ours_imports_lmms_eval():
    importers = set()
    for path in (ROOT / "ndino").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            # Names for annotations alone touch nothing.
            if any(name.split(".")[0] == "lmms_eval" for name in names) and not _type_checking(path, node):
                importers.add(path)
    assert {path.parent for path in importers} == {ADAPTER}, importers


def _type_checking(path: Path, node: ast.AST) -> bool:
    blocks = [
        block
        for block in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
    ]
    return any(block.lineno < node.lineno <= block.end_lineno for block in blocks)


def test_the_wrappers_are_known_by_the_entry_point():
    from lmms_eval.models import list_available_models

    from ndino.evaluation.lmms_eval_adapter.registration import manifests

    known = list_available_models(include_aliases=True)
    for manifest in manifests():
        assert manifest.model_id in known, "the entry point is not installed (remedy: make setup)"
        module, _, name = manifest.simple_class_path.rpartition(".")
        assert found(module, name).is_simple


def test_a_download_is_tried_again_by_a_tenacity_object_whose_stop_can_be_replaced():
    retrying = found("lmms_eval.api.task", "ConfigurableTask.download").retry
    assert callable(retrying.stop) and callable(retrying.sleep)


def test_the_datasets_cache_is_remembered_by_a_function_that_can_forget_it(tmp_path, monkeypatch):
    remembered = found("lmms_eval.api.task", "_resolve_hf_datasets_cache_dir")
    for name in ("one", "two"):
        monkeypatch.setenv("LMMS_EVAL_DATASETS_CACHE", str(tmp_path / name))
        remembered.cache_clear()
        assert remembered() == str(tmp_path / name)
    remembered.cache_clear()


@pytest.fixture(scope="module")
def index() -> dict:
    from lmms_eval.tasks import TaskManager

    return TaskManager("WARNING").task_index


def test_the_index_tells_tasks_groups_and_tags_apart(index):
    assert index["ndino-it"]["type"] == "group" and index["pope-it"]["type"] == "task"
    assert Path(index["pope-it"]["yaml_path"]).parts[-3:-1] == ("ndino_it", "pope_it")
    tags = [entry["task"] for entry in index.values() if entry["type"] == "tag"]
    assert tags and all(isinstance(names, list) for names in tags)


def test_a_yaml_is_read_with_its_includes_and_without_its_functions(index):
    from lmms_eval.utils import load_yaml_config

    config = load_yaml_config(index["pope_adv-it"]["yaml_path"], mode="simple")
    assert config["dataset_path"] == "swap-uniba/POPE_IT" and config["test_split"] == "test"
    assert config["metadata"] == {"version": 3.0, "origin": "translated", "parts": ["category"]}


@pytest.fixture(scope="module")
def benchmarks(benchmark_folder, tmp_path_factory):
    from ndino.evaluation.benchmarks import Benchmarks

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(benchmark_folder)
        cache = tmp_path_factory.mktemp("cache")
        yield Benchmarks(["mtvqa-it", "pope_full-it"], data=benchmark_folder, cache=cache)


def test_a_loaded_task_has_the_attributes_that_we_read(benchmarks):
    task = benchmarks.task("mtvqa-it").task
    assert task.VERSION == 3.0
    assert isinstance(task.eval_docs._fingerprint, str)
    assert len(task.eval_docs) == len(task.eval_docs_no_media) == 4
    assert "image" in task.eval_docs.column_names and "image" not in task.eval_docs_no_media.column_names
    assert [each.name for each in task._filters] == ["none"]
    assert list(task.aggregation()) == ["exact_match", "robust", "contains", "substring"]
    assert callable(task.config.process_docs) and task.config.test_split == "test"
    (image,) = task.doc_to_visual(task.eval_docs[0])
    assert isinstance(image, Image.Image)


def test_a_request_holds_prompt_settings_function_and_document(benchmarks):
    requests = []

    class Recorder(Answerer):
        def generate_until(self, given):
            requests.extend(given)
            return super().generate_until(given)

    model = Recorder(guess)
    benchmarks.ask(model, "mtvqa-it")
    prompt, settings, to_media, doc_id, task, split = requests[1].args
    assert prompt.startswith("Di che colore è?") and settings["max_new_tokens"] == 16
    # Filled in by lmms-eval where a task states no end; `inference/generation.py` ignores it.
    assert settings["until"] == ["\n\n"]
    assert (doc_id, task, split) == (1, "mtvqa-it", "test")
    (image,) = to_media(model.task_dict[task][split][doc_id])
    assert isinstance(image, Image.Image)
    assert (model.rank, model.world_size) == (0, 1)


def test_the_evaluator_returns_samples_and_metrics_under_the_keys_that_we_read(benchmarks):
    from lmms_eval.evaluator import simple_evaluate

    task = benchmarks.task("mtvqa-it")
    results = simple_evaluate(
        model=Answerer(guess),
        tasks=[task.task],
        limit=2,
        bootstrap_iters=0,
        task_manager=benchmarks.index.manager,
        verbosity="WARNING",
    )
    samples = results["samples"][task.name]
    wanted = {"doc_id", "doc", "arguments", "target", "filtered_resps", *task.totals}
    missing = wanted - set(samples[0])
    assert not missing, f"lmms-eval's samples have no {missing} (they have {sorted(samples[0])})"
    assert [sample["doc_id"] for sample in samples] == [0, 1]
    assert samples[0]["arguments"][0] == task.prompt(0)
    assert {f"{metric},none" for metric in task.totals} <= set(results["results"][task.name])


def test_a_model_is_taken_apart_after_a_task_by_the_method_that_we_replace(benchmarks):
    source = inspect.getsource(import_module("lmms_eval.evaluator"))
    assert ".clean()" in source, "lmms-eval calls another method after a task: adapt evaluator.py"
    model = Answerer(guess)
    for _ in range(2):
        assert benchmarks.ask(model, "mtvqa-it").metrics


def test_a_groups_totals_are_weighted_means(benchmarks):
    parts = {name: {"robust": 0.5} for name in ("pope_adv-it", "pope_pop-it", "pope_random-it")}
    assert benchmarks.totals("pope_full-it", {**parts, "pope_adv-it": {"robust": 0.8}})["robust"] == (
        pytest.approx(0.6)
    )


def test_wrappers_log_an_error_in_place_of_an_answer():
    from ndino.evaluation.lmms_eval_adapter.surroundings import logged_errors

    source = inspect.getsource(found("lmms_eval.models", "get_model")("llava_hf").generate_until)
    assert "eval_logger.error" in source
    with logged_errors() as messages:
        from loguru import logger

        logger.error("Error out of memory")
        logger.warning("only a warning")
    assert messages == ["Error out of memory"]


def test_importing_it_lets_truncated_images_pass():
    code = "import lmms_eval.api.task; from PIL import ImageFile; print(ImageFile.LOAD_TRUNCATED_IMAGES)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.split()[-1] == "True"
