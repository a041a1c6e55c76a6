"""What a language's file is good for: what is wrong with it, what it lacks, and what works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ndino.languages.adding.contradictions import contradictions_of_codes
from ndino.languages.adding.probes import LARGEST, Probe, Probes
from ndino.languages.adding.untranslated import english_fields, english_texts
from ndino.languages.fields.schema import MINIATURE, LanguageField, flattened, missing_fields
from ndino.languages.language import LanguageError, written_fields
from ndino.languages.lexicon import OUTSIDE, lexicon_faults, stamp_faults, unknown_phrases

READY, LESS, NOT_YET = "ready", "works with less", "not yet"
DEMO_NEEDS = ("data", "tasks")
NAMED = 6  # so many missing fields are named in a row of the table


@dataclass(frozen=True)
class Part:
    """A row of the table of what works."""

    name: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Readiness:
    """All that `ndino language check` found.

    Attributes:
        wrong: what is of the wrong type or contradictory, each named by its key.
        missing: the fields that the file lacks.
        english: the keys of those that are still in English.
        probes: answers that were made of the file's words.
        parts: what works.
    """

    code: str
    wrong: Sequence[str]
    missing: Sequence[LanguageField]
    english: Sequence[str]
    probes: Sequence[Probe]
    parts: Sequence[Part]

    @property
    def is_usable(self) -> bool:
        """Nothing in the file contradicts itself."""
        return not self.wrong and not any(probe.failed for probe in self.probes)


def readiness_of(code: str) -> Readiness:
    """Check the file of a language.

    Raises:
        LanguageError: it is no YAML with fields; names the line.
    """
    written = written_fields(code)
    fields, sound = written.all, written.sound
    flat = flattened(fields)
    refused, wrong = bool(written.wrong), [*written.wrong, *contradictions_of_codes(sound)]
    missing = missing_fields(flat)
    try:
        probes = Probes(code, sound)
        found, spelled = probes.all(), probes.spelled
    except LanguageError:
        # num2words does not know the code in the file, which `wrong` has.
        found, spelled = [], dict.fromkeys(range(LARGEST + 1))
    numbers = [str(number) for number in range(LARGEST + 1) if number not in spelled]
    miniature = fields.get(MINIATURE) or {}
    miniature = miniature if isinstance(miniature, dict) else {}
    drawn, stamps = lexicon_faults(miniature), stamp_faults(miniature)
    wrong += unknown_phrases(miniature)
    wrong += [fault for fault in (*drawn, *stamps) if not fault.endswith(" is missing")]
    english, texts = english_fields(code, sound), english_texts(code, miniature)
    # A part that has no words of the language is no better than one without words.
    absent = [*missing, *english]
    lacking = [f"numbers in words: {listed(numbers)}"] if numbers else []
    parts = [
        _part("data", ("data",), absent, []),
        # Without what the data commands need, no command reads the file.
        _part("tasks", ("data", "tasks"), absent, lacking),
        _part("judge", ("data", "judge"), absent, []),
        _demo(missing, english, [*drawn, *(f"{key} is in English" for key in texts)], stamps),
    ]
    if refused:
        parts = [Part(part.name, NOT_YET, "the file is refused for what is wrong in it") for part in parts]
    return Readiness(code, wrong, missing, [*(field.key for field in english), *texts], found, parts)


def _part(name: str, needs: Sequence[str], missing: Sequence[LanguageField], lacking: list[str]) -> Part:
    needed = [each.key for each in missing if each.part in needs and each.needed]
    less = [each.key for each in missing if each.part == name and not each.rare and not each.needed]
    if needed:
        return Part(name, NOT_YET, f"without {listed(needed)}")
    if less or lacking:
        return Part(name, LESS, "; ".join([*([f"without {listed(less)}"] if less else []), *lacking]))
    return Part(name, READY)


def _demo(
    missing: Sequence[LanguageField],
    english: Sequence[LanguageField],
    drawn: Sequence[str],
    stamps: Sequence[str],
) -> Part:
    """The demo needs the words of the drawn world, and all that the tasks need."""
    outside = [
        f"{each.key} is {how}"
        for how, fields in (("missing", missing), ("in English", english))
        for each in fields
        if (each.needed and each.part in DEMO_NEEDS) or each.key in OUTSIDE
    ]
    if outside or drawn:
        return Part("demo", NOT_YET, listed([*outside, *drawn]))
    if not stamps:
        return Part("demo", READY)
    return Part("demo", LESS, f"no WORLD=stamps and no data demo: {listed(stamps)}")


def listed(names: Sequence[str]) -> str:
    """Names with a comma between them, the first `NAMED` of them."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
