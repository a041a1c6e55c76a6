"""The languages that come with the kit. One that a user has begun may lie beside them, half-written."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "languages.md"


def _named_on(page: str) -> tuple[str, ...]:
    sentence = re.search(r"Shipped are .*?; English \(`en`\)", page, re.DOTALL)
    assert sentence, f"{PAGE} names the shipped languages no more"
    return tuple(sorted(re.findall(r"\(`([\w-]+)`\)", sentence[0])))


# Their codes, which the page gives in one sentence.
SHIPPED = _named_on(PAGE.read_text(encoding="utf-8"))
# Those with tasks: English is only translated from.
WITH_TASKS = tuple(code for code in SHIPPED if code != "en")
