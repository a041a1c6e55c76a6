"""Instruction text without images: the published layouts, what is refused, and what training reads."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from ndino.data.framework.merge import merge
from ndino.data.io.text import TextError
from ndino.data.sources.text.layouts import turns_of
from ndino.formats.llava_json import read_conversations
from tests.commands import data as main
from tests.data.same import assert_same_folders

ASKED, SAID = "Perché il cielo è blu?", "Perché l'aria disperde soprattutto la luce blu del sole."
MORE, AGAIN = "E al tramonto?", "Al tramonto la luce attraversa più aria, e resta soprattutto il rosso."
ONE = [("user", ASKED), ("assistant", SAID)]
TWO = [*ONE, ("user", MORE), ("assistant", AGAIN)]


ENGLISH = "Traduci: the sky is blue and the sun is red"
NOT_IN_TURN = "user and assistant do not speak in turn"


def shared(*speakers: str) -> list[dict]:
    """A conversation as ShareGPT's are written."""
    texts = (ASKED, SAID, MORE, AGAIN)
    return [{"from": speaker, "value": text} for speaker, text in zip(speakers, texts, strict=False)]


def chat(*speakers: str) -> list[dict]:
    """The same as OpenAI's are."""
    return [{"role": message["from"], "content": message["value"]} for message in shared(*speakers)]


