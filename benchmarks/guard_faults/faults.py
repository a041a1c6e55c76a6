"""The faults of neural translators, each planted in a right translation where it makes sense."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

from num2words import num2words

from benchmarks.guard_faults.right import MONTHS, SOURCE, TARGET, PairExample, TextExample
from ndino.data.translation.pair_line import Parts
from ndino.data.translation.placeholders import PLACEHOLDER, without_placeholders
from ndino.data.translation.text_measures import sentences

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
OTHERS = {"French": "fr", "Spanish": "es", "Russian": "ru", "Japanese": "ja"}
# A language is seen in a text of so many letters and more, in whatever script it is.
SEEN_FROM = 30
SENTENCES_IN = {"English": SOURCE, "French": "fr", "Spanish": "es"}
SENTENCE_SEEN_FROM = 35  # letters of a single sentence of a text
TAILS = (
    "È una bella giornata di sole.",
    "La persona sembra molto felice.",
    "Sullo sfondo si vedono alcuni edifici.",
    "Non so che cosa dire.",
)

CHATTER = (
    "Certo! Ecco la traduzione: {}",
    "Sure! Here is the translation: {}",
    "Traduzione: {}",
    "Italiano: {}",
    "Mi dispiace, ma non posso tradurre questo testo.",
    "Non posso fornire la traduzione di questo testo.",
    "I'm sorry, but I can't help with that.",
    "{} Fammi sapere se hai bisogno di altro.",
    "**{}**",
)
QUOTED = ('"{}"', "«{}»", "“{}”")
LOST = ("\x00", "\x08", "\ud800")
INVISIBLE = ("\u200b", "\u202e", "\u200f", "\ufeff")
TOKENS = ("▁", "<0xC3>", "<|im_end|>", "<eos>")

# What comes back for the line of a pair, or for a text; "" is an answer too, None where the fault makes no
# sense. END stands for a translation whose end token was not reached.
END = "\0"
PairFault = Callable[[PairExample, Parts, random.Random], str | None]
TextFault = Callable[[str, str, random.Random], str | None]


def _answered(example: PairExample, change: Callable[[str], str]) -> str | None:
    right = example.parts[TARGET]
    return example.line(replace(right, answer=change(right.answer))) if _has_text(example) else None


def _has_text(example: PairExample) -> bool:
    return example.choice is None and example.exactly is None


def _in_language(code: str) -> PairFault:
    def fault(example: PairExample, right: Parts, drawn: random.Random) -> str | None:
        other = example.parts[code]
        return example.line(other) if _is_seen(other.question, code) else None

    return fault


def _is_seen(text: str, code: str) -> bool:
    return code in ("ru", "ja") or sum(map(str.isalpha, text)) >= SEEN_FROM


PAIR_FAULTS: dict[str, PairFault] = {
    "answer line doubled": lambda example, right, drawn: (
        f"{example.line(right)} Risposta: {right.answer}" if _has_text(example) else None
    ),
    "answer doubled": lambda example, right, drawn: _answered(example, lambda answer: f"{answer}. {answer}"),
    "short answer three times": lambda example, right, drawn: _answered(
        example, lambda answer: drawn.choice([" ", ", ", ". "]).join([answer] * 3)
    ),
    "question not translated": lambda example, right, drawn: example.line(
        replace(right, question=example.parts[SOURCE].question)
    ),
    "options not translated": lambda example, right, drawn: (
        example.line(replace(right, options=example.parts[SOURCE].options)) if right.options else None
    ),
    "capitalised options not translated": lambda example, right, drawn: (
        example.line(replace(right, options=tuple(map(str.capitalize, example.parts[SOURCE].options))))
        if right.options
        else None
    ),
    **{f"in {name}": _in_language(code) for name, code in OTHERS.items()},
    "marker doubled": lambda example, right, drawn: f"Domanda: {example.line(right)}",
    "answer cut after its article": lambda example, right, drawn: (
        _answered(example, lambda answer: f"{answer.split()[0].capitalize()}.")
        if right.answer.split(" ")[0] in ("un", "il", "la", "lo")
        else None
    ),
    "tail after the answer": lambda example, right, drawn: _answered(
        example, lambda answer: f"{answer}. {drawn.choice(TAILS)}"
    ),
    "tail after the question": lambda example, right, drawn: example.line(
        replace(right, question=f"{right.question} {drawn.choice(TAILS)}")
    ),
    "option without a label": lambda example, right, drawn: (
        example.line(
            replace(
                right,
                options=(*right.options[:-1], f"{right.options[-1]}{drawn.choice([';', ','])} una rana"),
            )
        )
        if right.options
        else None
    ),
    "entity in the answer": lambda example, right, drawn: _answered(
        example, lambda answer: f"{drawn.choice(['&quot;', '&#39;', '&amp;'])}{answer}"
    ),
    "unknown sign in a word": lambda example, right, drawn: example.line(
        replace(right, question=re.sub("[aeiou]", "⁇", right.question, count=1))
    ),
    "question mark lost": lambda example, right, drawn: example.line(
        replace(right, question=right.question.replace("?", "."))
    ),
    "another option": lambda example, right, drawn: (
        example.line(right).replace(
            f"Risposta: ({(example.choice or 0) + 1})", f"Risposta: ({(example.choice or 0) + 5})"
        )
        if right.options
        else None
    ),
    "end token not reached": lambda example, right, drawn: END,
}


def _cut_in_the_middle(source: str, target: str, drawn: random.Random) -> str | None:
    words = target.split()
    cut = " ".join(words[: len(words) // 2]).rstrip(".,;:!?")
    return cut if len(source.split()) >= 5 and source[-1] in ".!?" else None


def text_in(code: str) -> Callable[[TextExample, random.Random], str | None]:
    """The fault that a whole text is in the language with this code."""
    return lambda example, drawn: (
        example.texts[code] if code in example.texts and _is_seen(example.texts[code], code) else None
    )


def _mojibake(source: str, target: str, drawn: random.Random) -> str | None:
    """UTF-8 that was read as the encoding of Windows."""
    if not re.search("[àèéìòùÈ’]", target):
        return None
    return "".join(
        character.encode().decode("cp1252", errors="ignore") if character in "èéìòùÈ’" else character
        for character in target.replace("à", "è")
    )


def _without_spaces(source: str, target: str, drawn: random.Random) -> str | None:
    # One word may translate several ("buonissimo"), so a short text says too little.
    enough = len(without_placeholders(source).split()) >= 5 and sum(map(str.isalnum, target)) > 20
    return "".join(target.split()) if enough and not PLACEHOLDER.search(source) else None


def _number(change: str) -> TextFault:
    def fault(source: str, target: str, drawn: random.Random) -> str | None:
        plain = without_placeholders(source)
        found = NUMBER.search(plain)
        touched = found and re.search(rf"[^\W\d]{re.escape(found[0])}|{re.escape(found[0])}[^\W\d]", plain)
        theirs = NUMBER.findall(without_placeholders(target))
        # What is said twice is still there once.
        if not found or touched or not theirs or theirs[0] in theirs[1:] or f"{theirs[0]}ª" in target:
            return None
        return NUMBER.sub(lambda one: f"{one[0]}{change}" if change else "", target, count=1)

    return fault


def _another_month(source: str, target: str, drawn: random.Random) -> str | None:
    names = MONTHS[TARGET].values()
    named = re.search(rf"\b(?:{'|'.join(names)})\b", target)
    others = [name for name in names if name not in target]
    return target.replace(named[0], drawn.choice(others)) if named else None


def _half_lost(source: str, target: str, drawn: random.Random) -> str | None:
    """The hour on a clock of twelve hours."""
    found = re.search(r"\b(1[3-9]|2[0-3])\b", target)
    if not found or not re.search(r"\d (?:PM|p\.m\.)", source):
        return None
    return f"{target[: found.start()]}{int(found[0]) - 12}{target[found.end() :]}"


def _swapped(source: str, target: str, drawn: random.Random) -> str | None:
    found = re.search(r"\bi (\w+) cani e i (\w+) gatti", target)
    return target.replace(found[0], f"i {found[2]} cani e i {found[1]} gatti") if found else None


def _thousands_as_decimals(source: str, target: str, drawn: random.Random) -> str | None:
    found = re.search(r"(?<![\d.,])(\d{1,3})\.(\d{3})(?![\d.,])", target)
    if not found or f"{found[1]},{found[2]}" not in source:
        return None
    # What the source writes is also what the translator may leave.
    return (
        target.replace(found[0], f"{found[1]},{found[2]}".rstrip("0").rstrip(","))
        if found[2].endswith("0")
        else None
    )


def _another_number_word(source: str, target: str, drawn: random.Random) -> str | None:
    words = [num2words(number, lang=TARGET) for number in range(13, 29)]
    said = next((word for word in words if re.search(rf"\b{word}\b", target)), None)
    if not said or re.search(r"\d", source):
        return None
    return target.replace(said, drawn.choice([word for word in words if word != said]))


TEXT_FAULTS: dict[str, TextFault] = {
    "empty": lambda source, target, drawn: "",
    "looping": lambda source, target, drawn: (
        f"{target} {' '.join(target.split()[-3:])}" + f" {' '.join(target.split()[-3:])}" * 4
    ),
    "not translated": lambda source, target, drawn: source if len(PLACEHOLDER.sub("", source)) > 30 else None,
    # A short text can have a correct translation that is much shorter, so only long ones are cut.
    "cut to a fifth, of 100 letters and more": lambda source, target, drawn: (
        target[: len(target) // 5] if len(target) > 100 else None
    ),
    "said three times": lambda source, target, drawn: " ".join([target] * 3) if len(target) > 100 else None,
    "said twice": lambda source, target, drawn: f"{target} {target}",
    "cut in the middle of a sentence": _cut_in_the_middle,
    "cut after its article": lambda source, target, drawn: "Un." if len(source.split()) >= 3 else None,
    "tail after the text": lambda source, target, drawn: (
        f"{target} {drawn.choice(TAILS)}" if target[-1] in ".!?" else None
    ),
    "entity in the text": lambda source, target, drawn: f"&quot;{target}&quot;",
    "unknown sign in the text": lambda source, target, drawn: (
        re.sub("[aeiou]", "⁇", target, count=1) if re.search("[aeiou]", PLACEHOLDER.sub("", target)) else None
    ),
    "talk about the translation": lambda source, target, drawn: drawn.choice(CHATTER).format(target),
    "quotes around the text": lambda source, target, drawn: (
        drawn.choice(QUOTED).format(target) if '"' not in source else None
    ),
    "role, list mark, brackets or a second full stop": lambda source, target, drawn: (
        drawn.choice(("assistant {}", "Assistant: {}", "- {}", "*{}*")).format(target)
        if target[0].isupper() and "*" not in target
        else None
    ),
    "character lost": lambda source, target, drawn: (
        target.replace(" ", f"{drawn.choice(LOST)} ", 1) if " " in target else None
    ),
    "UTF-8 read as Windows-1252": _mojibake,
    "invisible sign": lambda source, target, drawn: (
        target.replace(" ", f" {drawn.choice(INVISIBLE)}", 1) if " " in target else None
    ),
    "token of the model": lambda source, target, drawn: f"{target}{drawn.choice(TOKENS)}",
    "spaces lost": _without_spaces,
    "question mark lost from the text": lambda source, target, drawn: (
        target.replace("?", ".") if "?" in without_placeholders(target) else None
    ),
    "number lost": _number(""),
    "other number": _number("7"),
    "percent sign, minus or scale lost": lambda source, target, drawn: (
        re.sub(r" per cento|%", "", target)
        if "%" in source
        else re.sub(r"-(?=5 gradi)", "", target).replace("miliardi", "milioni")
        if "-5 degrees" in source or "miliardi" in target
        else None
    ),
    "number added": lambda source, target, drawn: (
        f"{target[:-1]} {drawn.randrange(300, 900)}." if target.endswith(".") else None
    ),
    "another month": _another_month,
    "half of the day lost": _half_lost,
    "halves of the day exchanged": lambda source, target, drawn: (
        target.replace("di mattina", "di notte").replace("di sera", "di mattina")
        if re.search(r"\d di (?:mattina|sera)", target)
        else None
    ),
    "numbers swapped": _swapped,
    "thousands as decimals": _thousands_as_decimals,
    "another number in words": _another_number_word,
    "other currency": lambda source, target, drawn: (
        target.replace("dollari", "sterline") if "dollari" in target else None
    ),
    "formula, code, tag or address changed": lambda source, target, drawn: (
        _with_placeholder_changed(target) if PLACEHOLDER.search(source) else None
    ),
    "label of geometry changed": lambda source, target, drawn: (
        re.sub(r"\b[A-Z]{2,}\b", lambda label: label[0][::-1], target)
        if re.search("triangle|side|line AE", source) and re.search(r"\b[A-Z]{2,}\b", source)
        else None
    ),
    "text's end token not reached": lambda source, target, drawn: END,
}


def _with_placeholder_changed(target: str) -> str | None:
    found = PLACEHOLDER.search(target)
    return target.replace(found[0], f"un {found[0][1:]}", 1) if found else None


def with_sentence_in(code: str) -> Callable[[TextExample, random.Random], str | None]:
    """The fault that one sentence of several is in the language with this code."""

    def fault(example: TextExample, drawn: random.Random) -> str | None:
        if code not in example.texts:
            return None
        ours, theirs = sentences(example.texts[TARGET]), sentences(example.texts[code])
        places = [
            place
            for place, sentence in enumerate(theirs)
            if sum(map(str.isalpha, sentence)) >= SENTENCE_SEEN_FROM and len(sentence.split()) >= 6
        ]
        if len(ours) < 2 or len(ours) != len(theirs) or not places:
            return None
        place = drawn.choice(places)
        ours[place] = f"{theirs[place].strip()} "
        return "".join(ours).strip()

    return fault
