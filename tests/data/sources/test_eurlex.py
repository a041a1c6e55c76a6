"""EUR-Lex from numbers to rows, with a local server and Tesseract."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ndino.data.errors import DataError
from ndino.data.io.fetch import politeness_from
from ndino.data.io.ocr import open_tesseract
from ndino.data.sources import eurlex
from ndino.formats.llava_json import read_conversations
from tests.commands import data as main
from tests.data.io.made_pdfs import ENGLISH, ITALIAN, blank, encrypted, italian, lines, pdf, sideways
from tests.data.io.server import Server, broken, content, in_turn, slow, status

PDF = "application/pdf"
PAGE = italian(1)
pytestmark = pytest.mark.system


@pytest.fixture(scope="module", autouse=True)
def _tesseract():
    try:
        open_tesseract("ita")
    except DataError as error:
        pytest.skip(str(error))


def impatient(args):
    """Tries and pauses that a test can wait for."""
    return replace(politeness_from(args), attempts=3, timeout_seconds=3, longest_wait_seconds=0.05)


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "data.jsonl").read_text().splitlines()]


def rejects_of(out: Path) -> dict[str, str]:
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    return {reject["where"]: reject["reason"] for reject in rejects}


def text_of(row: dict) -> str:
    return row["conversations"][1]["value"]


def number_of(position: int) -> str:
    return f"3{2000 + position}R0001"


def listed(tmp_path: Path, *numbers: str) -> str:
    path = tmp_path / "numbers.txt"
    path.write_text("\n".join(numbers))
    return str(path)


def run(*arguments: object) -> int:
    return main(["eurlex", *map(str, arguments), "--contact", "tests@example.org", "--seconds-between", "0"])


DOCUMENTS = {
    "good": content(PAGE, PDF),
    "late": in_turn(status(429, {"Retry-After": "0"}), status(202, body=b""), content(italian(2), PDF)),
    "broken": in_turn(broken(italian(3), 900), content(italian(3), PDF)),
    "slow": slow(b"%PDF-" + bytes(100), 0.1, PDF),
    "html": content(b"<!DOCTYPE html><html><body>Il documento", "application/pdf"),
    "robots": status(202, {"x-amzn-waf-action": "challenge"}, b""),
    "missing": status(404),
    "truncated": content(PAGE[:-200], PDF, length=-1),
    "empty": content(b"", PDF),
    "locked": content(encrypted(PAGE, "segreto"), PDF),
    "pages": content(pdf(*[lines(f"Articolo {n}", *ITALIAN) for n in range(3)]), PDF),
    "mixed": content(pdf(blank, lines("Allegato I"), lines(*ENGLISH), lines(*ITALIAN)), PDF),
    "sideways": content(pdf(sideways(*ITALIAN), size=(420, 450)), PDF),
}
NUMBER = {name: number_of(position) for position, name in enumerate(DOCUMENTS)}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """All kinds of documents at once: the result's folder and the server that was asked."""
    folder = tmp_path_factory.mktemp("eurlex")
    asked = []

    def watched(answer):
        def watch(request):
            asked.append((request.path, request.headers["Accept"], request.headers["Accept-Language"]))
            answer(request)

        return watch

    routes = {f"/it/IT/{NUMBER[name]}": watched(answer) for name, answer in DOCUMENTS.items()}
    links = b"<body><ul><a href='/cellar/DOC_1'>1</a><a href='/cellar/DOC_2'>2</a></ul></body>"
    routes |= {
        "/it/IT/32020D0001": watched(status(300, body=links)),
        "/cellar/DOC_1": watched(content(italian(4), PDF)),
        "/cellar/DOC_2": watched(content(pdf(lines("Allegato", *ITALIAN), blank), PDF)),
    }
    numbers = [*NUMBER.values(), "32020D0001", NUMBER["good"], "Titolo"]
    with pytest.MonkeyPatch.context() as patch, Server(routes) as server:
        patch.setattr("ndino.data.sources.eurlex.politeness_from", impatient)
        url = server.url("/{lang}/{LANG}/{celex}")
        assert run(listed(folder, *numbers), "--out", folder / "out", "--url", url, "--pages", 4) == 0
        yield folder, server, asked, url


def test_rows_are_pages_with_their_text(done):
    folder, _, _, _ = done
    rows = rows_of(folder / "out")
    pages = [f"{NUMBER[name]}/1" for name in ("good", "late", "broken")]
    pages += [f"{NUMBER['pages']}/{page}" for page in (1, 2, 3)] + [f"{NUMBER['mixed']}/4"]
    pages += ["32020D0001/1", "32020D0001.2/1"]
    assert [row["id"] for row in rows] == [f"eurlex/{page}" for page in pages]
    assert text_of(rows[0]).split() == " ".join(["Articolo 1", *ITALIAN]).split()
    assert {row["source"] for row in rows} == {"eurlex"}
    checked = list(read_conversations(folder / "out" / "data.jsonl", image_folder=folder / "out" / "images"))
    assert len(checked) == len(rows) and {row.turns[0].text for row in checked} == {"<image>"}


