"""`ndino language check` and `ndino language new`, by the command."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ndino.cli import main
from ndino.languages import language as languages
from ndino.languages.adding.new import TODO
from ndino.languages.adding.probes import Probes
from ndino.languages.fields.schema import flattened, schema, sound_fields
from ndino.languages.language import LanguageError, fields_of, language
from ndino.languages.lexicon import lexicon, stamp_words
from tests.languages.shipped import SHIPPED

README = (languages.FOLDER / "README.md").read_text(encoding="utf-8")
Said = tuple[int, str]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder of languages with Italian and English."""
    for code in ("it", "en"):
        shutil.copy(languages.FOLDER / f"{code}.yaml", tmp_path)
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    language.cache_clear()
    yield tmp_path
    language.cache_clear()


@pytest.fixture
def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Changes Italian (``key`` or ``section.key`` to a value, None to leave it out), and checks it."""

    def run(changes: dict | str) -> Said:
        fields = yaml.safe_load((folder / "it.yaml").read_text(encoding="utf-8"))
        for key, value in changes.items() if isinstance(changes, dict) else ():
            section, _, name = key.rpartition(".") if isinstance(key, str) else ("", "", key)
            section = fields[section] if section else fields
            section[name] = value
            if value is None:
                del section[name]
        text = (
            changes
            if isinstance(changes, str)
            else yaml.safe_dump(fields, allow_unicode=True, sort_keys=False)
        )
        (folder / "it.yaml").write_text(text, encoding="utf-8")
        code = main(["language", "check", "it"])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def states(said: str) -> dict[str, str]:
    return {
        name: re.split(r"\s{2,}", rest.strip())[0]
        for name, rest in re.findall(
            r"^  (data|tasks|judge|demo)  +(.*)$", said.partition("\nReady\n")[2], re.MULTILINE
        )
    }


@pytest.mark.parametrize("code", SHIPPED)
def test_what_is_shipped_is_sound(capsys, code):
    assert main(["language", "check", code]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    # Of English there are only the words of a language translated from, and the miniature's.
    ready = dict.fromkeys(("data", "tasks", "judge", "demo"), "ready")
    english = ready | {"data": "works with less", "tasks": "not yet", "demo": "not yet"}
    assert states(said) == (english if code == "en" else ready), said


def test_every_field_is_in_the_reference():
    keys = {key.rpartition(".")[2] for key in schema()}
    assert not {key for key in keys if f"`{key}`" not in README}


@pytest.mark.parametrize("key", [key for key, field in schema().items() if field.needed])
def test_a_needed_field_that_is_missing_is_named_with_what_does_not_work(check, key):
    code, said = check({key: None})
    field = schema()[key]
    assert code == 0 and f"  {key}: {field.without}\n" in said
    stops = {"data": {"data", "tasks", "judge", "demo"}, "tasks": {"tasks", "demo"}, "judge": {"judge"}}
    assert states(said) == {
        part: "not yet" if part in stops[field.part] else "ready" for part in states(said)
    }


def test_with_other_fields_missing_it_works_with_less(check):
    others = {key for key, field in schema().items() if not field.needed and not field.rare}
    keys = others - {"exam_question"}  # which the demo needs, below
    code, said = check(dict.fromkeys(keys))
    assert code == 0 and all(f"  {key}: " in said for key in keys)
    less = {"data": "works with less", "tasks": "works with less"}
    assert states(said) == less | {"judge": "ready", "demo": "ready"}


def test_the_demo_is_not_ready_where_it_refuses_to_start(check):
    code, said = check({"exam_question": None})
    assert code == 0 and "  exam_question: " in said and "exam_question is missing" in said
    less = {"data": "works with less", "demo": "not yet"}
    assert states(said) == less | {"tasks": "ready", "judge": "ready"}
    lexicon.cache_clear()
    with pytest.raises(LanguageError, match="exam_question is missing"):
        lexicon("it")


def test_numbers_that_cannot_be_read_in_words_are_named(check):
    code, said = check({"codes": {"num2words": ""}})
    assert code == 0 and states(said)["tasks"] == "works with less"
    assert "numbers in words: 21, 22, 23, 24, 25, 26 and 66 more" in said


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"yes": ["sì", "no"]}, 'yes and no both have "no"'),
        ({"reading.right": ["giusta", "falsa"]}, 'reading.right and reading.wrong both have "falsa"'),
        ({"reading.word_letters": ["a", "ed"]}, 'reading.word_letters has "ed", which is not one letter'),
        ({"reading.either": ["o", "bensì"]}, 'reading.either has "bensì", which reading.joining lacks'),
        ({"reading.clock": ["h", "x"]}, 'reading.clock has "x", which is no sign in reading.symbols'),
        ({"codes": {"num2words": "zz"}}, 'codes.num2words is "zz", which num2words does not know'),
        ({"codes": {"teseract": "ita"}}, "codes has teseract, which is none of madlad"),
        ({"script": "Cyrl"}, "script is Cyrl, but the words are Latin"),
        ({"explained_answer": "Scrivi."}, "explained_answer must have {answer} and {explanation} in braces"),
        ({"judge_request": "Valuta {answer}."}, "judge_request must have {answer} and {question} and "),
        ({"short_answer": "Rispondi."}, 'short_answer must begin with a line break'),
        ({"reading.leads": ["neanche"]}, 'yes with a denial: "risposta neanche è sì" is read as yes'),
        # What benchmarks hold could not be read.
        ({"yes": ["già"]}, 'yes and no as they are written: "già" is read as neither, not as yes'),
        # The same word with another value than num2words has.
        ({"number_words": {"sei": 7}}, 'numbers in words: "sei" is not 6'),
        ({"reading.copulas": ["è", "non è"]}, 'copulas: "risposta non è B" is read as'),
        # Wrong types.
        ({"unfinished": "il"}, "unfinished: il is not a list (put it in brackets)"),
        ({"short_answer": ["x"]}, "short_answer: ['x'] is not a text"),
        ({"reading.wrong": [False]}, "reading.wrong: YAML reads a bare yes, no, on or off as False"),
        ({False: ["no"]}, "False: YAML reads a bare yes or no as False"),
        ({"scales": {"mila": "mille"}}, "scales: mila is mille, not a whole number"),
        ({"chatter": {"talking": ["x"]}}, "chatter: talking is none of announcing, refusing, offering"),
        ({"reading.leads": ["piu\u0300"]}, "is not in Unicode's composed form (NFC)"),
        ({"reading.leds": ["la"]}, "reading.leds: no such field"),
        ({"reading": ["la"]}, "reading: ['la'] is not names with values in braces"),
        ({"miniature": ["a"]}, "miniature: ['a'] is not names with values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_wrong_is_named_and_1(check, changes, named):
    code, said = check(changes)
    assert code == 1 and named in said.partition("\nWrong\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("colour_question", "Di che colore?", "colour_question names no phrase of a shape in braces"),
        ("shapes", 3, "shapes: 3 is not names with texts"),
        ("shapes", {"circle": 3}, "shapes.circle: 3 is not names with texts"),
        ("colours", 3, "colours: 3 is not names with texts"),
        ("colours", {"red": 3}, "colours.red: 3 is not a text (quote it)"),
        ("caption", 3, "caption: 3 is not a text (quote it)"),
        ("signs", 3, "signs is not a list in brackets"),
        ("captoin", "{shapes}.", "captoin: no such field"),
        ("stamps", 3, "stamps: 3 is not names with values"),
        ("stamps", {"topics": 3}, "stamps.topics: 3 is not names with texts"),
    ],
)
def test_what_is_wrong_in_the_miniature_is_named_and_refused_by_the_demo(check, key, value, named):
    code, said = check({f"miniature.{key}": value})
    assert code == 1 and f"  miniature.{named}" in said.partition("\nWrong\n")[2].partition("\n\n")[0]
    for words in (lexicon, stamp_words):
        words.cache_clear()
    with pytest.raises(LanguageError, match=re.escape(f"miniature.{named}")):
        lexicon("it"), stamp_words("it")
    lexicon.cache_clear()


def test_a_brace_that_no_shape_has_is_wrong(check):
    code, said = check({"miniature.colour_question": "Di che colore è {x}?"})
    assert code == 1 and "  miniature.colour_question names {x}, which no shape has\n" in said
    assert states(said)["demo"] == "not yet"


def test_numbers_that_the_file_lists_are_no_unread_ones(check):
    listed = {"venti": 20, "ventuno": 21}
    code, said = check({"codes": {"num2words": ""}, "number_words": listed})
    assert code == 0 and "numbers in words: 0, 1, 2, 3, 4, 5 and 93 more" in said


def test_every_list_of_words_is_tried():
    sound, wrong = sound_fields(flattened(fields_of("it")))
    letters = {f"{a} {how}" for a in "ABCD" for how in ("alone", "announced", "confirmed", "with a reason")}
    lists = {
        *("announcers", "copulas", "leads", "right", "affirming", "wrong", "denials", "excluding", "either"),
        *("passives", "breaks", "correcting", "joining", "yes", "yes_alone", "no", "number_words", "scales"),
        *("symbols", "articles", "presenting", "numbering", "minus"),
    }
    others = {
        *("yes and no as they are written", "yes and no announced", "yes with a denial", "neither"),
        *("denials in a sentence", "numbers in words", "other numbers in words"),
    }
    assert not wrong and {probe.name for probe in Probes("it", sound).all()} == letters | lists | others


def test_a_marker_of_two_parts_is_named(check):
    markers = yaml.safe_load((languages.FOLDER / "it.yaml").read_text(encoding="utf-8"))["markers"]
    code, said = check({"markers": {**markers, "options": ["Opzioni", "quesito"]}})
    assert code == 1 and 'markers.question and markers.options both have "quesito"' in said


@pytest.mark.parametrize(
    ("text", "named"),
    [("name: X\nyes: [sì, no: b]]\n", "it.yaml line 2: no YAML"), ("- a\n", "it.yaml: no fields in it")],
)
def test_a_file_that_is_no_yaml_is_named_with_its_line_and_2(check, text, named):
    code, said = check(text)
    assert code == 2 and named in said and said.count("\n") == 1 and "(remedy: " in said


# Of several scripts, with and without number words in num2words, and one that is right to left; in Ukrainian
# number words have apostrophes, and num2words stumbles on some numbers in Amharic.
@pytest.mark.parametrize("code", ["eu", "hr", "ar", "ja", "uk", "am"])
def test_a_new_file_is_filled_in_and_can_be_checked(folder, capsys, code):
    assert main(["language", "new", code]) == 0
    written = (folder / f"{code}.yaml").read_text(encoding="utf-8")
    fields = yaml.safe_load(written)
    assert {"name", "endonym", "script", "reading"} <= {*fields} and fields["reading"]["symbols"]["km"]
    for key, field in schema().items():
        section, _, name = key.rpartition(".")
        filled = name in ((fields[section] or {}) if section else fields)
        marked = f"\n{'  ' * bool(section)}# {TODO} {name}: " in written
        assert field.rare or filled != marked, key
    assert main(["language", "check", code]) == 0
    said = capsys.readouterr().out
    assert set(states(said).values()) == {"not yet"}
    assert (f"\u2068{fields['endonym']}\u2069" in said) == (code == "ar")
    # Taking away the comment signs gives a whole file.
    whole = re.sub(
        r"^(  )?# (?!TODO|\w+: [a-z])", r"\1", written.partition("\nname: ")[2], flags=re.MULTILINE
    )
    assert "miniature:" in whole


def test_a_new_file_whose_marks_alone_were_taken_away_is_not_ready(folder, capsys):
    assert main(["language", "new", "eu"]) == 0
    path = folder / "eu.yaml"
    written = path.read_text(encoding="utf-8")
    whole = re.sub(r"^( *)# TODO \w+: .*\n", "", written, flags=re.MULTILINE)
    whole = re.sub(r"^(  )?# (?!\w+: [a-z]+ )", r"\1", whole.partition("\nname: ")[2], flags=re.MULTILINE)
    path.write_text(f"name: {whole}", encoding="utf-8")
    capsys.readouterr()
    main(["language", "check", "eu"])
    said = capsys.readouterr().out
    assert set(states(said).values()) == {"not yet"}, said
    shown = said.partition("\nStill in English\n")[2].partition("\n\n")[0]
    assert shown.startswith("  number_words, ") and " more" in shown


@pytest.mark.parametrize(
    ("key", "part"), [("short_answer", "tasks"), ("unfinished", "data"), ("judge_request", "judge")]
)
def test_a_field_in_english_counts_as_missing(check, key, part):
    code, said = check({key: schema()[key].english})
    assert code == 0 and f"\nStill in English\n  {key}\n" in said
    assert states(said)[part] == ("not yet" if schema()[key].needed else "works with less")


def test_what_is_no_file_is_one_line(folder, capsys):
    (folder / "eu.yaml").symlink_to(folder / "nowhere")
    (folder / "hr.yaml").mkdir()
    for code, said in (("eu", "eu.yaml: No such file"), ("hr", "hr.yaml: is a folder, not a file")):
        for command in (["language", "check", code], ["tasks", code, "--out", str(folder / "out")]):
            assert main(command) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert said in line and "(remedy: " in line


def test_a_variety_of_a_language_that_has_a_file_is_begun_with_a_copy(folder, capsys):
    for code, copied in (("it-CH", True), ("it-Cyrl", False), ("de", False)):
        assert main(["language", "new", code]) == 0
        assert (f"A copy of {folder / 'it.yaml'} is a shorter way" in capsys.readouterr().out) is copied
    shutil.copy(folder / "it.yaml", folder / "it-CH.yaml")
    assert main(["language", "check", "it-CH"]) == 0


def test_a_file_that_is_there_is_not_overwritten(folder, capsys):
    before = (folder / "it.yaml").read_bytes()
    assert main(["language", "new", "it"]) == 2
    assert (
        "it.yaml: exists (remedy: " in capsys.readouterr().err and (folder / "it.yaml").read_bytes() == before
    )


@pytest.mark.parametrize("code", ["xx-", "../it", "italian", "IT", "qq"])
@pytest.mark.parametrize("command", ["new", "check"])
def test_what_is_no_language_is_one_line_and_2(folder, capsys, command, code):
    assert main(["language", command, code]) == 2
    said = capsys.readouterr().err
    assert (
        said.count("\n") == 1
        and "(remedy: " in said
        and sorted(path.name for path in folder.iterdir())
        == [
            "en.yaml",
            "it.yaml",
        ]
    )


def test_a_language_without_a_file_is_named_with_the_command_that_writes_one(folder, capsys):
    assert main(["language", "check", "hr"]) == 2
    assert "language 'hr': no file, only en, it (remedy: ndino language new hr)" in capsys.readouterr().err
