"""WIT in shards, killed and resumed, and stopped by Ctrl-C."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ndino.data.io.fetch import Politeness
from ndino.data.sources import wit
from tests.commands import data as main
from tests.data.io.server import Server, content, status
from tests.data.samples.wit_tables import SECTION, png, rejects_of, row, rows_of, table
from tests.data.sources.test_wit import run, write


def files_of(out: Path) -> dict[str, bytes]:
    """All that is there in the end; the manifest without the commit, which may change while tests run."""
    images = sorted((out / "images").rglob("*.*"))
    files = [*images, *(out / name for name in ("data.jsonl", "rejects.jsonl", "README.md"))]
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["commit"]
    found = {str(path.relative_to(out)): path.read_bytes() for path in files}
    return found | {"manifest.json": json.dumps(manifest).encode()}


@pytest.fixture(scope="module")
def many() -> list[dict[str, str]]:
    """Rows whose images repeat, are missing, come late; some texts are refused."""
    draw = random.Random(0)
    rows = []
    for number in range(90):
        caption = draw.choice(["", "Sì", f"La didascalia numero {number}", "Una didascalia che ritorna"])
        rows.append(
            row(
                draw.choice(["it", "it", "it", "de"]),
                image_url=f"/{draw.randrange(60)}.png",
                caption_reference_description=caption,
                context_section_description=f"{SECTION}\nNumero {number % 70}.",
            )
        )
    return rows


def serve(many: list[dict[str, str]], hold: float = 0) -> Server:
    addresses = sorted({row["image_url"] for row in many})
    answers = {path: content(png(number)) for number, path in enumerate(addresses)}
    return Server({path: answers[path] for path in addresses[5:]}, hold=hold)


def tables_at(server: Server, many: list[dict[str, str]], folder: Path) -> list[Path]:
    rows = [row | {"image_url": server.url(row["image_url"])} for row in many]
    first, second = folder / "1.tsv.gz", folder / "2.tsv"
    first.write_bytes(gzip.compress(table(rows[:40]), mtime=0))
    second.write_bytes(table(rows[40:]).replace(b"numero 77", b"numero \xff"))
    return [second, first]


def test_the_result_does_not_depend_on_shards_or_file_order(
    tmp_path: Path, many: list[dict[str, str]]
) -> None:
    with serve(many) as server:
        tables = tables_at(server, many, tmp_path)
        assert run(tables, tmp_path / "one") == 0
        before = server.hits.copy()
        assert set(before.values()) == {1}
        assert run(tables, tmp_path / "one") == 0
        assert server.hits == before
        for index in (2, 0, 1):
            assert run(tables[::-1], tmp_path / "three", "--shard", f"{index}/3") == 0
        assert main(["merge", str(tmp_path / "three")]) == 0
        assert run(tables, tmp_path / "few", "--limit", "10") == 0
    one = files_of(tmp_path / "one")
    assert one == files_of(tmp_path / "three")
    assert len(rows_of(tmp_path / "one")) > 60
    assert not list(tmp_path.rglob("*.sqlite*"))
    few = rows_of(tmp_path / "few")
    assert few and few == rows_of(tmp_path / "one")[: len(few)]
    ids = [found["id"] for found in rows_of(tmp_path / "one")]
    assert len(set(ids)) == len(ids)


def test_a_run_killed_at_random_resumes_and_downloads_nothing_twice(
    tmp_path: Path, many: list[dict[str, str]]
) -> None:
    draw, kills = random.Random(7), 0
    with serve(many, hold=0.02) as server:
        tables = tables_at(server, many, tmp_path)
        assert run(tables, tmp_path / "whole") == 0
        asked = len(server.hits)
        server.hits.clear()
        options = ["--contact", "tests@example.org", "--seconds-between", "0", "--out", str(tmp_path / "out")]
        command = [sys.executable, "-m", "ndino", "data", "wit", *map(str, tables), *options]
        while True:
            goal = server.hits.total() + draw.randint(3, 20)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and server.hits.total() < goal:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.03))
            process.kill()
            if process.wait() != -signal.SIGKILL:
                break
            kills += 1
        assert process.returncode == 0 and kills
        # An image is written down by the thread that asked for it, before it takes up another one: asked for
        # again is at most one a thread.
        in_hand = Politeness.connections_per_host + wit.WAITING
        assert len(server.hits) == asked and server.hits.total() <= asked + in_hand * kills
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_ctrl_c_does_not_wait_for_retry_after(tmp_path: Path) -> None:
    answers = {"/1.png": content(png(1)), "/2.png": status(429, {"Retry-After": "250"})}
    with Server(answers) as server:
        path = write(tmp_path / "wit.tsv", table([row(image_url=server.url(path)) for path in answers]))
        options = ["--contact", "tests@example.org", "--seconds-between", "0", "--out", str(tmp_path / "out")]
        command = [sys.executable, "-m", "ndino", "data", "wit", str(path), *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not server.hits["/2.png"]:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == 130 and "stopped" in errors and "Traceback" not in errors
        server.routes["/2.png"] = content(png(2))
        assert run([path], tmp_path / "out") == 0
        assert server.hits == {"/1.png": 1, "/2.png": 2}
    assert len(rows_of(tmp_path / "out")) == 4 and not rejects_of(tmp_path / "out")
