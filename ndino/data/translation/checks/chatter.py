"""Does a language model talk about the translation, refuse it, or put it in quotes?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ndino.data.translation.text_measures import says

_QUOTES = "\"“”„«»‹›‘'`"
_PAIRS = {'"': '"', "“": "”", "„": "“”", "«": "»", "‹": "›", "‘": "’", "`": "`"}
_MARKDOWN = ("**", "```")
_APOSTROPHE = re.compile(r"[’ʼ`´]")

# By kind of chatter (announcing, refusing, offering), the words of one language.
Phrases = Mapping[str, Sequence[str]]


def chats(source: str, target: str, said: Sequence[Phrases], allowing: Phrases) -> bool:
    """Whether ``target`` announces or refuses the translation or offers more, which ``source`` does not.

    Args:
        said: the phrases of chatter of both languages.
        allowing: words of the source's language by kind; with one of them in ``source``, its translation may
            have phrases of this kind. A kind that is missing here is not checked.
    """
    ours, theirs = _folded(source), _folded(target)
    return any(
        any(says(theirs, phrases.get(kind, ())) for phrases in said)
        and not any(says(ours, words) for words in (allowed, *(phrases.get(kind, ()) for phrases in said)))
        for kind, allowed in allowing.items()
    )


def _folded(text: str) -> str:
    return _APOSTROPHE.sub("'", text.casefold())


def adds_quotes(source: str, target: str) -> bool:
    """Whether all of ``target`` is in quotes, or marked as bold or code, and ``source`` is not."""
    ours, theirs = source.strip(), target.strip()
    if any(theirs.startswith(mark) and mark not in ours for mark in _MARKDOWN):
        return True
    closing = _PAIRS.get(theirs[:1], "")
    text = theirs.rstrip(".,;:!?")
    if len(text) < 3 or not closing or text[-1] not in closing or ours[:1] in tuple(_QUOTES):
        return False
    # Two quotations may stand at both ends of a text: then the source has them elsewhere.
    return not any(mark in text[1:-1] for mark in (text[0], closing)) and not any(
        mark in ours for mark in _QUOTES.replace("'", "").replace("`", "")
    )
