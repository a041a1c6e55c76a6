"""What a second start asks again, and what it keeps."""

from __future__ import annotations

import json
import shutil

import pytest

from fixtures.tiny import write_tiny_model
from ndino.common.images import image_sha256
from ndino.evaluation import provenance
from ndino.evaluation.commands import evaluate
from tests.evaluation.benchmarks import draw_image, write_benchmarks
from tests.evaluation.commands.results import log, results


def test_a_second_start_finds_all_done_and_a_removed_log_is_all_it_repeats(run, tmp_path, loads, capsys):
    assert run("--tasks", "gqa-it,mtvqa-it") == 0
    assert run("--tasks", "gqa-it,mtvqa-it") == 0
    assert loads == ["it"]
    assert capsys.readouterr().out.count("mtvqa-it") == 2
    folder = tmp_path / "eval" / "it"
    kept = (folder / "gqa-it.jsonl").stat().st_mtime_ns
    (folder / "mtvqa-it.jsonl").unlink()
    assert run("--tasks", "gqa-it,mtvqa-it", "--shuffle") == 0
    assert (folder / "gqa-it.jsonl").stat().st_mtime_ns == kept
    assert (folder / "mtvqa-it.jsonl").exists() and (folder / "gqa-it.shuffled.jsonl").exists()


def test_a_damaged_log_does_not_keep_the_table_of_finished_scores_back(run, tmp_path, loads, capsys):
    assert run("--tasks", "pope-it") == 0
    shown = capsys.readouterr().out
    path = tmp_path / "eval" / "it" / "pope-it.jsonl"
    path.write_text(path.read_text()[:-20])
    assert run("--tasks", "pope-it") == 0
    assert capsys.readouterr().out == shown and loads == ["it"]


def test_results_of_an_earlier_version_are_told_their_origin_without_a_model(run, tmp_path, loads):
    ask, path = ("--tasks", "gqa-it,mtvqa-it"), tmp_path / "eval" / "it" / "results.json"
    assert run(*ask) == 0
    written = results(path.parent)
    assert {name: entry.pop("origin") for name, entry in written["tasks"].items()} == {
        "gqa-it": "translated",
        "mtvqa-it": "native",
    }
    path.write_text(json.dumps(written))
    assert run("--tasks", "mtvqa-it") == 0
    again = results(path.parent)
    assert again["tasks"]["mtvqa-it"].pop("origin") == "native"
    assert again == written
    assert loads == ["it"]


def test_other_data_and_other_weights_are_evaluated_again(run, tmp_path, loads, tiny_model_folder):
    folder = tmp_path / "eval" / "it"
    model = tmp_path / "model"
    shutil.copytree(tiny_model_folder, model)
    ask = ("--tasks", "mtvqa-it")
    assert run(*ask, model=f"it={model}") == 0
    first = log(folder / "mtvqa-it.jsonl")
    assert run(*ask, model=f"it={model}", data=write_benchmarks(tmp_path / "more", rows=8)) == 0
    assert len(log(folder / "mtvqa-it.jsonl")) == 8
    write_tiny_model(model, seed=1)
    assert run(*ask, model=f"it={model}") == 0
    assert [row["answer"] for row in log(folder / "mtvqa-it.jsonl")] != [row["answer"] for row in first]
    assert loads == ["it"] * 3


@pytest.mark.parametrize("part", ["weights", "chat template"])
def test_a_changed_model_removes_no_result_that_is_not_made_again(
    part, run, tmp_path, loads, tiny_model_folder, capsys
):
    folder, model = tmp_path / "eval" / "it", tmp_path / "model"
    shutil.copytree(tiny_model_folder, model)
    assert run("--tasks", "pope-it,mtvqa-it", "--shuffle", model=f"it={model}") == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if part == "weights":
        write_tiny_model(tmp_path / "other", seed=1)
        shutil.copy(tmp_path / "other" / "model.safetensors", model)
    else:
        template = model / "chat_template.jinja"
        template.write_text((template.read_text() if template.exists() else "") + "{# new #}")
    capsys.readouterr()
    assert run("--tasks", "pope-it", model=f"it={model}") == 1
    said = capsys.readouterr().err
    assert f"{folder}: also holds mtvqa-it, whose results are stale: {part} (remedy: evaluate them" in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before and loads == ["it"]
    assert run("--tasks", "pope-it,mtvqa-it", model=f"it={model}") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "stale" in line]
    assert line == (
        f"ndino evaluate: {folder}: pope-it, mtvqa-it: stale and made again, since this changed: {part}"
        "; its controls shuffled are removed (--shuffle asks them again)"
    )
    assert {path.name for path in folder.iterdir()} == {"pope-it.jsonl", "mtvqa-it.jsonl", "results.json"}


