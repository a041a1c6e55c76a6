"""Clean texts from Wikipedia for training: remove odd characters and leftover markup, bound the length.

The thresholds are ours; the paper gives none.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import ftfy

# Characters of a text that are read at all: cleaning takes one pass per level of nesting.
MOST_READ = 20_000
LEAST_LETTERS = 0.5  # share of the characters other than spaces

# Control characters, soft hyphens, direction and byte order marks, lone surrogates and private-use
# characters. The two joiners stay: Persian and the Indic scripts need them for spelling.
_UNWANTED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ue000-\uf8ff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\U000f0000-\U0010ffff]"
)
_TAGS = (
    "ref|references|br|hr|small|big|sup|sub|i|b|u|s|em|strong|span|div|p|center|code|nowiki|gallery|math|chem|"
    "table|tr|td|th|li|ul|ol|poem|blockquote|abbr|font|tt|noinclude|onlyinclude|section|score|img|image"
)
# Those of the tags that end a line, and with them a word.
_BLOCK_TAGS = "br|hr|div|p|center|gallery|table|tr|td|th|li|ul|ol|poem|blockquote|section"
# What editors write before the text of an image, with a bar after each.
_IMAGE_WORDS = (
    r"thumb(?:nail)?|miniatura?|mini|vignette|frame(?:d|less)?|border|upright(?:=[\d.]*)?|left|right|center|none|"
    r"sinistra|destra|centro|\d*x?\d+ ?px|alt=[^|\n]*"
)
# Texts that are only an address, or only the name of a file.
_ADDRESS = re.compile(r"(?:[(<\[]?(?:https?://|www\.)\S+\s*)+", re.IGNORECASE)
_FILE_NAME = re.compile(
    r"[^\n]+\.(?:jpe?g|png|gif|svg|tiff?|webp|bmp|xcf|pdf|djvu|og[gv]|web[mp]|mp[34])\W*", re.IGNORECASE
)
# What may stand inside braces: anything but braces, or pairs of them, four levels deep.
_BRACED = r"[^{}]"
for _ in range(4):
    _BRACED = rf"(?:[^{{}}]|\{{{_BRACED}*\}})"
# A substring without which the expression cannot match (to save time), the expression, and its replacement.
_RESIDUES = tuple(
    (sign, re.compile(pattern, re.IGNORECASE | re.MULTILINE), replacement)
    for sign, pattern, replacement in (
        ("<!--", r"<!--.*?-->", ""),
        ("</", r"<(ref|math|chem|gallery|score)\b[^<>]*(?<!/)>[^<>]*</\1\s*>", ""),
        ("<", rf"</?(?:{_BLOCK_TAGS})\b[^<>]*>", "\n"),
        ("<", rf"</?(?:{_TAGS})\b[^<>]*>", ""),
        (
            "{\\",
            rf"\{{\\(?:display|text|script)style{_BRACED}*\}}",
            "",
        ),  # formulas; the text has them already
        ("{", r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}", ""),  # templates, tables
        ("[[", r"\[\[[^\[\]|]*\|(?:[^\[\]|]*\|)+[^\[\]|]*\]\]", ""),  # images: [[File:a.jpg|thumb|text]]
        ("[[", r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1"),  # links: [[page|text]]
        ("[http", r"\[https?://[^\s\[\]]+(?: ([^\[\]]*))?\]", r"\1"),
        # Footnotes: [1], [a], [nota 2], [N 1], [nb 1].
        ("[", r" *\[(?:\d{1,3}|(?-i:[a-z])|(?:n|nb|nota|note|anm)\.? ?\d{1,3})\]", ""),
        ("|", rf"^[ |]*(?:thumb(?:nail)?|miniatura?) *\|(?: *(?:{_IMAGE_WORDS}) *\|)*", ""),
        # Bold, italics; but not the seconds of an angle or the inches after feet: 45°27'12''.
        ("''", r"(\d['′’] ?\d{1,2}(?:[.,]\d+)?'')(?!')|'{2,5}", lambda found: found[1] or ""),
        ("==", r"^ *(={2,6})([^=\n]+)\1 *$", r"\2"),  # headings
        ("__", r"__(?-i:[A-Z]{3,20})__", ""),
        ("(", r"\(\s*[,;:]\s*", "("),  # left over where a pronunciation was removed
        ("(", r"\(\s*\)", ""),
        (" ,", r" ,(?=\s|$)", ","),
        (" .", r" \.(?=\s|$)", "."),
    )
)
_SENTENCE_END = re.compile(r"[.!?…][\"»”’)]*(?=\s)|[。！？؟।]|\n")


class TextError(ValueError):
    """A text that is rejected; ``reason`` is short and stable, so that it can be counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Bounds:
    """Length of a text in characters: shorter ones are rejected, longer ones cut at a sentence end."""

    least: int
    most: int


def clean(text: str, notes: Sequence[str] = ()) -> str:
    """``text`` in Unicode's composed form (NFC), paragraphs on lines, without markup and control characters.

    Cleaning repeats until it changes nothing, so cleaning a clean text changes nothing.

    Args:
        notes: what editors write into brackets ("citation needed"), in the language of the text; removed.
    """
    before = None
    while before != text:
        before, text = text, _clean_once(text, notes)
    return text


def _clean_once(text: str, notes: Sequence[str]) -> str:
    # Repairs UTF-8 that was decoded as Latin-1 or Windows-1252 ("cittÃ "). Before the characters below are
    # removed: control characters and no-break spaces may be halves of such letters.
    text = ftfy.fix_encoding(html.unescape(text))
    if _UNWANTED.search(text):
        text = _UNWANTED.sub("", "\n".join(text.replace("\t", " ").splitlines()))
    text = unicodedata.normalize("NFC", text)
    for sign, residue, replacement in _RESIDUES:
        if sign in text:
            text = residue.sub(replacement, text)
    if notes and "[" in text:
        text = re.sub(rf" *\[(?:{'|'.join(map(re.escape, notes))})[^\[\]]{{0,40}}\]", "", text, flags=re.I)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(filter(None, lines))


def cut_to_bounds(text: str, bounds: Bounds) -> str:
    """A clean text, cut to ``bounds``.

    Raises:
        TextError: it is too short, has too few letters (the figures of a table, a formula), or is only an
            address or the name of a file.
    """
    if _ADDRESS.fullmatch(text):
        raise TextError("only an address")
    if _FILE_NAME.fullmatch(text):
        raise TextError("only a file name")
    if len(text) > bounds.most:
        ends = [found.end() for found in _SENTENCE_END.finditer(text, 0, bounds.most + 1)]
        ends = [end for end in ends if bounds.least <= end <= bounds.most]
        space = text.rfind(" ", bounds.least, bounds.most + 1)
        text = text[: ends[-1] if ends else space if space > 0 else bounds.most].strip()
    if len(text) < bounds.least:
        raise TextError("text too short")
    letters = sum(map(str.isalpha, text))
    if letters < LEAST_LETTERS * (len(text) - text.count(" ") - text.count("\n")):
        raise TextError("hardly a letter in the text")
    return text