def alpaca(asked: str = ASKED, said: str = SAID, **more: object) -> dict:
    return {"instruction": asked, "input": "", "output": said, **more}


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        (alpaca(), ONE),
        (
            {"instruction": "Rispondi.", "input": ASKED, "output": f" {SAID}\n"},
            [("user", f"Rispondi.\n\n{ASKED}"), ONE[1]],
        ),
        ({"instruction": ASKED, "context": None, "response": SAID, "category": "open_qa"}, ONE),
        ({"inputs": ASKED, "targets": SAID}, ONE),
        ({"prompt": ASKED, "completion": SAID}, ONE),
        ({"system_prompt": "", "question": ASKED, "response": SAID}, ONE),
        ({"id": "7_0", "conversations": shared("human", "gpt", "human", "gpt")}, TWO),
        # ShareGPT's conversations often end with a question.
        ({"conversations": shared("human", "gpt", "human")}, ONE),
        (
            {
                "prompt": "x",
                "messages": chat("user", "assistant", "user", "assistant"),
            },
            TWO,
        ),
        (
            {
                "messages": [
                    {"role": "system", "content": " "},
                    *chat("user", "assistant"),
                ]
            },
            ONE,
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": ASKED}]},
                    {"role": "assistant", "content": SAID},
                ]
            },
            ONE,
        ),
    ],
)
def test_published_layouts(row, turns):
    assert [(turn.role, turn.text) for turn in turns_of(row)] == turns


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("text", "not an object"),
        ({"text": SAID}, "in no known layout"),
        (alpaca(said=" "), "no answer"),
        (alpaca(asked=""), "a message without text"),
        ({"instruction": ASKED, "output": [SAID]}, "a text is not text"),
        ({"instruction": ASKED}, "no answer"),
        (alpaca(image="a.png"), "has an image"),
        (alpaca(system="Rispondi come un pirata."), "has a system message"),
        ({"messages": [{"role": "system", "content": "Sii breve."}]}, "has a system message"),
        ({"messages": chat("user", "tool")}, "a message of somebody unknown"),
        ({"messages": chat("user")}, "no answer"),
        ({"messages": chat("assistant")}, NOT_IN_TURN),
        (
            {"conversations": shared("human", "human", "gpt")},
            "user and assistant do not speak in turn",
        ),
        ({"conversations": "[]"}, "no list of messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "a"}]}]},
            "has an image",
        ),
    ],
)
def test_what_is_no_conversation_has_a_reason(row, reason):
    with pytest.raises(TextError) as refused:
        turns_of(row)
    assert refused.value.reason == reason


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder with a JSON list, lines and a table, good rows and others."""
    folder = tmp_path / "istruzioni"
    (folder / "data").mkdir(parents=True)
    english = "Because the air scatters the blue light of the sun more than the red light."
    code = f"Ecco come si fa:\n```\nfor number in range(12):\n    print('the number is', number)\n```\n{SAID}"
    (folder / "a.json").write_text(
        json.dumps([alpaca(), alpaca(), alpaca(said=english), alpaca("Come?", code), alpaca("Dimmi", "Sì.")])
    )
    lines = [
        json.dumps({"conversations": shared("human", "gpt", "human", "gpt")}),
        '{"conversations": [',
        "",
        json.dumps(alpaca("Che cosa vedi? <image>")),
        json.dumps(alpaca(said=f"{SAID}<|im_end|>")),
        json.dumps(alpaca("Chi?", SAID + "\ud800")),
        json.dumps(alpaca(ENGLISH, "Il cielo è blu e il sole è rosso.")),
    ]
    (folder / "b.jsonl").write_text("\n".join(lines))
    (folder / "data" / "dataset_info.json").write_text("{}")
    rows = [
        {"inputs": MORE, "targets": AGAIN, "language": "ita"},
        {"inputs": ASKED, "targets": SAID, "language": ""},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "data" / "c.parquet")
    return folder


def run(source: Path, out: Path, *arguments: str) -> Path:
    assert main(["text", "--source", str(source), "--lang", "it", "--out", str(out), *arguments]) == 0
    return out


def test_rows_of_every_file_kind_become_llava_rows_without_an_image(published, tmp_path, capsys):
    out = run(published, tmp_path / "out")
    rows = list(read_conversations(out / "data.jsonl"))
    asked = [row.turns[0].text for row in rows]
    assert asked == [ASKED, "Come?", "Dimmi", ASKED, ENGLISH, MORE]
    assert {row.images for row in rows} == {()} and len(rows[3].turns) == 4
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert {one["where"]: one["reason"] for one in rejects} == {
        "a.json row 2": "same text as before",
        "a.json row 3": "not in the language it",
        "b.jsonl row 2": "broken JSON",
        "b.jsonl row 4": "control token",
        "b.jsonl row 5": "control token",
        rejected_row(rejects): "not a LLaVA row: message 2 holds half of a surrogate pair",
        "c.parquet row 2": "same text as before",
    }
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["lang"] == "it" and manifest["images"] == 0
    assert manifest["rows"] == {"total": 6, "sources": {"text/istruzioni": 6}}
    assert [one["file"] for one in manifest["inputs"]] == ["a.json", "b.jsonl", "c.parquet"]
    assert main(["check", str(out)]) == 0
    # An id says the content, so a row keeps its own wherever it is in the files.
    (published / "b.jsonl").unlink()
    less = {row.id for row in read_conversations(run(published, tmp_path / "less") / "data.jsonl")}
    assert len(less) == 4 and less < {row.id for row in rows}


def rejected_row(rejects: list[dict]) -> str:
    (where,) = (one["where"] for one in rejects if one["where"].startswith("text/istruzioni-"))
    return where


def test_shards_give_the_same_bytes(published, tmp_path):
    one = run(published, tmp_path / "one")
    for index in range(2):
        run(published, tmp_path / "two", "--shard", f"{index}/2")
    merge(tmp_path / "two")
    assert_same_folders(one, tmp_path / "two")


def test_a_language_that_cannot_be_told_refuses_nothing(published, tmp_path, capsys):
    assert (
        main(["text", "--source", str(published / "a.json"), "--lang", "fur", "--out", str(tmp_path / "out")])
        == 0
    )
    assert "fur: cannot be told from other languages" in capsys.readouterr().out
    reasons = Counter(json.loads(line)["reason"] for line in (tmp_path / "out" / "rejects.jsonl").open())
    assert reasons == {"same text as before": 1}


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("a.json", b'{"instruction": "Chi?"}', 1, "a.json row 1: it is no list (remedy: a list of rows"),
        ("a.json", b'[{"instruction": "Chi?"}, {"in', 1, "a.json row 2: "),
        ("a.parquet", b"PAR1", 1, "a.parquet: "),
        ("a.csv", b"instruction,output", 2, "a.csv: of a kind that cannot be read"),
        (
            "a.jsonl",
            b'{"text": "Ciao."}',
            1,
            "has the reasons: in no known layout (1)",
        ),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, capsys, name, content, code, said):
    (tmp_path / name).write_bytes(content)
    assert main(["text", "--source", str(tmp_path / name), "--out", str(tmp_path / "out")]) == code
    assert said in capsys.readouterr().err


def test_files_that_a_folder_has_and_that_are_not_read_are_named(published, tmp_path, capsys):
    for name in ("c.csv", "data/z.jsonl.gz", "notes.txt", ".cache/lock"):
        (published / name).parent.mkdir(exist_ok=True)
        (published / name).write_bytes(b"x")
    run(published, tmp_path / "out")
    named = "not read, as they are not .jsonl, .json or .parquet: c.csv, data/z.jsonl.gz, notes.txt\n"
    assert f"{published}: {named}" in capsys.readouterr().err
    for number in range(30):
        (published / f"d{number:02}.csv").write_bytes(b"x")
    run(published, tmp_path / "more")
    assert "c.csv, d00.csv, " in (said := capsys.readouterr().err) and ", d08.csv and 23 more\n" in said
    run(published / "a.json", tmp_path / "one")
    assert "not read" not in capsys.readouterr().err


def test_a_table_without_a_known_column_names_those_that_it_has(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    parquet.write_table(pyarrow.table({"testo": ["Ciao."]}), tmp_path / "in" / "a.parquet")
    command = ["text", "--source", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert "no column of a known layout among testo (remedy: rename them" in capsys.readouterr().err
    for code in ("IT!", "xx", "italian"):
        assert main([*command, "--lang", code]) == 2
    (tmp_path / "in" / "a.parquet").unlink()
    assert main(command) == 2
    assert "no .jsonl, .json or .parquet file in it" in capsys.readouterr().err
