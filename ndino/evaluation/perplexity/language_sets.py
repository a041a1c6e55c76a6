"""The answers in a language on which perplexity is measured unless others are named."""

from __future__ import annotations

from ndino.evaluation.tasks.llava_bench import LlavaBench
from ndino.evaluation.tasks.mtvqa import Mtvqa
from ndino.languages.known.published import published_sets


def sets_of_language(code: str) -> dict[str, str]:
    """The long answers and, where they are published in the language, the short ones: data sets by name."""
    found = {f"llava-bench-{code}": LlavaBench(code).source}
    if code in published_sets()["mtvqa"].languages:
        found[f"mtvqa-{code}"] = Mtvqa(code).source
    return found
