"""`--retry-rejects`: which items are tried again, and starts that are killed while they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.data.framework import retries
from ndino.data.framework.retries import may_pass
from ndino.data.framework.shards import DataError, ItemOutcome, Reject, ShardWriter
from ndino.data.translation.translation import NO_TRANSLATION
from tests.commands import data as main
from tests.data.framework import toy


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The toy source with items that are downloaded; those in the set time out."""
    down: set[int] = set()
    make = toy.outcome

    def outcome(writer: ShardWriter, number: int) -> ItemOutcome:
        if number in down:
            return ItemOutcome(rejects=(Reject(f"item {number}", "timed out"),))
        return make(writer, number)

    monkeypatch.setattr(toy, "outcome", outcome)
    return down


def worked_on(log: Path) -> list[int]:
    numbers = [int(number) for number in log.read_text().split()]
    log.unlink()
    return numbers


def test_only_what_may_pass_is_tried_again(network, tmp_path, capsys):
    out, log = tmp_path / "out", tmp_path / "log"
    assert toy.run("--out", tmp_path / "fresh") == 0
    network |= {1, 4, 8}
    assert toy.run("--out", out, "--log", log) == 0
    worked_on(log)
    network -= {1, 8}
    assert toy.run("--out", out, "--log", log, "--retry-rejects") == 0
    assert worked_on(log) == [1, 4, 8]  # not those with "no caption"
    network.clear()
    # Without the option nothing is.
    assert toy.run("--out", out, "--log", log) == 0
    assert not log.exists() and "already complete" in capsys.readouterr().out
    assert toy.run("--out", out, "--log", log, "--retry-rejects") == 0
    assert worked_on(log) == [4]
    assert toy.files_below(out) == toy.files_below(tmp_path / "fresh")
    capsys.readouterr()
    assert toy.run("--out", out, "--log", log, "--retry-rejects") == 0
    assert not log.exists() and "already complete" in capsys.readouterr().out


@pytest.mark.parametrize("resumed_with", [(), ("--retry-rejects",)])
@pytest.mark.parametrize("killed", ["before the journal", "in the journal", "at an item"])
def test_a_killed_retry_resumes(network, tmp_path, monkeypatch, killed, resumed_with):
    assert toy.run("--out", tmp_path / "fresh") == 0
    network |= {1, 4, 8}
    assert toy.run("--out", tmp_path / "out") == 0
    network.clear()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        if killed == "before the journal":
            patched.setattr(retries, "write_rows", die)
        elif killed == "in the journal":
            patched.setattr("ndino.data.framework.journal.json_line", die)
        else:
            make = toy.outcome
            patched.setattr(toy, "outcome", lambda writer, n: make(writer, n) if n < 4 else die())
        toy.run("--out", tmp_path / "out", "--retry-rejects")
    assert toy.run("--out", tmp_path / "out", *resumed_with) == 0
    if not resumed_with:  # where it had not begun, the rejects are those of before
        assert toy.run("--out", tmp_path / "out", "--retry-rejects") == 0
    assert toy.files_below(tmp_path / "out") == toy.files_below(tmp_path / "fresh")


def test_a_torn_shard_is_not_tried_again(tmp_path):
    assert toy.run("--out", tmp_path) == 0
    with (tmp_path / "shards" / "00000-of-00001" / "journal.jsonl").open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(DataError, match="torn: its hash differs"):
        toy.run("--out", tmp_path, "--retry-rejects")


@pytest.mark.parametrize(
    "reason",
    [
        "image: image file is truncated",
        "image: not in the folder", "image: broken image", "HTTP 503", "timed out", "broken off", "truncated",
        "broken image", "wrong kind of file: text/html", "rendering took too long", "the PDF reader crashed",
        *NO_TRANSLATION,
    ],
)  # fmt: skip
def test_reasons_that_may_pass(reason):
    assert may_pass(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "no caption", "caption: too short", "caption: same image and text as before", "number lost",
        "too little text", "not a LLaVA row", "given twice", "answer is not a letter", "a round is missing",
    ],
)  # fmt: skip
def test_reasons_that_stay(reason):
    assert not may_pass(reason)


def test_no_rows_is_a_failure_each_time_and_in_every_command(tmp_path, monkeypatch, capsys):
    def rejected(writer: ShardWriter, number: int) -> ItemOutcome:
        return ItemOutcome(rejects=(Reject(f"item {number}", "no caption"),))

    monkeypatch.setattr(toy, "outcome", rejected)
    out = tmp_path / "out"
    for _ in range(2):
        assert toy.run("--out", out, "--limit", 3) == 1
        assert "no rows; rejects.jsonl has the reasons: no caption (3) (remedy" in (
            said := capsys.readouterr().err
        )
        assert "--retry-rejects" not in said  # which would not try these again
    assert json.loads((out / "manifest.json").read_text())["rows"]["total"] == 0
    for command in ("merge", "evaluation-folders", "check", "pack"):
        assert main([command, str(out)]) == 1, command
        said = capsys.readouterr()
        assert "no rows" in said.err + said.out, command