def test_every_reject_has_its_reason(done):
    folder, _, _, _ = done
    assert rejects_of(folder / "out") == {
        NUMBER["slow"]: "timed out",
        NUMBER["html"]: "wrong kind of file: text/html",
        NUMBER["robots"]: "HTTP 202",
        NUMBER["missing"]: "HTTP 404",
        NUMBER["truncated"]: "truncated",
        NUMBER["empty"]: "empty answer",
        NUMBER["locked"]: "encrypted",
        f"eurlex/{NUMBER['mixed']}/1": "blank page",
        f"eurlex/{NUMBER['mixed']}/2": "too little text",
        f"eurlex/{NUMBER['mixed']}/3": "not in the language it",
        f"eurlex/{NUMBER['sideways']}/1": "too little confidence",
        "eurlex/32020D0001.2/2": "blank page",
        NUMBER["good"]: "given twice",
        "Titolo": "not a CELEX number",
    }
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert manifest["counts"] == {"eurlex/documents": 16, "eurlex/pages": 14, "eurlex/pages tried": 14}
    assert manifest["settings"]["tesseract"].startswith("tesseract ")
    assert manifest["inputs"][0]["file"] == "numbers.txt" and manifest["lang"] == "it"


def test_pdfs_are_requested_in_the_language_and_only_once(done):
    _, server, asked, _ = done
    assert {language for _, _, language in asked} == {"ita"}
    assert all(
        accepted.startswith("application/pdf, application/pdf;type=pdfa1a") for _, accepted, _ in asked
    )
    again = {NUMBER["late"]: 3, NUMBER["broken"]: 2, NUMBER["slow"]: 3, NUMBER["robots"]: 3}
    assert server.hits == {
        **{f"/it/IT/{number}": again.get(number, 1) for number in NUMBER.values()},
        "/it/IT/32020D0001": 1, "/cellar/DOC_1": 1, "/cellar/DOC_2": 1,
    }  # fmt: skip


def test_a_finished_run_is_not_repeated(done, capsys):
    folder, server, _, url = done
    hits = server.hits.copy()
    assert run(folder / "numbers.txt", "--out", folder / "out", "--url", url, "--pages", 4) == 0
    assert server.hits == hits and "already complete" in capsys.readouterr().out


