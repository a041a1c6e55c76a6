import dataclasses

import pytest
import yaml

from ndino.languages import language as languages
from ndino.languages.language import LanguageError, code_of_task, language
from tests.languages.shipped import SHIPPED


def test_italian_has_what_the_commands_need():
    words = language("it")
    assert (words.name, words.yes[0], words.no[0]) == ("Italian", "sì", "no")
    assert words.markers["question"][0] == "Domanda"


@pytest.mark.parametrize("code", SHIPPED)
def test_explained_answers_are_asked_with_the_markers_that_they_are_written_with(code):
    words = language(code)
    for marker in ("answer", "explanation"):
        assert f"{words.markers[marker][0]}:" in words.explained_answer
    assert words.letter_answer.startswith("\n") and "\n" not in words.explained_answer


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("eu", "write ndino/languages/eu.yaml with ndino language new eu"),
        ("it,es", "name one language: this takes no list of them"),
        ("it es", "name one language: this takes no list of them"),
        ("IT", "the code is it"),
        ("EU", "the code is eu"),
        ("xx", "one of these"),
        ("", "one of these"),
    ],
)
def test_what_no_file_is_for_is_named_with_what_helps(code, remedy):
    there = ", ".join(languages.codes())
    with pytest.raises(LanguageError, match=rf"not among {there} \(remedy: {remedy}\)$"):
        language(code)


def test_no_marker_means_two_things():
    for code in SHIPPED:
        names = [name.casefold() for words in language(code).markers.values() for name in words]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("fields", "said"),
    [(None, r"not among en .*remedy: write"), ("name: X", r"markers is missing .*remedy: add it to")],
)
def test_what_is_missing_is_named_with_its_remedy(monkeypatch, tmp_path, fields, said):
    (tmp_path / "en.yaml").write_text("name: English")
    if fields is not None:
        (tmp_path / "eu.yaml").write_text(fields)
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    language.cache_clear()
    with pytest.raises(LanguageError, match=rf"'eu'.*{said}.*ndino/languages/eu.yaml"):
        language("eu")
    language.cache_clear()


def test_scores_depend_on_the_words_by_which_answers_are_read_alone():
    words = language("it")
    more = dataclasses.replace(words, words={**words.words, "chatter": {}, "endonym": "x"}, miniature={})
    assert more.scores_identity == words.scores_identity
    reading = {**words.words["reading"], "one": ["un"]}
    other = dataclasses.replace(words, words={**words.words, "reading": reading})
    assert other.scores_identity != words.scores_identity


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: X\nyes: [sì, no: b]]\n", "line 2: no YAML"),
        ("name: X\n\tyes: a\n", "line 2: no YAML"),
        ("[" * 100_000, "no YAML, it is nested too deeply"),
        ("- a\n", "no fields in it"),
        ("", "no fields in it"),
    ],
)
def test_a_file_that_is_no_yaml_is_named_with_its_line(monkeypatch, tmp_path, text, said):
    (tmp_path / "xx.yaml").write_text(text)
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    with pytest.raises(LanguageError, match=rf"xx.yaml.*{said}.*remedy: "):
        language("xx")


def test_the_language_of_a_task_is_read_from_its_name():
    names = ["pope-it", "exams-v-es", "ndino-en", "pope", "mmbench_it", "vqa-xx"]
    assert [code_of_task(name) for name in names] == ["it", "es", "en", None, None, None]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"markers": "x"}, "markers: x is not names with values"),
        ({"markers": {"question": ["x"]}}, "markers.options is missing"),
        ({"yes": "sì"}, "yes: sì is not a list"),
        ({"name": ["x"]}, "name: .* is not a text"),
        ({"explained_answer": "{answr}"}, "explained_answer must have {answer} and {explanation}"),
        ({"explained_answer": "{"}, "explained_answer must have {answer} and {explanation}"),
        ({False: ["no"]}, "False: YAML reads a bare yes or no as False"),
    ],
    ids=str,
)
def test_a_field_of_the_wrong_type_is_named(monkeypatch, tmp_path, changes, said):
    fields = yaml.safe_load((languages.FOLDER / "it.yaml").read_text(encoding="utf-8"))
    (tmp_path / "xx.yaml").write_text(yaml.safe_dump(fields | changes, sort_keys=False))
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    language.cache_clear()
    with pytest.raises(LanguageError, match=rf"'xx': {said}.*remedy: "):
        language("xx")
    language.cache_clear()
