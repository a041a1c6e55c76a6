"""Translation: the memory, the order of results, the retry of rejected texts and the resume after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.data.translation import rejection
from ndino.data.translation.rejection import TextChecks
from ndino.data.translation.text_measures import sentences
from ndino.data.translation.translation import Translation
from ndino.data.translation.translator import Translated
from ndino.languages.language import language
from tests.data.translation.translators.deterministic import SHIFTED, Deterministic
from tests.properties import examples

WORDS = [
    "a red car",
    "two dogs",
    "Is it lost?",
    "12",
    "",
    "  - a cat",
    "3 + 4 =",
    "lost and found",
    "ünïcode",
]


def open_translation(translator: object, folder: Path, **settings: object) -> Translation:
    return Translation(translator, folder / "memory.sqlite", TextChecks(), **settings)


def expected(text: str) -> Translated:
    if not any(map(str.isalpha, text)):
        return Translated(text)
    return Translated(None, rejection.EMPTY) if "lost" in text else Translated(text.translate(SHIFTED))


@examples(40)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=12), max_size=4), st.integers(1, 60))
def test_order_is_kept_and_nothing_is_translated_twice(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[str]], batch_characters: int
) -> None:
    translator = Deterministic()
    folder = tmp_path_factory.mktemp("memory")
    with open_translation(translator, folder, batch_characters=batch_characters) as translation:
        for texts in calls:
            assert translation.translate(texts) == [expected(text) for text in texts]
    with open_translation(translator, folder) as translation:
        for texts in calls:
            assert translation.translate(texts) == [expected(text) for text in texts]
        assert translation.counts["translated"] == 0
    asked = Counter(text for batch in translator.calls for text in batch)
    assert set(asked.values()) <= {1}
    assert set(asked) == {text.strip() for texts in calls for text in texts if any(map(str.isalpha, text))}


@given(st.text(alphabet=st.characters(exclude_characters="\n"), max_size=40))
def test_any_line_gets_a_result(text: str) -> None:
    class Same:
        identity = "same"

        def translate(self, texts):
            assert all(any(map(str.isalpha, one)) and "\n" not in one for one in texts)
            return list(texts)

    translation = Translation(Same(), Path(":memory:"), TextChecks())
    (one,) = translation.translate([text])
    assert one.reason or one.text == text or not text.isprintable()
    if one.text is not None and any(map(str.isalpha, text)):
        assert "\r" not in one.text and one.text.encode("utf-8")
    translation.close()


def test_a_line_break_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with (
        open_translation(Deterministic(), tmp_path) as translation,
        pytest.raises(ValueError, match="line"),
    ):
        translation.translate(["fine", "two\nlines"])


def test_a_rejected_text_is_retried_by_sentence_and_then_remembered(tmp_path: Path) -> None:
    class StopsAtSentences(Deterministic):
        def translate(self, texts):
            return [one.split(".")[0] if "." in one[:-1] else one for one in super().translate(texts)]

    long = "The first sentence says something long enough here. 7 things are in the second one. And a third."
    translator = StopsAtSentences()
    with open_translation(translator, tmp_path) as translation:
        assert translation.translate([long, "All is lost here."]) == [
            Translated(long.translate(SHIFTED)),
            Translated(None, rejection.EMPTY),
        ]
        assert translation.counts == {
            "given": 2,
            "from memory": 0,
            "translated": 2,
            "retried": 1,
            "rejected": 1,
        }
        # A text of one sentence would be translated as before, so it is not retried.
        assert translator.calls[1:] == [[part.strip() for part in sentences(long)]]
        translation.translate(["All is lost here."])
        assert len(translator.calls) == 2


def test_a_retrying_translator_is_used_for_rejected_texts(tmp_path: Path) -> None:
    class Loops(Deterministic):
        def translate(self, texts):
            return ["ciao " * 20 for _ in texts]

        def translate_again(self, texts):
            return ["Ciao, signora!" if text == "Hello, madam!" else "" for text in texts]

    with open_translation(Loops(), tmp_path) as translation:
        found = translation.translate(["Hello, madam!", "Good-bye, madam!"])
    assert found == [Translated("Ciao, signora!"), Translated(None, rejection.LOOP)]


def test_verdicts_of_other_checks_are_not_reused(tmp_path: Path) -> None:
    class Words(Deterministic):
        def translate(self, texts):
            return ["Ci sono due cani nella foto." for _ in texts]

    source = ["There are 2 dogs in the picture."]
    with open_translation(Words(), tmp_path) as translation:
        assert translation.translate(source)[0].reason == rejection.NUMBER_LOST
    with Translation(
        Words(), tmp_path / "memory.sqlite", TextChecks(language("en"), language("it"))
    ) as translation:
        assert translation.translate(source)[0].text


class Stricter(TextChecks):
    """Checks of another version, which let some empty translations pass and refuse those of dogs."""

    def rejection(self, source: str, target: str | None) -> str | None:
        if "dogs" in source:
            return rejection.LOOP
        return None if source == "lost" else super().rejection(source, target)


def test_a_text_that_comes_again_is_not_judged_again(tmp_path: Path) -> None:
    class Counting(TextChecks):
        judged: ClassVar[list[str]] = []

        def rejection(self, source: str, target: str | None) -> str | None:
            self.judged.append(source)
            return super().rejection(source, target)

    with Translation(Deterministic(), tmp_path / "memory.sqlite", Counting()) as translation:
        for _ in range(3):
            translation.translate(["a red car", "lost", "two dogs"])
    assert sorted(Counting.judged) == ["a red car", "lost", "two dogs"]


class Nobody:
    """The translator that `Deterministic` is, when its model is not there."""

    identity = Deterministic.identity

    def translate(self, texts: Sequence[str]) -> Sequence[str | None]:
        raise AssertionError(f"asked for {texts}")


def test_other_checks_judge_what_is_remembered_without_a_translator(tmp_path: Path) -> None:
    texts = ["a red car", "two dogs. And a cat.", "lost", "lost and found"]
    memory = tmp_path / "memory.sqlite"
    with Translation(Deterministic(), memory, TextChecks()) as translation:
        before = translation.translate(texts)
    assert [bool(one.text) for one in before] == [True, True, False, False]
    for _ in range(2):
        with Translation(Nobody(), memory, Stricter()) as translation:
            assert translation.translate(texts) == [
                before[0],
                Translated(None, rejection.LOOP),
                Translated(""),
                before[3],
            ]
    with Translation(Nobody(), memory, TextChecks()) as translation:
        assert translation.translate(texts) == before


def test_a_retry_gives_a_second_try_to_what_other_checks_let_pass(tmp_path: Path) -> None:
    class Refusing(TextChecks):
        def rejection(self, source: str, target: str | None) -> str | None:
            shorter = target is not None and source.count("dogs") > target.count("qbtf;")
            return rejection.SHORT if shorter else super().rejection(source, target)

    class Twice(Deterministic):
        def translate_again(self, texts: Sequence[str]) -> list[str]:
            return [f"{one};" for one in self.translate(texts)]

    memory = tmp_path / "memory.sqlite"
    with Translation(Twice(), memory, TextChecks()) as translation:
        translation.translate(["two dogs", "a cat", "lost"])
    for retried in (["two dogs", "lost", "lost"], ["lost", "lost"]):
        translator = Twice()
        with Translation(translator, memory, Refusing(), retry=True) as translation:
            for _ in range(2):
                found = translation.translate(["two dogs", "a cat", "lost"])
        assert [one.text for one in found] == ["gjb qbtf;", "n png", None]
        assert [text for batch in translator.calls for text in batch] == retried
    with Translation(Twice(), memory, Refusing()) as translation:
        assert translation.translate(["two dogs"])[0].text == "gjb qbtf;"


@pytest.mark.parametrize("die_at", [1, 3, 7])
def test_a_killed_run_resumes_from_its_memory(tmp_path: Path, die_at: int) -> None:
    texts = [f"text number {i} says {'something ' * (i % 5)}{i * 7}" for i in range(60)] + ["all is lost"]
    (tmp_path / "texts").write_text("\n".join(texts))

    def run(memory: str, *die: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.data.translation.translators.deterministic"]
        command += [str(tmp_path / name) for name in (memory, f"{memory}.log", "texts")]
        return subprocess.run([*command, *map(str, die)], capture_output=True, text=True)

    undisturbed = run("whole")
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert run("killed", die_at).returncode == -signal.SIGKILL
    before = (tmp_path / "killed.log").read_text().split("\n")[:-1]
    resumed = run("killed")
    assert resumed.stdout == undisturbed.stdout
    after = (tmp_path / "killed.log").read_text().split("\n")[len(before) : -1]
    # Only the batch that was interrupted is translated twice; it has at most 200 characters.
    twice = set(before) & set(after)
    assert sum(map(len, twice)) <= 200
    assert set(before) | set(after) == set(texts)
    again = run("killed")
    assert again.stdout == undisturbed.stdout
    assert len((tmp_path / "killed.log").read_text().split("\n")) - 1 == len(before) + len(after)


class Lengths:
    """Scores by the length of the source, and records what it is asked."""

    identity = "lengths"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, sources: Sequence[str], translations: Sequence[str]) -> list[float]:
        self.asked += zip(sources, translations, strict=True)
        return [len(source) / 100 for source in sources]


def test_translations_are_scored_once_also_those_of_an_earlier_run(tmp_path: Path) -> None:
    texts = ["a red car", "  two dogs ", "lost", "12", "a red car"]
    with open_translation(Deterministic(), tmp_path) as translation:
        assert [one.quality for one in translation.translate(texts)] == [None] * 5
    for asked in ([("a red car", "n erq pne"), ("two dogs", "gjb qbtf")], []):
        scorer = Lengths()
        with open_translation(Deterministic(), tmp_path, scorer=scorer) as translation:
            found = translation.translate(texts)
            assert [one.quality for one in found] == [0.09, 0.08, None, None, 0.09]
            assert found[1].text == "  gjb qbtf "
            assert translation.counts["translated"] == 0
        assert scorer.asked == asked


class Fixed:
    """Gives every text the same translation."""

    identity = "fixed"

    def __init__(self, text: str) -> None:
        self.text = text

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        return [self.text for _ in texts]


@pytest.mark.parametrize("lost", ["\x00", "\x08", "\ud800"])
def test_a_character_that_was_lost_is_no_space(tmp_path: Path, lost: str) -> None:
    with open_translation(Fixed(f"La cerva{lost} è"), tmp_path) as translation:
        assert translation.translate(["The doe is"])[0].reason == rejection.UNKNOWN_SIGNS


def test_a_line_break_of_a_translation_becomes_a_space(tmp_path: Path) -> None:
    with open_translation(Fixed("La cerva\nè"), tmp_path) as translation:
        assert translation.translate(["The doe is"])[0].text == "La cerva è"
