"""A file with anything wrong in it: whatever loads the language refuses it, with the line of the check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ndino.chat.session import _has_short_answers
from ndino.cli import main
from ndino.common.parsing import parse_yaml
from ndino.evaluation.tasks.framework.instructions import require_tasks
from ndino.languages import language as languages
from ndino.languages.fields.schema import SECTIONS, schema
from ndino.languages.known.tool_codes import code_for
from ndino.languages.language import LanguageError, language

ITALIAN = (languages.FOLDER / "it.yaml").read_text(encoding="utf-8")
# What each kind of field cannot be.
WRONG: dict[str, tuple[Any, ...]] = {
    "text": (5, ["word"], {"word": 1}, True),
    "words": ("word", 5, {"word": 1}, [5], [False], [["word"]]),
    "counts": ("word", 5, ["word"], {"word": "twenty"}, {"word": 0.5}, {"word": -1}, {"word": True}),
    "values": ("word", 5, ["word"], {"word": "half"}, {"word": -1}, {"word": False}),
    "tables": ("word", 5, ["word"], {"km": "word"}, {"km": [5]}),
    "names": ("word", 5, ["word"], {"num2words": 5}),
}
CASES = [(key, value) for key, field in schema().items() for value in WRONG[field.kind]] + [
    *((section, value) for section in SECTIONS for value in (3, "word", ["word"], {"leeds": ["a"]})),
    ("leeds", ["a"]),
    ("miniature", 3),
    ("short_answer", "X."),
    ("letter_answer", "X."),
    ("explained_answer", "{answer"),
    *(
        (key, yaml.safe_load(ITALIAN)[key].replace("{answer}", braces))
        for key in ("explained_answer", "judge_request")
        for braces in ("{answer:d}", "{answer!r}", "{answer[0]}", "{answer.real}", "{0}", "{}")
    ),
    ("reading.yes", ["no"]),
    # What no word can be.
    *(("reading.excluding", [word]) for word in ("(", "*", " - ", "mai\nmai", "mai\tmai", "\x1b[31m")),
    *(("name", name) for name in ("Ita\x07lian", "\x1b[31mItalian", "Ita\x00lian")),
    *(("said_numbers.words", {"half": value}) for value in (float("nan"), float("inf"), -0.5)),
    ("number_words", {"uno": 10**40}),
    ("markers", {**yaml.safe_load(ITALIAN)["markers"], "answer": ["Risposta:"]}),
]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of a language in a folder of its own, a copy of Italian."""
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    language.cache_clear()
    path = tmp_path / "eu.yaml"
    path.write_text(ITALIAN, encoding="utf-8")
    return path


def said_of(load: Any) -> str:
    with pytest.raises(LanguageError) as caught:
        load()
    return str(caught.value)


def fields_with(key: str, value: Any, fields: dict[str, Any]) -> dict[str, Any]:
    section, _, name = key.rpartition(".")
    return {**fields, section: {**fields[section], name: value}} if section else {**fields, name: value}


@pytest.fixture(scope="module")
def italian() -> dict[str, Any]:
    # Without the longest parts, which no case needs, as parsing takes most of the time.
    found = {key: value for key, value in yaml.safe_load(ITALIAN).items() if key != "miniature"}
    short = {key: value[:3] if isinstance(value, list) else value for key, value in found["reading"].items()}
    within = {"one": [], "either": ["o"], "joining": ["e", "o"]}
    return {**found, "number_words": {"uno": 1}, "reading": short | within}


@pytest.mark.parametrize(("key", "value"), CASES, ids=lambda each: str(each)[:40])
def test_every_field_of_a_wrong_type_is_refused_by_what_loads_it(written, italian, key, value):
    wrong = fields_with(key, value, italian)
    written.write_text(yaml.safe_dump(wrong, allow_unicode=True), encoding="utf-8")
    (first, *_) = languages.written_fields("eu").wrong
    said = f"language 'eu': {first} (remedy: ndino language check eu names all that is wrong)"
    assert first.startswith(key)
    loaders = (language, require_tasks, lambda code: code_for("madlad", code))
    assert [said_of(lambda load=load: load("eu")) for load in loaders] == [said] * 3


