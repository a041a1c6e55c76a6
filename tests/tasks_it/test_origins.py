"""Each task says whether its texts were written in its language or translated into it."""

from __future__ import annotations

import pytest

from ndino.evaluation.lmms_eval_adapter.task_index import TaskIndex

POPE = ["pope-it", "pope_adv-it", "pope_pop-it", "pope_random-it"]
TRANSLATED = {"gqa-it", "ok-vqa-it", "seedbench-it", "llava-bench-it", *POPE}
NATIVE = {"mtvqa-it", "exams-v-it"}


@pytest.mark.parametrize("code", ["it", "es"])
def test_every_task_is_native_or_translated(code):
    index = TaskIndex([f"ndino-{code}"])
    tasks = [name for name, entry in index.manager.task_index.items() if entry["type"] == "task"]
    ours = {name: index.metadata(name).get("origin") for name in tasks if index.code(name) == code}
    assert {*ours.values()} == {"native", "translated"}
    assert {f"{name[:-2]}{code}" for name in TRANSLATED | NATIVE} <= {*ours}
    for name in TRANSLATED | NATIVE:
        assert ours[f"{name[:-2]}{code}"] == ("native" if name in NATIVE else "translated")


def test_the_groups_hold_what_is_native_and_all_there_is():
    index = TaskIndex(["ndino-it"])
    tasks = {name for name, entry in index.manager.task_index.items() if entry["type"] == "task"}
    native = {name for name in tasks if index.metadata(name)["origin"] == "native"}
    # The likelihood of letters is another way to answer the same questions.
    by_likelihood = {name for name in tasks if index.metadata(name).get("scoring") == "likelihood"}
    assert by_likelihood == {f"{name}_likelihood-it" for name in ("m3exam", "mmbench", "seedbench")}
    assert set(index.parts("ndino-it-native") or []) == native - by_likelihood
    full = set(index.parts("ndino-it-full") or [])
    # POPE's three parts are in POPE already.
    assert tasks - full == {"pope_adv-it", "pope_pop-it", "pope_random-it"} | by_likelihood
    assert set(index.parts("ndino-it") or []) < full


@pytest.mark.parametrize("name", ["m3exam", "mmbench", "seedbench"])
def test_a_task_by_likelihood_says_of_its_data_what_the_task_that_generates_says(name):
    index = TaskIndex(["ndino-it"])
    generated, scored = (index.metadata(f"{name}{kind}-it") for kind in ("", "_likelihood"))
    for field in ("origin", "parts", "needs", "not_on_hub"):
        assert scored.get(field) == generated.get(field)
