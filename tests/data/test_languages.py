import pytest

from ndino import tasks
from ndino.data import languages
from ndino.data.errors import DataError
from ndino.data.languages import language


def test_italian_has_what_the_commands_need():
    words = language("it")
    assert (words.name, words.yes[0], words.no[0]) == ("Italian", "sì", "no")
    assert words.markers["question"][0] == "Domanda"
    # The tasks' own, in their one place.
    assert (words.letter_answer, words.words["short_answer"]) == (tasks.LETTER_ANSWER, tasks.SHORT_ANSWER)


@pytest.mark.parametrize("code", ["en", "it", "es"])
def test_explained_answers_are_asked_with_the_markers_that_they_are_written_with(code):
    words = language(code)
    for marker in ("answer", "explanation"):
        assert f"{words.markers[marker][0]}:" in words.explained_answer
    assert words.letter_answer.startswith("\n") and "\n" not in words.explained_answer


def test_no_marker_means_two_things():
    for code in ("en", "it", "es"):
        names = [name.casefold() for words in language(code).markers.values() for name in words]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(("block", "said"), [(None, "not among en"), ({"name": "X"}, "markers is missing")])
def test_what_is_missing_is_named_with_its_remedy(monkeypatch, block, said):
    blocks = {"en": {}} if block is None else {"xx": block}
    monkeypatch.setattr(languages, "_blocks", lambda: blocks)
    language.cache_clear()
    with pytest.raises(DataError, match=rf"'xx'.*{said}.*remedy: add"):
        language("xx")
    language.cache_clear()
