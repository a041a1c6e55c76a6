"""Native and translated benchmarks stand apart, in every form of the report."""

from __future__ import annotations

import json
import re

import pytest
from rich.console import Console

from ndino.evaluation.lmms_eval_adapter.task_index import TaskIndex
from ndino.results.logs import read_run
from ndino.results.logs.origins import origin_of
from ndino.results.report import write_report
from ndino.results.summary import build_summary
from ndino.results.tables import build_tables
from ndino.results.terminal_summary import print_summary
from tests.results.synthetic import write_task


def state(run, task, **fields):
    """Put fields into the entry that every model's results.json has for a task."""
    for path in run.glob("eval/*/results.json"):
        found = json.loads(path.read_text())
        if task in found["tasks"]:
            found["tasks"][task] |= fields
            path.write_text(json.dumps(found))


@pytest.fixture
def run(small_run):
    for model in ("IT", "PT+IT"):
        for task in ("llava-bench-it", "xm3600-it", "mmbench-it", "colour-it"):
            write_task(small_run / "eval" / model, task, [1, 0, 1], [0, 0, 1])
    state(small_run, "xm3600-it", origin="native")
    state(small_run, "mmbench-it", origin="translated")
    return small_run


def groups(run):
    """Names of tasks by the title of their table of scores."""
    return {
        table.title: [column.name.split()[0].lower() for column in table.columns]
        for table in build_tables(build_summary(read_run(run)))
        if re.match("table-[56]|native|translated|others", table.key)
    }


def test_each_origin_has_tables_of_its_own(run):
    assert groups(run) == {
        "Table 5: translated benchmarks": ["gqa-it", "ok-vqa-it"],
        "Table 6: native Italian benchmarks": ["mtvqa-it"],
        # That of llava-bench-it is not stated: it is in our task's YAML.
        "Further translated benchmarks": ["llava-bench-it", "mmbench-it"],
        "Further native Italian benchmarks": ["xm3600-it"],
        "Other tasks": ["colour-it"],
    }


def test_results_of_another_task_with_the_name_of_ours_say_nothing_of_its_origin(run):
    state(run, "llava-bench-it", depends={"task": {"version": 1}})
    assert groups(run)["Other tasks"] == ["colour-it", "llava-bench-it"]
    state(run, "llava-bench-it", depends={"task": {"language": "0a1b"}})
    assert groups(run)["Other tasks"] == ["colour-it"]
    for stated in (7, "Native", ["native"], ""):
        state(run, "xm3600-it", origin=stated)
        assert groups(run)["Other tasks"] == ["colour-it", "xm3600-it"]


def test_tasks_of_several_languages_are_apart_too(run):
    write_task(run / "eval" / "IT", "llava-bench-es", [1, 0, 1])
    assert groups(run)["Further translated benchmarks, Spanish"] == ["llava-bench-es"]
    assert groups(run)["Further translated benchmarks, Italian"] == ["llava-bench-it", "mmbench-it"]


def test_page_markdown_and_terminal_have_the_same_groups(run):
    written = write_report(run)
    page, tables = written.page.read_text(), written.tables_files[0].read_text()
    console = Console(record=True, width=120)
    print_summary(written.summary, console)
    terminal = console.export_text()
    shown = ((page, "<h2>Other metrics"), (tables, "## Other metrics"), (terminal, "majority: the"))
    for text, last in shown:
        text = " ".join(text.split(last)[0].split())  # a title may be broken into lines
        *_, translated, native = re.split("Further (?:translated|native Italian) benchmarks", text)
        native = re.split("Table 7|Other tasks", native)[0]
        assert "MMBENCH-IT" in translated and "XM3600-IT" not in translated
        assert "XM3600-IT" in native and "MMBENCH-IT" not in native


def test_there_is_no_mean_over_tasks(run):
    names = {row for table in build_tables(build_summary(read_run(run))) for row, _ in table.rows}
    columns = {
        column.name for table in build_tables(build_summary(read_run(run))) for column in table.columns
    }
    assert not [name for name in names | columns if re.search("mean|average|total|overall", name, re.I)]


def test_the_origin_of_each_of_our_tasks_is_the_one_that_lmms_eval_reads():
    index = TaskIndex(["ndino-it"])
    tasks = [name for name, entry in index.manager.task_index.items() if entry["type"] == "task"]
    stated = {name: index.metadata(name)["origin"] for name in tasks if index.code(name) == "it"}
    assert len(stated) >= 10
    assert {name: origin_of(name, {}) for name in stated} == stated
    assert (
        origin_of("gqa-es", {}) == "translated" and origin_of("seedbench_likelihood-it", {}) == "translated"
    )
