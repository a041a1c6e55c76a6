"""Mixing sources: the sample, its images and their quality, and a mix that was killed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.common.files import sha256_of
from ndino.data.commands.mix import mix, named_mixes
from ndino.data.framework.journal import json_line
from ndino.data.framework.quality import QualityCounts
from ndino.data.framework.shards import DataError
from ndino.formats.llava_json import read_conversations, write_conversations
from tests.commands import data as main
from tests.data.framework import toy


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "data.jsonl").read_bytes().splitlines()]


def own_set(folder: Path, rows: list[dict], images: dict[str, bytes]) -> Path:
    """A data set that somebody else made: no manifest, no sources."""
    for name, content in images.items():
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).write_bytes(content)
    write_conversations(folder / "data.jsonl", rows)
    return folder


def own_row(identity: str, image: str | None = None) -> dict:
    made = toy.row(identity, "", image)
    del made["source"]
    return made


def test_the_paper_s_distribution():
    mixes = named_mixes()
    assert mixes["pt"] == {"wit/section": 168_000, "wit/caption": 72_000, "eurlex": 10_000}
    assert sum(mixes["pt"].values()) == 250_000
    assert mixes["it"] == {"cauldron": None, "mtvqa": None, "exams-v": None}
    assert mixes["long"] == {"conversations/single": None} and mixes["mlp"] == {"lcs": None}


def test_the_sample_is_the_same_on_every_machine(finished, tmp_path, capsys):
    out = tmp_path / "mix"
    command = ["mix", "--take", "toy/images=5", "--take", "toy/text=3", "--folders", str(finished)]
    assert main([*command, "--out", str(out), "--seed", "1"]) == 0
    # Golden: sha256("1\0<id>") in ascending order, the first five and three.
    assert [row["id"] for row in rows_of(out)] == ["30-0", "26-1", "34-1", "8", "4", "49", "29", "52"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["taken"]["toy/text"] == {"wanted": 3, "found": 30, "taken": 3}
    assert manifest["rows"] == {"total": 8, "sources": {"toy/images": 5, "toy/text": 3}}
    assert manifest["inputs"][0]["file"] == "toy/data.jsonl"
    assert "| toy/text | 3 |" in (out / "README.md").read_text()
    assert "toy/images: 5 of 30" in capsys.readouterr().out
    assert len(list(read_conversations(out / "data.jsonl", image_folder=out / "images"))) == 8
    assert main(["check", str(out), "--workers", "1"]) == 0


def test_neither_the_order_of_folders_nor_other_sources_change_the_sample(finished, tmp_path):
    other = own_set(tmp_path / "own", [own_row(f"o{number}") for number in range(9)], {})
    mix([finished, other], {"toy": 6, "own": 2}, tmp_path / "a", name="own", seed=5)
    mix([other, finished], {"own": 2, "toy": 6}, tmp_path / "b", name="own", seed=5)
    mix([finished], {"toy": 6}, tmp_path / "c", name="own", seed=5)
    assert toy.files_below(tmp_path / "a", ["data.jsonl"]) == toy.files_below(tmp_path / "b", ["data.jsonl"])
    assert rows_of(tmp_path / "c") == [row for row in rows_of(tmp_path / "a") if "source" in row]
    mix([finished], {"toy": 6}, tmp_path / "d", name="own", seed=6)
    assert rows_of(tmp_path / "c") != rows_of(tmp_path / "d")


def test_a_short_source_is_named_and_nothing_replaces_it(finished, tmp_path, capsys):
    command = ["mix", "--take", "toy/text=31", "--take", "eurlex=all", "--folders", str(finished), "--out"]
    assert main([*command, str(tmp_path / "mix")]) == 1
    said = capsys.readouterr().err
    assert (
        "toy/text has 30 rows of 31 wanted; eurlex has 0 rows of all wanted; "
        "the folders have toy/images, toy/text (" in said
    )
    assert not (tmp_path / "mix").exists()
    assert main([*command, str(tmp_path / "mix"), "--allow-short"]) == 0
    assert "short: toy/text has 30 rows of 31 wanted" in capsys.readouterr().out
    assert {row["source"] for row in rows_of(tmp_path / "mix")} == {"toy/text"}
    assert (
        main(["mix", "pt", "--folders", str(finished), "--out", str(tmp_path / "no"), "--allow-short"]) == 1
    )


def test_images_are_linked_or_copied(finished, tmp_path, monkeypatch):
    mix([finished], {"toy/images": None}, tmp_path / "linked", name="own", seed=1)

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    mix([finished], {"toy/images": None}, tmp_path / "copied", name="own", seed=1)
    names = {row["image"] for row in rows_of(tmp_path / "linked")}
    for name in names:
        assert (tmp_path / "linked" / "images" / name).samefile(finished / "images" / name)
        assert not (tmp_path / "copied" / "images" / name).samefile(finished / "images" / name)
    assert toy.files_below(tmp_path / "linked") == toy.files_below(tmp_path / "copied")


def test_a_killed_mix_resumes_and_a_finished_one_is_not_changed(finished, tmp_path, monkeypatch, capsys):
    take = {"toy/images": 20}
    mix([finished], take, tmp_path / "whole", name="own", seed=1)
    links = []

    def link_three(origin: Path, target: Path) -> None:
        if len(links) == 3:
            raise KeyboardInterrupt
        links.append(shutil.copyfile(origin, target))

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "link", link_three)
        mix([finished], take, tmp_path / "out", name="own", seed=1)
    assert not (tmp_path / "out").exists()
    kept = {path: path.stat().st_ino for path in links}
    left = [tmp_path / "out.partial" / ".data.jsonl.1.tmp", links[0].with_name(".x.png.1.tmp")]
    for path in left:
        path.write_bytes(b"of a killed mix")
    mix([finished], take, tmp_path / "out", name="own", seed=1)
    moved = {path: tmp_path / "out" / path.relative_to(tmp_path / "out.partial") for path in links}
    assert {path: target.stat().st_ino for path, target in moved.items()} == kept
    assert toy.files_below(tmp_path / "out") == toy.files_below(tmp_path / "whole")
    assert not list((tmp_path / "out").rglob("*.tmp"))
    capsys.readouterr()
    mix([finished], take, tmp_path / "out", name="own", seed=1)
    assert "already complete" in capsys.readouterr().out
    data = tmp_path / "out" / "data.jsonl"
    content = data.read_bytes()
    data.write_bytes(content[:-9])
    with pytest.raises(
        UsageError, match=r"data\.jsonl: does not match manifest\.json.*remedy: another --out"
    ):
        mix([finished], take, tmp_path / "out", name="own", seed=1)
    data.write_bytes(content)
    with pytest.raises(UsageError, match="holds something else"):
        mix([finished], take, tmp_path / "out", name="own", seed=2)


def test_an_image_that_changed_under_its_name_is_another_input(finished, tmp_path, monkeypatch):
    take = {"toy/images": None}
    mix([finished], take, tmp_path / "out", name="own", seed=1)
    image = finished / "images" / rows_of(tmp_path / "out")[0]["image"]
    content = image.read_bytes()
    image.unlink()
    image.write_bytes(content)
    mix([finished], take, tmp_path / "out", name="own", seed=1)  # a copy: the same image
    image.write_bytes(content[:-1] + b" ")
    with pytest.raises(UsageError, match=f"{image.name} is not the image that"):
        mix([finished], take, tmp_path / "out", name="own", seed=1)
    # A mix that was killed before takes the image of today.
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr("ndino.data.commands.mix.card", lambda manifest: 1 / 0)
        mix([finished], take, tmp_path / "killed", name="own", seed=1)
    image.unlink()
    image.write_bytes(content[:-2] + b"  ")
    mix([finished], take, tmp_path / "killed", name="own", seed=1)
    assert (tmp_path / "killed" / "images" / image.relative_to(finished / "images")).read_bytes() == (
        content[:-2] + b"  "
    )


def test_other_settings_start_over_after_a_killed_mix(finished, tmp_path):
    (tmp_path / "out.partial" / "images" / "zz").mkdir(parents=True)
    (tmp_path / "out.partial" / "images" / "zz" / "left.png").write_bytes(b"")
    mix([finished], {"toy/text": 2}, tmp_path / "out", name="own", seed=1)
    assert not (tmp_path / "out" / "images").exists()


def harmed(folder: Path, harm: str) -> None:
    lines = (folder / "data.jsonl").read_text().splitlines(keepends=True)
    row = json.loads(lines[0])
    if harm == "changed":
        lines = lines[:-1]
    elif harm == "torn":
        lines[-1] = lines[-1][:-9]
    elif harm == "twice":
        lines.append(lines[0])
    elif harm == "outside":
        lines[0] = json.dumps(row | {"image": "../../secret.png"}) + "\n"
    elif harm == "gone":
        (folder / "images" / row["image"]).unlink()
    (folder / "data.jsonl").write_text("".join(lines))
    if harm != "changed":  # as somebody else's
        for name in ("manifest.json", "rejects.jsonl"):
            (folder / name).unlink()
        shutil.rmtree(folder / "shards")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("changed", "does not match manifest.json"),
        ("torn", "row 60: broken JSON"),
        ("twice", r"row 61: id '0' is already in"),
        ("outside", "row 1: an image outside the image folder"),
        ("gone", r"row \d+: .* does not exist"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(finished, tmp_path, harm, said):
    harmed(finished, harm)
    with pytest.raises(DataError, match=said) as refused:
        mix([finished], {"toy": None}, tmp_path / "mix", name="own", seed=1)
    assert "remedy" in str(refused.value)
    assert not (tmp_path / "mix").exists()


def test_unfinished_folders_and_overlapping_takes_are_refused(finished, tmp_path):
    (finished / "data.jsonl").unlink()
    with pytest.raises(DataError, match="ndino data merge"):
        mix([finished], {"toy": None}, tmp_path / "mix", name="own", seed=1)
    with pytest.raises(UsageError, match="toy/text is part of toy"):
        mix([finished], {"toy": 1, "toy/text": 1}, tmp_path / "mix", name="own", seed=1)


def test_images_of_one_name_must_be_equal(tmp_path):
    one = own_set(tmp_path / "one", [own_row("1", "a.png")], {"a.png": toy.draw_image(1)})
    same = own_set(tmp_path / "same", [own_row("2", "a.png")], {"a.png": toy.draw_image(1)})
    other = own_set(tmp_path / "other", [own_row("3", "a.png")], {"a.png": toy.draw_image(2)})
    take = {"one": None, "same": None}
    assert mix([one, same], take, tmp_path / "mix", name="own", seed=1)["images"] == 1
    with pytest.raises(DataError, match=r"a\.png is not the same image as"):
        mix([one, other], {"one": None, "other": None}, tmp_path / "no", name="own", seed=1)


def test_missing_and_contradicting_arguments(finished, tmp_path, capsys):
    folders = ["--folders", str(finished), "--out", str(tmp_path / "mix")]
    assert main(["mix", *folders]) == 2
    assert main(["mix", "pt", "--take", "toy=1", *folders]) == 2
    assert main(["mix", "--take", "toy=1", "--take", "toy=2", *folders]) == 2
    for wrong in ("toy", "=3", "toy=0", "toy=-1", "toy=x"):
        with pytest.raises(SystemExit) as ended:
            main(["mix", "--take", wrong, *folders])
        assert ended.value.code == 2
    assert "neither a mix nor --take nor --weight, or several of them" in capsys.readouterr().err
    for wrong in ("toy", "=3", "toy=0", "toy=-1", "toy=x", "toy=inf", "toy=nan"):
        with pytest.raises(SystemExit):
            main(["mix", "--weight", wrong, "--total", "9", *folders])
    weights = ["mix", "--weight", "toy/text=1", "--weight", "toy/images=99"]
    assert main([*weights, *folders]) == 2
    assert main(["mix", "--take", "toy=1", "--total", "9", *folders]) == 2
    assert capsys.readouterr().err.count("--weight and --total belong together") == 2
    assert main([*weights, "--total", "9", *folders]) == 2
    assert "toy/text would have no row (remedy: a larger --weight or --total)" in capsys.readouterr().err
    assert main([*weights, "--weight", "toy/text=2", "--total", "9", *folders]) == 2
    assert "--weight names a source twice" in capsys.readouterr().err


def test_an_image_s_name_may_be_in_another_unicode_form_than_its_file(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "perché.png") for form in ("NFC", "NFD"))
    own_set(tmp_path / "own", [own_row("1", nfc)], {nfd: toy.draw_image(0)})
    mix([tmp_path / "own"], {"own": None}, tmp_path / "out", name="own", seed=0)
    assert (tmp_path / "out" / "images" / nfc).read_bytes() == toy.draw_image(0)


def scored(folder: Path, scores: dict[str, float], scorer: str = "chrf") -> Path:
    """The folder with these scores in its rows, as a source that was built with --quality."""
    rows = [{**row, "quality": scores[row["id"]]} if row["id"] in scores else row for row in rows_of(folder)]
    (folder / "data.jsonl").write_bytes(b"".join(map(json_line, rows)))
    manifest = json.loads((folder / "manifest.json").read_text())
    counts = QualityCounts()
    for row in rows:
        counts.add(row["source"], row)
    manifest |= {"translator": "apertium", "quality": counts.as_json(scorer)}
    manifest["files"]["data.jsonl"] = sha256_of(folder / "data.jsonl")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_rows_of_poor_quality_are_left_out_before_the_sample_is_drawn(finished, tmp_path, capsys):
    images = [row["id"] for row in rows_of(finished) if row["source"] == "toy/images"]
    scored(finished, {identity: number / 30 for number, identity in enumerate(images)})
    command = ["mix", "--take", "toy/images=15", "--take", "toy/text=all", "--folders", str(finished)]
    assert main([*command, "--min-quality", "0.5", "--out", str(tmp_path / "mix")]) == 0
    rows = rows_of(tmp_path / "mix")
    assert sorted(row["id"] for row in rows if row["source"] == "toy/images") == sorted(images[15:])
    assert sum(row["source"] == "toy/text" for row in rows) == 30  # not translated, so without a score
    rejects = [json.loads(line) for line in (tmp_path / "mix" / "rejects.jsonl").read_text().splitlines()]
    assert {reject["where"] for reject in rejects} == set(images[:15])
    assert rejects[0]["reason"] == "quality below 0.5" and rejects[0]["source"] == "toy/images"
    manifest = json.loads((tmp_path / "mix" / "manifest.json").read_text())
    assert manifest["rejects"] == {"quality below 0.5": 15}
    assert manifest["settings"]["min_quality"] == 0.5
    ((name, counted),) = manifest["quality"]["sources"].items()
    assert name == "toy/images" and counted["histogram"] == [0, 0, 0, 0, 0, 3, 3, 3, 3, 3]
    assert manifest["files"]["rejects.jsonl"] == sha256_of(tmp_path / "mix" / "rejects.jsonl")
    card = (tmp_path / "mix" / "README.md").read_text()
    assert "| toy/images | 0.733 |" in card and "| quality below 0.5 | 15 |" in card
    short = [*command, "--min-quality", "0.6", "--out", str(tmp_path / "short")]
    capsys.readouterr()
    assert main(short) == 1
    assert (
        "toy/images has 12 rows of 15 wanted, 18 fell below --min-quality (remedy: a lower --min-quality, "
        in capsys.readouterr().err
    )
    none = [*command[:2], "toy/images=all", *command[-2:], "--min-quality", "1", "--out", str(tmp_path / "0")]
    assert main([*none, "--allow-short"]) == 1
    assert "all 30 rows fell below --min-quality (remedy: " in capsys.readouterr().err


def test_a_threshold_wants_scores_of_one_kind(finished, tmp_path, capsys):
    command = ["mix", "--take", "toy/images=all", "--min-quality", "0.5", "--out", str(tmp_path / "mix")]
    assert main([*command, "--folders", str(finished)]) == 2
    assert f"--min-quality: {finished} has no scores (remedy: build with --quality" in capsys.readouterr().err
    other = scored(Path(shutil.copytree(finished, tmp_path / "other")), {"0": 0.7}, "comet")
    scored(finished, {"0": 0.7})
    assert main([*command, "--folders", str(finished), str(other)]) == 2
    assert f"scored in different ways: {finished} by chrf; {other} by comet" in capsys.readouterr().err
    # A translated folder beside it that was not scored would pass whole.
    manifest = json.loads((other / "manifest.json").read_text())
    del manifest["quality"]
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert main([*command, "--folders", str(finished), str(other)]) == 2
    assert f"--min-quality: {other} has no scores" in capsys.readouterr().err
    capsys.readouterr()
    for wrong in ("nan", "1.5", "-0.1", "50", "x"):
        with pytest.raises(SystemExit):
            main([*command[:-4], f"--min-quality={wrong}", "--out", "x", "--folders", str(finished)])
        assert f"'{wrong}': expected a number from 0 to 1" in capsys.readouterr().err
