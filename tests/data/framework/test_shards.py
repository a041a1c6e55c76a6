"""Shards: options, commits, kills at random moments, threads and batches."""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ndino.common.locks import BusyError
from ndino.data.framework.arguments import add_shard_arguments
from ndino.data.framework.shards import (
    DataError,
    ItemOutcome,
    Shard,
    ShardWriter,
    run_batches,
    run_items,
)
from tests.data.framework import toy

ROOT = Path(__file__).parents[3]
WHOLE = Shard(0, 1)


@pytest.mark.parametrize(
    "text", ["", "1", "7/7", "-1/7", "1/0", "0/0", "a/b", "1/2/3", "0x1/3", "١/٣", "1.0/2"]
)
def test_an_invalid_shard_is_refused_with_an_example(text):
    with pytest.raises(DataError, match="not i/n, counted from 0"):
        Shard.parse(text)


def test_shards_split_the_items():
    shards = [Shard.parse(f"{index}/7") for index in range(7)]
    assert [[shard.holds(number) for shard in shards].count(True) for number in range(30)] == [1] * 30
    assert shards[2].name == "00002-of-00007"


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({}, Shard(0, 1)),
        ({"ID": "4", "MIN": "0", "COUNT": "7"}, Shard(4, 7)),
        ({"ID": "4", "MIN": "1", "COUNT": "7", "STEP": "1"}, Shard(3, 7)),
        ({"ID": "4", "MIN": "2", "COUNT": "7", "STEP": "2"}, Shard(1, 7)),
    ],
)
def test_the_default_shard_is_the_task_of_a_slurm_array(monkeypatch, environment, shard):
    for name in ("ID", "MIN", "COUNT", "STEP"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    parser = argparse.ArgumentParser()
    add_shard_arguments(parser)
    assert parser.parse_args(["--out", "x"]).shard == shard
    assert parser.parse_args(["--out", "x", "--shard", "1/3"]).shard == Shard(1, 3)


@pytest.mark.parametrize("wrong", [("--shard", "3/3"), ("--limit", "0"), ("--limit", "-1")])
def test_wrong_arguments_end_with_2(tmp_path, wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        toy.run("--out", tmp_path, *wrong)
    assert ended.value.code == 2
    assert wrong[1] in capsys.readouterr().err


def test_a_run_killed_at_random_resumes_and_repeats_nothing(tmp_path):
    toy.run("--out", tmp_path / "undisturbed")
    out, log = tmp_path / "out", tmp_path / "log"
    command = [sys.executable, "-m", "tests.data.framework.toy", "--out", out, "--log", log]
    command += ["--pause", "0.02", "--workers", "2"]
    journal = out / "shards" / "00000-of-00001.partial" / "journal.jsonl"
    rng, kills = random.Random(7), 0
    committed: set[int] = set()
    while kills < 4:
        begun = len(log.read_text().split()) if log.exists() else 0
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        goal = (journal.stat().st_size if journal.exists() else 0) + rng.randrange(2500)
        while process.poll() is None and (not journal.exists() or journal.stat().st_size <= goal):
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        done_now = [int(number) for number in log.read_text().split()[begun:]]
        assert not committed & set(done_now)
        if not journal.exists():
            break  # it was faster than its killer
        lines = journal.read_bytes().split(b"\n")[:-1]
        committed = {json.loads(line)["item"] for line in lines}
    assert kills >= 2
    (journal.parent / ".image.1.tmp").write_bytes(b"of a killed start")
    assert toy.run("--out", out) == 0
    assert toy.files_below(out) == toy.files_below(tmp_path / "undisturbed")
    assert not list(out.rglob("*.tmp"))


def test_a_finished_folder_is_not_changed(tmp_path, capsys):
    log = tmp_path / "log"
    assert toy.run("--out", tmp_path / "out", "--log", log) == 0
    assert "60 rows" in capsys.readouterr().out
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.*")}
    assert toy.run("--out", tmp_path / "out", "--log", log) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: already complete\n"
    assert log.read_text().split() == [str(number) for number in range(toy.ITEMS)]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.*")} == files
    (tmp_path / "out" / "data.jsonl").unlink()
    assert toy.run("--out", tmp_path / "out", "--log", log) == 0
    assert len((tmp_path / "out" / "data.jsonl").read_bytes().splitlines()) == 60


@pytest.mark.parametrize("harm", ["cut", "edited", "rejects gone"])
def test_a_damaged_finished_folder_is_written_again_from_its_shards(finished, harm, capsys):
    whole = toy.files_below(finished)
    data = finished / "data.jsonl"
    if harm == "cut":
        data.write_bytes(b"".join(data.read_bytes().splitlines(keepends=True)[:-1]))
    elif harm == "edited":
        data.write_bytes(data.read_bytes().replace(b"numero", b"numer0", 1))
    else:
        (finished / "rejects.jsonl").unlink()
    assert toy.run("--out", finished) == 0
    said = capsys.readouterr()
    assert "60 rows" in said.out and "already complete" not in said.out
    assert "do not match manifest.json, so they are written again" in said.err
    assert toy.files_below(finished) == whole


def test_a_folder_that_lost_images_is_not_called_complete(finished):
    images = sorted(path for path in (finished / "images").rglob("*") if path.is_file())
    for path in images[:2]:
        path.unlink()
    lacks = rf"lacks 2 of the {len(images)} images of its rows, the first of them .*{images[0].name}"
    for _ in range(2):  # with rows as they were, and while they are written again
        with pytest.raises(DataError, match=rf"{lacks} \(remedy: copy them back, or run"):
            toy.run("--out", finished)
        (finished / "data.jsonl").unlink(missing_ok=True)


def test_other_settings_and_shard_counts_are_refused(tmp_path):
    toy.run("--out", tmp_path / "whole", "--limit", 8)
    with pytest.raises(DataError, match=r"other settings: limit 8, now 9 \(remedy"):
        toy.run("--out", tmp_path / "whole", "--limit", 9)
    with pytest.raises(DataError, match=r"has 1 shards, this run expects 2 \(remedy"):
        toy.run("--out", tmp_path / "whole", "--limit", 8, "--shard", "0/2")
    with ShardWriter(tmp_path / "begun", Shard(1, 2), {"source": "toy"}):
        pass
    with (
        pytest.raises(DataError, match="source 'toy', now 'other'"),
        ShardWriter(tmp_path / "begun", Shard(0, 2), {"source": "other"}),
    ):
        pass


def test_a_second_process_on_the_same_shard_is_refused(tmp_path):
    with ShardWriter(tmp_path, Shard(0, 2), {}):
        with pytest.raises(BusyError, match="another process is working"):
            ShardWriter(tmp_path, Shard(0, 2), {}).__enter__()
        with ShardWriter(tmp_path, Shard(1, 2), {}):
            pass
    with ShardWriter(tmp_path, Shard(0, 2), {}):
        pass


def test_rows_that_training_would_refuse_become_rejects(tmp_path):
    good = toy.row("good", "toy")
    empty = {"id": "empty", "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": " "}]}
    with ShardWriter(tmp_path, WHOLE, {"source": "toy"}) as writer:
        writer.commit(0, ItemOutcome(rows=(empty, good)))
        entry = json.loads((writer.folder / "journal.jsonl").read_text())
    assert entry["rows"] == [good]
    assert [(reject["where"], reject["reason"]) for reject in entry["rejects"]] == [
        ("empty", "not a LLaVA row: message 2 is empty or not text")
    ]
    with ShardWriter(tmp_path / "documents", WHOLE, {}, conversations=False) as writer:
        writer.commit(0, ItemOutcome(rows=({"question": "?"},)))
        assert json.loads((writer.folder / "journal.jsonl").read_text())["rows"] == [{"question": "?"}]


