"""Questions asked again with other images: several exchanges, and blank ones."""

from __future__ import annotations

from ndino.results.logs import read_model
from tests.evaluation.commands.results import log, results

NAMES = ["shuffled", "shuffled-2", "shuffled-3", "blank"]


def test_several_exchanges_and_blank_images_are_kept_read_and_resumed(run, tmp_path, loads, capsys):
    folder = tmp_path / "eval" / "it"
    ask = ("--tasks", "gqa-it,mtvqa-it")
    assert run(*ask, "--shuffle") == 0
    assert "blank" not in capsys.readouterr().out
    first = (folder / "gqa-it.shuffled.jsonl").read_bytes()
    assert run(*ask, "--shuffle", 3, "--blank") == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].endswith("| blank |")
    assert (folder / "gqa-it.shuffled.jsonl").read_bytes() == first and loads == ["it"] * 2

    rows = {name: log(folder / f"gqa-it.{name}.jsonl") for name in NAMES}
    right = log(folder / "gqa-it.jsonl")
    for name, control in rows.items():
        assert [row["doc_hash"] for row in control] == [row["doc_hash"] for row in right], name
        assert {row["shuffled"] for row in control} == {True}
        pairs = zip(right, control, strict=True)
        assert all(own["image_sha256"] != wrong["image_sha256"] for own, wrong in pairs)
    images = {name: [row["image_sha256"] for row in control] for name, control in rows.items()}
    # Four images can be exchanged in six ways, so two of three may be the same.
    assert len({tuple(images[name]) for name in NAMES[:3]}) > 1
    assert len({*images["blank"]}) == 1  # all images here have one size

    entry = results(folder)["tasks"]["gqa-it"]
    assert [*entry["controls"]] == NAMES[1:] and entry["shuffled"]
    read = read_model(folder)
    assert len(read.tasks["gqa-it"].shuffled) == 3 and read.tasks["gqa-it"].blank is not None
    assert read.notes == ()

    # Finished ones are not asked again, fewer may be asked for, and a lost one alone is made again.
    assert run(*ask, "--shuffle", 2) == 0
    assert loads == ["it"] * 2
    kept = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    (folder / "mtvqa-it.blank.jsonl").unlink()
    assert run(*ask, "--shuffle", 3, "--blank") == 0
    assert {path.name: path.read_bytes() for path in folder.glob("*.jsonl")} == kept


def test_controls_of_a_task_made_again_are_removed_and_named(run, tmp_path, capsys):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "mtvqa-it", "--shuffle", 2, "--blank", "--limit", 2) == 0
    assert len(list(folder.glob("mtvqa-it.*.jsonl"))) == 3
    capsys.readouterr()
    assert run("--tasks", "mtvqa-it") == 0
    said = "; its controls shuffled, shuffled-2, blank are removed (--shuffle 2 --blank asks them again)\n"
    assert said in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == {"mtvqa-it.jsonl", "results.json"}
    assert "controls" not in results(folder)["tasks"]["mtvqa-it"]


def test_only_controls_that_are_not_asked_again_are_named(run, tmp_path, capsys):
    assert run("--tasks", "mtvqa-it", "--shuffle", 2, "--blank", "--limit", 2) == 0
    capsys.readouterr()
    assert run("--tasks", "mtvqa-it", "--shuffle", "--limit", 3) == 0
    said = "; its controls shuffled-2, blank are removed (--shuffle 2 --blank asks them again)\n"
    assert said in capsys.readouterr().err
    capsys.readouterr()
    assert run("--tasks", "mtvqa-it", "--shuffle") == 0
    assert "its controls" not in capsys.readouterr().err
