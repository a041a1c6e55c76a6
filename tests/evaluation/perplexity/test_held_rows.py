"""What ``--out`` holds is continued, extended, replaced when whole, or refused; never lost."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ndino.evaluation import provenance
from ndino.evaluation.perplexity import score_set as score_module
from ndino.evaluation.perplexity.score_set import score_set
from ndino.evaluation.perplexity.scorer import PerplexityError, Scorer
from ndino.results.logs import ResultsError
from ndino.results.logs.perplexity import read_perplexities
from tests.commands import perplexity
from tests.evaluation.answer_files import find


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "ppl").mkdir()
    return tmp_path / "ppl" / "set.jsonl"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of all answers that are scored from now on."""
    found: list[str] = []
    real = Scorer.score

    def score(self, part):
        found.extend(prepared.item.id for prepared in part.answers)
        return real(self, part)

    monkeypatch.setattr(Scorer, "score", score)
    return found


def test_the_control_has_a_file_of_its_own(tmp_path, out, answers_file, tiny_model_folder, capsys):
    command = ["--model", str(tiny_model_folder), "--data", str(answers_file)]
    command += ["--images", str(tmp_path / "images"), "--out", str(out)]
    assert perplexity(command) == 0
    before = contents(out.parent)
    assert perplexity([*command, "--shuffle"]) == 0
    control = out.with_name("set.shuffled.jsonl")
    assert f"rows               {control}" in capsys.readouterr().out
    assert before.items() <= contents(out.parent).items()
    stated = json.loads(control.with_suffix(".json").read_text())
    assert stated["depends"]["task"]["shuffled"] is True
    assert "shuffled" not in json.loads(before["set.json"])["depends"]["task"]
    log = read_perplexities(out.parents[1])[0]["ppl"]["set"]
    assert (log.corpus, log.shuffled) == (json.loads(before["set.json"])["corpus"], stated["corpus"])
    # Its own name is no other name.
    assert perplexity([*command[:-1], str(control), "--shuffle"]) == 0
    assert len(contents(out.parent)) == 6
    capsys.readouterr()
    assert perplexity([*command[:-1], str(control)]) == 1
    assert capsys.readouterr().err == (
        f"ndino perplexity: {control}: is a control's name (remedy: --shuffle, or --out {out})\n"
    )


def test_a_renamed_control_is_no_result(out, tiny_model_folder, answer_items):
    with pytest.raises(PerplexityError, match="is no name for the control"):
        score_set(find(tiny_model_folder), answer_items, out, shuffled=True)
    control = out.with_name("set.shuffled.jsonl")
    score_set(find(tiny_model_folder), answer_items, control, shuffled=True)
    for ending in (".jsonl", ".json"):
        control.with_suffix(ending).rename(out.with_suffix(ending))
    with pytest.raises(ResultsError, match=r"set\.json: holds the control .* rename it and its \.jsonl"):
        read_perplexities(out.parents[1])


def test_other_data_and_fewer_answers_replace_nothing(tmp_path, out, answers_file, tiny_model_folder, capsys):
    command = ["--model", str(tiny_model_folder), "--images", str(tmp_path / "images"), "--out", str(out)]
    assert perplexity([*command, "--data", str(answers_file)]) == 0
    before = contents(out.parent)
    rows = [json.loads(line) for line in answers_file.read_text().splitlines()]
    other = tmp_path / "other.jsonl"
    remedy = "(remedy: choose another --out, or remove that file)"
    for data, limit, said in (
        (rows, ["--limit", "2"], "holds 5 answers, of which only 2 are asked now and would replace them"),
        ([{**rows[0], "id": "new", "answer": "blu"}], [], "5 of its 5 are not among the 1 asked now, e.g."),
        ([{**rows[0], "answer": "blu"}, *rows[1:]], [], f"e.g. id q0, which has other texts {remedy}"),
        ([{**rows[0], "file_name": "1.png"}, *rows[1:]], [], "e.g. id q0, which has another image"),
        ([rows[1], rows[2], {**rows[3], "answer": "x"}], [], "3 of its 5 are not among the 3 asked now"),
    ):
        other.write_text("\n".join(map(json.dumps, data)))
        capsys.readouterr()
        assert perplexity([*command, "--data", str(other), *limit]) == 1
        error = capsys.readouterr().err
        assert (
            error.startswith(f"ndino perplexity: {out}: holds ")
            and said in error
            and "another --out" in error
        )
        assert contents(out.parent) == before


def test_more_answers_extend_what_is_there(out, tiny_model_folder, answer_items, asked, capsys):
    model = find(tiny_model_folder)
    whole = out.with_name("whole.jsonl")
    score_set(model, answer_items, whole)
    broken = replace(answer_items[1], digest="", fault="image cannot be read: x: FILE row 2")
    score_set(model, [answer_items[0], broken, answer_items[2]], out)
    asked.clear()
    score_set(model, answer_items, out)
    # The mended answer is scored, too.
    assert sorted(asked) == ["q1", "q3", "q4"]
    assert f"{out}: 2 of its 2 answers are kept, the others are scored" in capsys.readouterr().err
    assert out.read_bytes() == whole.read_bytes()
    for ending in (".json", ".jsonl.fingerprint"):
        assert out.with_name(f"set{ending}").read_bytes() == out.with_name(f"whole{ending}").read_bytes()
    assert len(contents(out.parent)) == 6


def test_a_stale_result_stays_until_the_new_one_is_whole(
    out, tiny_model_folder, answer_items, asked, monkeypatch
):
    model = find(tiny_model_folder)
    score_set(model, answer_items, out, batch=1)
    before, versions = contents(out.parent), provenance.versions
    monkeypatch.setattr(provenance, "versions", lambda names: {**versions(names), "transformers": "99.0"})
    asked.clear()

    def after_two() -> None:
        if len(asked) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(score_module, "raise_if_interrupted", after_two)
        with pytest.raises(KeyboardInterrupt):
            score_set(model, answer_items, out, batch=1)
    assert before.items() <= contents(out.parent).items()
    score_set(model, answer_items, out, batch=1)
    assert len(asked) == 5 and len(set(asked)) == 5, "it resumes"
    after = contents(out.parent)
    assert after.keys() == before.keys() and after["set.jsonl"] == before["set.jsonl"]
    assert json.loads(after["set.json"])["depends"]["answers"]["transformers"] == "99.0"


def test_a_new_result_that_fails_leaves_the_old_one(
    out, tmp_path, tiny_model_folder, answer_items, monkeypatch
):
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    score_set(find(folder), answer_items, out)
    before, versions = contents(out.parent), provenance.versions
    monkeypatch.setattr(provenance, "versions", lambda names: {**versions(names), "transformers": "99.0"})
    model = find(folder)
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(PerplexityError, match="cannot be loaded"):
        score_set(model, answer_items, out)
    assert before.items() <= contents(out.parent).items()