@pytest.mark.parametrize(
    "change",
    [
        ("  announcers: [", "  announcers: word\n  was: ["),
        ("number_words: {", "number_words: {hogei: twenty, "),
        ('short_answer: "\\n', 'short_answer: "'),
        ("  leads: [", "  leeds: ["),
    ],
    ids=lambda change: change[1].split(":")[0].strip(),
)
def test_the_commands_say_the_line_of_the_check(written, capsys, change):
    assert change[0] in ITALIAN
    written.write_text(ITALIAN.replace(*change, 1), encoding="utf-8")
    assert main(["language", "check", "eu"]) == 1
    shown = capsys.readouterr().out
    (line, *_) = languages.written_fields("eu").wrong
    assert f"\nWrong\n  {line}\n" in shown
    assert "ready" not in shown.partition("\nReady\n")[2]
    assert main(["tasks", "eu", "--out", str(written.parent / "tasks")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"language 'eu': {line} (remedy: ndino language check eu" in said


def test_a_sound_file_is_loaded(written):
    assert language("eu").yes[0] == "sì" and not languages.written_fields("eu").wrong


def test_a_field_that_is_given_twice_is_refused_with_both_lines(written, capsys):
    written.write_text(f"{ITALIAN}\nreading: {{leads: [a]}}\n", encoding="utf-8")
    lines = [n for n, line in enumerate(written.read_text().splitlines(), 1) if line.startswith("reading:")]
    wanted = f"eu.yaml line {lines[1]}: reading is given twice (first in line {lines[0]}) (remedy: "
    for command in (["language", "check", "eu"], ["tasks", "eu", "--out", str(written.parent / "tasks")]):
        assert main(command) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert wanted in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        *(("a: 2020-13-45", 1), ("a: 1" + "0" * 5000, 1), ("a: 1\nb: !!int x", 2)),
        *(("a: !!timestamp x", 1), ("a: 1\n\nb: \0", 3)),
    ],
    ids=lambda each: str(each)[:12],
)
def test_what_only_looks_like_a_date_or_number_or_is_no_text_is_refused_with_its_line(
    written, capsys, text, line
):
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        parse_yaml(text)
    assert caught.value.problem_mark.line + 1 == line
    written.write_text(f"name: Basque\n{text}\n", encoding="utf-8")
    assert main(["language", "check", "eu"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"eu.yaml line {line + 1}: no YAML, " in said and len(said) < 400


def test_an_empty_list_of_a_needed_field_is_named_by_the_check_and_by_what_loads_it(written, capsys):
    text = yaml.safe_load(ITALIAN) | {"yes": []}
    written.write_text(yaml.safe_dump(text, allow_unicode=True), encoding="utf-8")
    assert main(["language", "check", "eu"]) == 0
    ready = capsys.readouterr().out.partition("\nReady\n")[2]
    assert ready.count("not yet  without yes") == 3 and "yes is missing" in ready
    assert "yes is missing (remedy: " in said_of(lambda: language("eu"))


def test_the_chat_page_offers_the_other_languages(written):
    (written.parent / "it.yaml").write_text(ITALIAN, encoding="utf-8")
    written.write_text("name: Basque\n", encoding="utf-8")
    assert [code for code in languages.codes() if _has_short_answers(code)] == ["it"]


def test_a_file_in_the_place_of_the_tasks_is_one_line(written, tmp_path, capsys):
    (tmp_path / "tasks").write_text("")
    assert main(["tasks", "eu", "--out", str(tmp_path / "tasks")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "tasks: is a file, not a folder (remedy: " in said


@pytest.mark.parametrize("command", ["new", "check"])
def test_a_code_in_capitals_is_named_in_small_letters(written, capsys, command):
    assert main(["language", command, "EU"]) == 2
    assert "'EU': not a language code (remedy: the code is eu)" in capsys.readouterr().err


def test_copies_of_a_file_and_what_editors_write_are_no_languages(written):
    for name in ("eu copy", ".#eu", "eu (1)", "eu~", ""):
        (written.parent / f"{name}.yaml").write_text("name: [", encoding="utf-8")
    assert languages.codes() == ["eu"]
    assert main(["language", "check", "eu copy"]) == 2
