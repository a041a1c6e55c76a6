from __future__ import annotations

import os
from pathlib import Path

import pytest

from ndino.evaluation.tasks.framework.templates import write_tasks
from ndino.upstream import UpstreamError, lmms_eval_folder
from ndino.upstream.overlay import link, unlink
from ndino.upstream.pins import LMMS_EVAL, OTHER_TASKS, TASK_FOLDER, overlays


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "lmms_eval"
    for name in ("tasks/gqa/gqa.yaml", "models/simple/llava_hf.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("theirs")
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> dict[Path, Path]:
    tasks, overlay = tmp_path / "tasks_it", tmp_path / "overlay"
    for name in ("group.yaml", "pope_it/pope.yaml", "pope_it/utils.py", "pope_it/__pycache__/utils.pyc"):
        (tasks / name).parent.mkdir(parents=True, exist_ok=True)
        (tasks / name).write_text(f"ours {name}")
    (overlay / "models" / "simple").mkdir(parents=True)
    (overlay / "models" / "simple" / "mblip.py").write_text("ours mblip")
    return {tasks: TASK_FOLDER, overlay: Path()}


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_links_show_our_files_where_lmms_eval_looks(package, sources):
    assert link(package, sources) == 4
    # os.walk, as in lmms-eval: a linked folder would not be entered.
    found = {
        os.path.relpath(os.path.join(root, name), package)
        for root, _, files in os.walk(package)
        for name in files
    }
    assert found == {
        "tasks/gqa/gqa.yaml",
        "models/simple/llava_hf.py",
        "tasks/ndino_it/group.yaml",
        "tasks/ndino_it/pope_it/pope.yaml",
        "tasks/ndino_it/pope_it/utils.py",
        "models/simple/mblip.py",
    }
    assert (package / "tasks/ndino_it/pope_it/pope.yaml").read_text() == "ours pope_it/pope.yaml"


def test_tasks_that_set_up_wrote_in_other_languages_are_found_by_lmms_eval(package, tmp_path):
    from lmms_eval.tasks import TaskManager

    write_tasks("es", tmp_path / "third_party" / "tasks" / "es")
    laid = {folder: place.relative_to("lmms_eval") for folder, place in overlays(tmp_path)[LMMS_EVAL].items()}
    link(package, laid)
    found = TaskManager("WARNING", include_path=str(package / OTHER_TASKS), include_defaults=False).task_index
    assert {"ndino-es", "pope-es", "llava-bench-es"} <= {*found}
    assert package / OTHER_TASKS / "es" in Path(found["pope-es"]["yaml_path"]).parents


def test_second_run_changes_nothing_and_unlink_restores_the_package(package, sources):
    before = tree(package)
    link(package, sources)
    assert link(package, sources) == 0
    cache = package / "tasks/ndino_it/pope_it/__pycache__"
    cache.mkdir()
    (cache / "utils.pyc").write_text("compiled")
    assert unlink(package, sources) == 4
    assert tree(package) == before
    assert not (package / "tasks/ndino_it").exists()
    assert unlink(package, sources) == 0


def test_a_file_we_no_longer_have_loses_its_link(package, sources):
    link(package, sources)
    (next(iter(sources)) / "pope_it" / "pope.yaml").unlink()
    assert link(package, sources) == 1
    assert not os.path.lexists(package / "tasks/ndino_it/pope_it/pope.yaml")
    assert (package / "tasks/ndino_it/pope_it/utils.py").exists()


@pytest.mark.parametrize("make", [lambda path: path.write_text("theirs"), lambda path: path.symlink_to("/")])
def test_a_file_of_theirs_is_never_overwritten(package, sources, make):
    theirs = package / "models" / "simple" / "mblip.py"
    make(theirs)
    with pytest.raises(UpstreamError, match=r"simple/mblip\.py is upstream's .*remedy: rename .*overlay"):
        link(package, sources)
    assert not (package / TASK_FOLDER).exists()
    assert theirs.is_symlink() or theirs.read_text() == "theirs"


def test_links_survive_a_move_of_the_whole_folder(package, sources, tmp_path):
    link(package, sources)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert (moved / "lmms_eval/models/simple/mblip.py").read_text() == "ours mblip"
    moved.rename(tmp_path)


def test_the_installed_lmms_eval_is_found():
    assert (lmms_eval_folder() / "tasks" / "ndino_it" / "ndino_it.yaml").is_file()


def test_missing_lmms_eval_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(UpstreamError, match=r"not installed .*make setup"):
        lmms_eval_folder()
