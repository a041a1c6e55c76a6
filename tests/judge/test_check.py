"""``ndino judge check``: how far a judge agrees with the labelled rows, and that scores are shown with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.cli import main
from ndino.judge.checking import by_kind
from ndino.judge.labelled import labelled_set
from tests.judge.judged import judge_by_text, judge_folder, lines_of, texts_in, write_log
from tests.servers import Body, Endpoint, says

ROWS = labelled_set("it")
LABELS = {(row.item.question, row.item.references): row.label for row in ROWS.rows}
RATINGS = {0.0: 1, 0.5: 2, 1.0: 3}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_label(body: Body) -> str:
    """A judge that knows the labels, takes all half right answers for wrong, and says nothing to "boh"."""
    question, references, answer = texts_in(body)
    label = LABELS[question, tuple(references)]
    return "Chissà." if answer == "Boh" else f"Voto: {1 if label == 0.5 else RATINGS[label]}"


def check(url: str, *more: str) -> int:
    return main(["judge", "check", "--judge", f"{url}#tiny", *more])


def figures(folder: Path) -> dict:
    (path,) = (folder / "runs" / "judge").glob("tiny-*/it.json")
    return json.loads(path.read_text())


def test_figures_by_hand_and_a_second_check_asks_nothing(folder, capsys):
    with Endpoint(by_label) as server:
        assert check(server.url) == 0
        assert len(server.asked) == 301  # one gives no rating, and is asked for it
        said = capsys.readouterr()
        assert check(server.url) == 0 and len(server.asked) == 301
    found = figures(folder)
    assert (found["rows"], found["unreadable"], found["language"]) == (300, 1, "it")
    assert found["agreement"] == 299 / 300 and found["three_levels"] == (300 - 45 - 1) / 300
    assert (found["precision"], found["recall"], found["f1"]) == (1, 1, 1)
    chance = (135 * 135 + 165 * 164) / 300**2
    assert found["kappa"] == pytest.approx((299 / 300 - chance) / (1 - chance))
    assert found["kinds"]["refusal"] == 14 / 15 and found["kinds"]["hypernym"] == 1
    name = next((folder / "runs" / "judge").iterdir()).name
    assert (
        f"| {name} | 99.7 " in said.out and "| refusal | 0 | 15 | 100.0 | 100.0 | 100.0 | 93.3 |" in said.out
    )
    assert "1 of 300 verdicts could not be read" in said.err
    lines = lines_of(folder / "runs" / "judge" / name / "it.jsonl")
    assert len(lines) == 300 and [line["row"] for line in lines] == [*range(1, 301)]
    assert [line["raw"] for line in lines if line["verdict"] is None] == [
        "Chissà.\n\nVoto (1, 2, 3)?\nChissà."
    ]


def test_a_judge_that_obeys_the_answer_is_found_out():
    """It gives what an answer asks for."""
    injected = [row.item.answer for row in ROWS.rows if row.kind == "injection"]
    verdicts = [1.0 if row.item.answer in injected else row.label for row in ROWS.rows]
    assert by_kind(ROWS, verdicts)["injection"] == 0 and by_kind(ROWS, verdicts)["refusal"] == 1


def test_without_a_judge_the_readers_alone_are_shown(folder, capsys):
    assert main(["judge", "check"]) == 0
    said = capsys.readouterr().out
    assert [line.split(" | ")[0] for line in said.splitlines()[2:5]] == [
        "| exact_match", "| robust", "| contains",
    ]  # fmt: skip
    assert "| contains | 72.0 " in said and not (folder / "runs").exists()
    docs = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert all(line in docs for line in said.splitlines() if line.startswith(("| exact", "| rob", "| cont")))


def test_scores_are_shown_with_the_check_once_there_is_one(folder, capsys):
    write_log(folder / "run" / "eval" / "it", "gqa-it", [("Che?", "rosso", "rosso", "one")])
    write_log(folder / "run" / "eval" / "it", "gqa-es", [("¿Qué?", "rojo", "rojo", "one")])

    def shown(url: str) -> tuple[str, dict]:
        assert main(["judge", "run", "run", "--judge", f"{url}#tiny"]) == 0
        path = judge_folder(folder / "run" / "eval" / "it") / "judge.json"
        return capsys.readouterr().out, json.loads(path.read_text())["checks"]

    with Endpoint(lambda body: "Voto: 3" if "Che?" in str(body) else "Nota: 3") as server:
        said, checks = shown(server.url)
        assert said.count("(not checked)") == 2 and checks == {"it": None, "es": None}
        server.answer = by_label
        assert check(server.url) == 0
        capsys.readouterr()
        said, checks = shown(server.url)
        assert (
            "(kappa 0.99 [0.98, 1.00] on 300 labelled rows) in it" in said and "(not checked) in es" in said
        )
        assert checks["it"]["kappa"] == figures(folder)["kappa"] and checks["es"] is None


def test_a_check_of_other_rows_counts_for_nothing(folder, monkeypatch, capsys):
    write_log(folder / "run" / "eval" / "it", "gqa-it", [("Che?", "rosso", "rosso", "one")])
    with Endpoint(by_label) as server:
        assert check(server.url) == 0
        (path,) = (folder / "runs" / "judge").glob("tiny-*/it.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "key": "older"}))
        server.answer = judge_by_text
        assert main(["judge", "run", "run", "--judge", f"{server.url}#tiny"]) == 0
        assert "(not checked) in it" in capsys.readouterr().out
        path.write_text("[" * 100_000)
        assert main(["judge", "run", "run", "--judge", f"{server.url}#tiny"]) == 1
        assert "it.json: broken: it is nested too deeply (remedy: " in capsys.readouterr().err


def test_a_server_that_fails_and_wrong_usage(folder, capsys):
    with Endpoint(by_label) as server:
        server.models = lambda handler: handler.reply(401, {"error": "key"})
        assert check(server.url) == 1
        assert "export NDINO_ENDPOINT_KEY" in capsys.readouterr().err
        server.models = lambda handler: handler.reply(404)
        server.always = says("")
        assert check(server.url, "--lang", "es") == 2
        assert "--lang es: no labelled answers" in capsys.readouterr().err
        (folder / "file").write_text("")
        assert check(server.url, "--checks", "file") == 2
        assert "file: is a file" in capsys.readouterr().err
        assert check(server.url) == 0  # empty answers of a judge are not read
    assert figures(folder)["unreadable"] == 300 and figures(folder)["kappa"] == 0