def test_every_item_is_committed_once_in_its_own_shard(tmp_path):
    with ShardWriter(tmp_path, Shard(1, 3), {}) as writer:
        writer.commit(4, ItemOutcome())
        for wrong in (0, 4):
            with pytest.raises(ValueError, match=f"item {wrong} is not"):
                writer.commit(wrong, ItemOutcome())
        with pytest.raises(ValueError, match="item 1 was never committed"):
            writer.finish()
        writer.commit(1, ItemOutcome())
        writer.finish()
        assert writer.whole and not writer.wants(7)


@pytest.mark.parametrize("workers", [1, 3])
def test_after_an_error_finished_items_stay_committed(tmp_path, workers):
    def work(number: int) -> ItemOutcome:
        if number == 10:
            raise RuntimeError("the disk is gone")
        return ItemOutcome()

    with ShardWriter(tmp_path, WHOLE, {}) as writer:
        with pytest.raises(RuntimeError, match="disk"):
            run_items(writer, enumerate(range(1000)), work, desc="toy", workers=workers)
        assert not any(writer.wants(number) for number in range(10))
        assert writer.wants(10)


def test_finished_items_are_committed_while_the_source_is_slow(tmp_path):
    with ShardWriter(tmp_path, WHOLE, {}) as writer:

        def items():
            yield from enumerate("abc")
            deadline = time.monotonic() + 60
            while any(writer.wants(number) for number in range(3)):
                assert time.monotonic() < deadline, "done, and not committed"
                time.sleep(0.01)
            yield 3, "d"

        run_items(writer, items(), lambda item: ItemOutcome(), desc="toy", workers=2)
        assert not writer.wants(3)


def test_batches_hold_wanted_items_only_and_are_committed_one_by_one(tmp_path):
    seen = []

    def work(numbers: list[int]) -> list[ItemOutcome]:
        seen.append(numbers)
        return [ItemOutcome()] * len(numbers)

    with ShardWriter(tmp_path, Shard(1, 2), {}) as writer:
        writer.commit(3, ItemOutcome())
        run_batches(writer, enumerate(range(14)), work, desc="toy", size=4)
        assert seen == [[1, 5, 7, 9], [11, 13]]
        with pytest.raises(ValueError):
            run_batches(writer, [(15, 15)], lambda numbers: [], desc="toy", size=4)
        assert writer.wants(15)


def test_equal_images_are_stored_once_whoever_stores_them(tmp_path):
    with ShardWriter(tmp_path, Shard(0, 2), {}) as one, ShardWriter(tmp_path, Shard(1, 2), {}) as two:
        with ThreadPoolExecutor(8) as pool:
            names = list(pool.map(lambda k: (one, two)[k % 2].save_image(b"x" * 99, ".png"), range(200)))
        stored = [path for path in (tmp_path / "images").rglob("*") if path.is_file()]
        assert [path.relative_to(tmp_path / "images").as_posix() for path in stored] == sorted(set(names))
        assert stored[0].parent.name == stored[0].stem[:2]
        stored[0].write_bytes(b"torn")
        one.save_image(b"x" * 99, ".png")
        assert stored[0].read_bytes() == b"x" * 99


def test_a_run_without_rows_fails(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(toy, "outcome", lambda writer, number: ItemOutcome())
    assert toy.run("--out", tmp_path, "--limit", 3) == 1
    assert "no rows; rejects" in capsys.readouterr().err