def test_a_task_that_fails_when_made_again_keeps_its_old_log_and_shows_no_old_score(
    run, tmp_path, tiny_model_folder, monkeypatch, capsys
):
    folder, model = tmp_path / "eval" / "it", tmp_path / "model"
    shutil.copytree(tiny_model_folder, model)
    assert run("--tasks", "mtvqa-it", model=f"it={model}") == 0
    before = (folder / "mtvqa-it.jsonl").read_bytes()
    write_tiny_model(model, seed=1)

    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(evaluate.Benchmarks, "ask", fail)
    capsys.readouterr()
    assert run("--tasks", "mtvqa-it", model=f"it={model}") == 1
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "mtvqa-it" in line]
    assert row.count("–") == 7
    assert (folder / "mtvqa-it.jsonl").read_bytes() == before


def test_a_stale_result_is_made_again_and_says_what_changed(run, tmp_path, loads, monkeypatch, capsys):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "gqa-it,mtvqa-it", "--shuffle") == 0
    assert "stale" not in capsys.readouterr().err
    found = provenance.versions
    monkeypatch.setattr(
        provenance, "versions", lambda names: {**found(names), "transformers": "99.0", "torch": "98.0"}
    )
    # A part of the folder alone would leave results of two versions side by side.
    assert run("--tasks", "gqa-it") == 1
    refused = capsys.readouterr().err
    assert "also holds mtvqa-it, whose results are stale: torch " in refused and loads == ["it"]
    assert run("--tasks", "gqa-it,mtvqa-it", "--shuffle") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "stale" in line]
    assert line.startswith(
        f"ndino evaluate: {folder}: gqa-it, mtvqa-it: stale and made again, since this changed: "
    )
    assert line.count(" → ") == 2 and line.endswith(" → 99.0")
    assert loads == ["it", "it"]
    assert results(folder)["tasks"]["gqa-it"]["depends"]["answers"]["transformers"] == "99.0"
    # Nothing that the answers do not depend on makes them stale.
    assert run("--tasks", "gqa-it,mtvqa-it", "--batch", 1) == 0
    assert loads == ["it", "it"]


def test_images_behind_a_link_or_outside_the_data_are_asked_about_again(run, tmp_path, loads, capsys):
    disk, folder = tmp_path / "disk", tmp_path / "data" / "swap-uniba" / "MTVQA_IT"
    for place in (disk / "linked", disk / "elsewhere", folder):
        place.mkdir(parents=True)
    (folder / "images").symlink_to(disk / "linked")
    shown = [disk / "linked" / "0.png", disk / "elsewhere" / "1.png"]
    for number, path in enumerate(shown):
        draw_image(number).save(path)
    rows = [
        {"image": name, "question": "Di che colore è?", "answer": "rosso"}
        for name in ("images/0.png", str(shown[1]))
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def ask() -> list[str]:
        assert run("--tasks", "mtvqa-it", data=tmp_path / "data") == 0
        return [row["image_sha256"] for row in log(tmp_path / "eval" / "it" / "mtvqa-it.jsonl")]

    before = ask()
    assert before == [image_sha256(draw_image(0)), image_sha256(draw_image(1))]
    for number, path in enumerate(shown):
        capsys.readouterr()
        draw_image(number + 2).save(path)
        after = ask()
        assert after[number] == image_sha256(draw_image(number + 2)) != before[number]
        said = capsys.readouterr().err
        assert f"stale and made again, since this changed: data (other images: document {number})" in said
    assert loads == ["it"] * 3
    # What no question shows: the bytes of the file are others.
    rows[0]["note"] = "nuova"
    for change, part in (
        ({}, "nothing that was asked"),
        ({"question": "Di che forma è?"}, "other questions or right answers: documents 0, 1"),
        ({"answer": "blu"}, "other questions or right answers: documents 0, 1"),
    ):
        rows = [{**row, **change} for row in rows]
        (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        ask()
        said = capsys.readouterr().err
        assert f"stale and made again, since this changed: data ({part})" in said
    # Of many, the first two are named.
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 2))
    ask()
    assert "questions 2 → 4, data (more or fewer rows)" in capsys.readouterr().err
    rows = [{**row, "question": "Quanti?"} for row in rows * 2]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask()
    assert "data (other questions or right answers: documents 0, 1, …)" in capsys.readouterr().err
