"""The packages of a language: a pair from English where there is one, else two over another language."""

from __future__ import annotations

import pytest

from miniature.debian_packages import packages_of

KNOWN = [
    "apertium", "apertium-eng-spa", "apertium-eng-cat", "apertium-cat-ita", "apertium-spa-ita",
    "apertium-eu-en", "apertium-dev", "tesseract-ocr", "tesseract-ocr-spa", "tesseract-ocr-cat",
    "tesseract-ocr-ita", "tesseract-ocr-eus", "tesseract-ocr-deu",
]  # fmt: skip


@pytest.mark.parametrize(
    ("lang", "packages"),
    [
        ("es", "apertium-eng-spa tesseract-ocr-spa"),
        ("ca", "apertium-eng-cat tesseract-ocr-cat"),
        ("it", "apertium-eng-spa apertium-spa-ita tesseract-ocr-ita"),
        ("eu", "apertium-eu-en tesseract-ocr-eus"),
        ("de", "tesseract-ocr-deu"),
        ("nv", ""),
    ],
)
def test_packages_of_a_language(lang, packages):
    assert " ".join(packages_of(lang, KNOWN)) == packages
