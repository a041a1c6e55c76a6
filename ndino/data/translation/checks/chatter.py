"""Does a language model talk about the translation, refuse it, or put it in quotes?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ndino.data.translation.text_measures import says

_QUOTES = "\"“”„«»‹›‘'`"
_PAIRS = {'"': '"', "“": "”", "„": "“”", "«": "»", "‹": "›", "‘": "’", "`": "`"}
_MARKDOWN = ("**", "```")
_MARKED = {"*": "*", "_": "_", "[": "]"}
# A role of a chat template in front, and a mark of a list.
_ROLE = re.compile(
    r"(?:[Aa]ssistant|[Uu]ser|[Hh]uman|[Mm]odel|[Ss]ystem)\s*:|(?:assistant|model)\s+(?=[A-ZÀ-Þ¿¡])"
)
_LIST_MARK = re.compile(r"[-*•–]\s")
_TWO_STOPS = re.compile(r"(?<!\.)\.\.\Z")
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
    """Whether ``target`` has quotes, brackets or marks of bold, italics or code around it, or a role of a
    chat, a mark of a list or a second full stop, and ``source`` has not."""
    ours, theirs = source.strip(), target.strip()
    if any(theirs.startswith(mark) and mark not in ours for mark in _MARKDOWN):
        return True
    if any(mark.match(theirs) and not mark.match(ours) for mark in (_ROLE, _LIST_MARK)):
        return True
    if _TWO_STOPS.search(theirs) and not ours.endswith(".."):
        return True
    whole = theirs.rstrip(".,;:!?")
    marked = _MARKED.get(whole[:1], " ")
    if len(whole) > 2 and whole.endswith(marked) and whole.count(marked) < 3 and ours[:1] != whole[0]:
        return True
    closing = _PAIRS.get(theirs[:1], "")
    if len(whole) < 3 or not closing or whole[-1] not in closing or ours[:1] in tuple(_QUOTES):
        return False
    # Two quotations may stand at both ends of a text: then the source has them elsewhere.
    return not any(mark in whole[1:-1] for mark in (whole[0], closing)) and not any(
        mark in ours for mark in _QUOTES.replace("'", "").replace("`", "")
    )