def test_kept_pdfs_give_the_same_rows_and_shards_the_same_bytes(done, tmp_path):
    """From the PDFs that were kept, as a whole and in three parts: no network, no contact."""
    folder, server, _, _ = done
    hits, kept = server.hits.copy(), tmp_path / "pdfs"
    shutil.copytree(folder / "out" / "pdfs", kept)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["eurlex", "--pdfs", str(kept), "--out", str(whole)]) == 0
    for index in (2, 0, 1):
        assert main(["eurlex", "--pdfs", str(kept), "--out", str(parts), "--shard", f"{index}/3"]) == 0
    assert main(["merge", str(parts)]) == 0
    for name in ("data.jsonl", "rejects.jsonl", "README.md"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    by_path = sorted(rows_of(folder / "out"), key=lambda row: Path(row["id"]).parent.name + ".pdf")
    assert rows_of(whole) == by_path
    assert server.hits == hits


def test_other_settings_are_refused(done, capsys):
    folder, _, _, url = done
    assert run(folder / "numbers.txt", "--out", folder / "out", "--url", url, "--pages", 2) == 1
    assert "other settings: rendering" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--pdfs", "nowhere"], 2, "nowhere: no such folder"),
        (["--pdfs", "."], 1, "no PDF in it"),
        (["nowhere.txt", "--contact", "a@b"], 2, "nowhere.txt: not a file, a folder or a data set"),
        (["numbers.txt", "--contact", "me"], 2, "--contact 'me': not an e-mail"),
        (["numbers.txt", "--url", "http://a/{CELEX}"], 2, "no template (remedy: with {celex}"),
        (["numbers.txt", "--url", "http://a/{celex}{0}"], 2, "no template (remedy: with {celex}"),
        (["numbers.txt", "--url", "http://a/{celex:d}"], 2, "no template (remedy: with {celex}"),
        (["numbers.txt", "--url", "http://a/{celex"], 2, "no template (remedy: with {celex}"),
        (["numbers.txt"], 2, "--contact is missing"),
        (["numbers.txt", "--lang", "mt"], 1, "apt-get install tesseract-ocr-mlt"),
    ],
)
def test_mistakes_are_reported_before_any_work(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    listed(tmp_path, number_of(0))
    with Server() as server:
        url = (
            ["--url", server.url("/{celex}")]
            if "--url" not in arguments and "--pdfs" not in arguments
            else []
        )
        assert main(["eurlex", *arguments, *url, "--out", "out"]) == code
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
        assert not server.hits and not Path("out").exists()


def test_without_tesseract_its_package_is_named(tmp_path):
    (tmp_path / "a.pdf").write_bytes(PAGE)
    command = [sys.executable, "-m", "ndino", "data", "eurlex", "--pdfs", tmp_path, "--out", tmp_path / "out"]
    done = subprocess.run(
        command, env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "tesseract is not installed" in done.stderr and "apt-get install tesseract-ocr-ita" in done.stderr


def test_a_run_without_rows_fails(tmp_path, capsys):
    (tmp_path / "a.pdf").write_bytes(pdf(lines(*ENGLISH)))
    assert main(["eurlex", "--pdfs", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no rows; rejects" in capsys.readouterr().err


def test_a_torn_document_is_downloaded_again_and_the_others_are_not(tmp_path, monkeypatch):
    asked = []

    def watched(request):
        asked.append(request.path)
        content(italian(1), PDF)(request)

    torn = in_turn(content(PAGE[:-200], PDF, length=-1), content(PAGE, PDF))
    monkeypatch.setattr("ndino.data.sources.eurlex.politeness_from", impatient)
    with Server({f"/{number_of(1)}": watched, f"/{number_of(2)}": torn}) as server:
        command = [listed(tmp_path, number_of(1), number_of(2)), "--out", tmp_path / "out"]
        command += ["--url", server.url("/{celex}")]
        assert run(*command) == 0
        assert rejects_of(tmp_path / "out") == {number_of(2): "truncated"}
        assert run(*command, "--retry-rejects") == 0
    assert [row["id"] for row in rows_of(tmp_path / "out")] == [
        f"eurlex/{number_of(1)}/1",
        f"eurlex/{number_of(2)}/1",
    ]
    assert not rejects_of(tmp_path / "out") and len(asked) == 1


def test_limit_takes_the_first_items(tmp_path, monkeypatch):
    for position in range(3):
        (tmp_path / f"-{position}.PDF").write_bytes(italian(position))
    monkeypatch.chdir(tmp_path)
    assert main(["eurlex", "--pdfs", ".", "--out", "out", "--limit", "2"]) == 0
    assert [row["id"] for row in rows_of(tmp_path / "out")] == ["eurlex/-0/1", "eurlex/-1/1"]


def test_a_run_stopped_at_any_moment_resumes(tmp_path):
    """kill -9, Ctrl-C, SLURM's SIGTERM: the bytes of an undisturbed run, and nothing committed done twice."""
    numbers = [number_of(position) for position in range(10)]
    routes = {f"/{number}": content(italian(position), PDF) for position, number in enumerate(numbers)}
    shim = tmp_path / "bin" / "tesseract"
    shim.parent.mkdir()
    log = tmp_path / "read"
    shim.write_text(f'#!/bin/sh\necho "$1" >> {log}\nexec {shutil.which("tesseract")} "$@"\n')
    shim.chmod(0o755)
    environment = os.environ | {"PATH": f"{shim.parent}:{os.environ['PATH']}"}
    rng = random.Random(7)
    with Server(routes, hold=0.05) as server:

        def start(out: Path) -> subprocess.Popen:
            command = [sys.executable, "-m", "ndino", "data", "eurlex", listed(tmp_path, *numbers)]
            command += ["--out", str(out), "--url", server.url("/{celex}"), "--contact", "tests@example.org"]
            command += ["--seconds-between", "0", "--workers", "1"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            return subprocess.Popen(command, env=environment, start_new_session=True, **quiet)

        assert start(tmp_path / "undisturbed").wait() == 0
        server.hits.clear()
        log.unlink()
        out, kills = tmp_path / "stopped", 0
        # The last two reach the programs that it started, too.
        stops = [
            lambda process: process.send_signal(signal.SIGKILL),
            lambda process: os.killpg(process.pid, signal.SIGINT),
            lambda process: os.killpg(process.pid, signal.SIGTERM),
        ]
        journal = out / "shards" / "00000-of-00001.partial" / "journal.jsonl"
        while True:
            process = start(out)
            before = {path.stem for path in (out / "pdfs").glob("*.pdf")}
            hits = server.hits.copy()
            committed = journal.read_bytes().count(b"\n") if journal.exists() else 0
            # The first kills come once there is something to lose, so that each start makes headway.
            while kills < len(stops) and process.poll() is None:
                now = journal.read_bytes().count(b"\n") if journal.exists() else 0
                if now > committed:
                    time.sleep(rng.random() * 0.3)
                    stops[kills](process)
                    break
                time.sleep(0.01)
            returned = process.wait()
            assert all(server.hits[f"/{number}"] == hits[f"/{number}"] for number in before)
            if returned == 0:
                break
            assert returned in (-signal.SIGKILL, 130, -signal.SIGTERM)
            kills += 1
    assert kills
    for name in ("data.jsonl", "rejects.jsonl", "README.md"):
        assert (out / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    found = [json.loads((folder / "manifest.json").read_text()) for folder in (out, tmp_path / "undisturbed")]
    assert {**found[0], "commit": ""} == {**found[1], "commit": ""}
    images = [{path.name for path in folder.rglob("*.png")} for folder in (out, tmp_path / "undisturbed")]
    assert images[0] == images[1] and len(images[0]) == len(numbers)
    # What was in hand when it was killed is read again: at most the documents of all its threads.
    read = [line for line in log.read_text().splitlines() if not line.startswith("--")]
    assert len(numbers) <= len(read) <= len(numbers) + kills * (1 + eurlex.WAITING)
