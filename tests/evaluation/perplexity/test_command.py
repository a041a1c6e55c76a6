from __future__ import annotations

import json
import shutil
from pathlib import Path

from ndino.evaluation.perplexity import score_set
from ndino.evaluation.perplexity.command import default_out
from ndino.evaluation.perplexity.scorer import PerplexityError
from tests.commands import perplexity
from tests.odd_images import kinds


def test_it_prints_the_summary_and_what_was_skipped(tmp_path, answers_file, tiny_model_folder, capsys):
    out = tmp_path / "out" / "set.jsonl"
    answers_file.write_text(
        f"{answers_file.read_text()}\n" + json.dumps({"question": "q", "answer": "a", "file_name": "no.png"})
    )
    command = [
        "--model",
        str(tiny_model_folder),
        "--data",
        str(answers_file),
        "--images",
        str(tmp_path / "images"),
    ]
    assert perplexity([*command, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "5 scored, 1 skipped" in printed
    assert "skipped 1: image cannot be read (id 6; the first: " in printed and "no.png" in printed
    assert "paper's mean       ⋄" in printed
    assert f"{json.loads(out.with_suffix('.json').read_text())['corpus']:.4g}" in printed

    (tmp_path / "folder").mkdir()
    inside = tmp_path / "folder" / f"{answers_file.stem}.jsonl"
    for wrong, said in {
        tmp_path / "folder": f"is a folder, not a file of rows (remedy: --out {inside})",
        out / "below.jsonl": f"{out} is no folder (remedy: choose another --out)",
        tmp_path / "set.csv": f"does not end in .jsonl (remedy: --out {tmp_path / 'set.jsonl'})",
    }.items():
        assert perplexity([*command, "--out", str(wrong)]) == 2
        assert capsys.readouterr().err == f"ndino perplexity: --out {wrong}: {said}\n"
    assert perplexity([*command, "--answer-field", "risposta", "--out", str(out)]) == 2
    assert "--answer-field" in capsys.readouterr().err
    assert perplexity([*command[:2], "--data", str(tmp_path / "none.jsonl")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    # Without asking a hub, whose answer takes half a minute where there is none.
    assert perplexity(["--model", "none", *command[2:]]) == 2
    assert capsys.readouterr().err == (
        "ndino perplexity: none: no such model folder (remedy: give the folder that holds config.json)\n"
    )


def test_every_bad_row_is_named_before_a_model_is_loaded(
    tmp_path, answers_file, tiny_model_folder, capsys, monkeypatch
):
    odd = kinds()
    lines = [f"{answers_file.read_text()}\n"]
    bad = ["half.jpg", "torn_idat.png", "page.jpg"]
    for name in bad:
        (tmp_path / "images" / name).write_bytes(odd[name].content)
        lines.append(json.dumps({"question": "q", "answer": "a", "file_name": name}) + "\n")
    lines.append(json.dumps({"question": " ", "answer": "a", "file_name": "half.jpg"}) + "\n")
    answers_file.write_text("".join(lines))
    said: list[str] = []

    def load(*model):
        said.extend(capsys.readouterr().err.splitlines())
        raise PerplexityError("enough (remedy: none)")

    monkeypatch.setattr(score_set, "load_scorer", load)
    command = ["--model", str(tiny_model_folder), "--data", str(answers_file)]
    command += ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out.jsonl")]
    assert perplexity(command) == 1
    first = len(lines[0].splitlines()) + 1
    assert len(said) == 4
    for number, (name, row) in enumerate(zip([*bad, "question is empty"], said, strict=True), start=first):
        reason = odd[name].fault if name in odd else name
        assert row.startswith(f"ndino perplexity: left out: {answers_file} row {number}: ")
        assert reason in row and row.count("(remedy: ") == 1 and "0x" not in row


def test_a_model_of_another_kind_is_offered_no_backend_that_cannot_score(
    tmp_path, answers_file, tiny_model_folder, capsys
):
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(config))
    command = ["--model", str(folder), "--data", str(answers_file), "--images", str(tmp_path / "images")]
    assert perplexity(command) == 1
    said = capsys.readouterr().err
    assert "(remedy: give a whole LLaVA-NeXT folder in Hugging Face format)" in said and "lmms" not in said


def test_default_output_is_named_after_run_and_data():
    assert default_out("runs/demo/mlp-pt/model", "x/WILD_IT") == Path("runs/ppl/mlp-pt/WILD_IT.jsonl")
    assert default_out("org/name", "a.jsonl") == Path("runs/ppl/name/a.jsonl")
