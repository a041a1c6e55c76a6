"""The models of a demo in several languages: in what each is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The stages after the one in English, and the part of a world that each is trained on.
STAGES = {"pt": "captions", "mix": "answers"}
FIRST = "mlp"
TEXT = "text"
# Of the rows of the stage with text alone, the weight of those without an image.
TEXT_SHARE = 0.2


@dataclass(frozen=True)
class Variant:
    """A model: ``weights`` of sources by stage, a source being ``captions@it``."""

    name: str
    weights: Mapping[str, Mapping[str, float]]


def alone(code: str) -> Variant:
    """The model of one language."""
    return _of_images(code, [code])


def together(codes: Sequence[str]) -> Variant:
    """The model of all languages, which have equal weights."""
    return _of_images("+".join(codes), codes)


def with_text(codes: Sequence[str]) -> Variant:
    """The model that sees images in the first language, and has text alone in the others."""
    first, *others = codes
    seen = _of_images(f"{first}+{TEXT}", [first])
    weights = {f"answers@{first}": 1 - TEXT_SHARE}
    weights |= {f"{TEXT}@{code}": TEXT_SHARE / len(others) for code in others}
    return Variant(seen.name, {**seen.weights, "mix": weights})


def variants(codes: Sequence[str]) -> list[Variant]:
    """All models of a demo in these languages."""
    return [*map(alone, codes), together(codes), with_text(codes)]


def run_of(model: Variant, stage: str, models: Sequence[Variant]) -> str:
    """The name of the run of a model's stage; models with the same rows so far share it."""
    done = [*STAGES][: [*STAGES].index(stage) + 1]
    first = next(each for each in models if all(each.weights[one] == model.weights[one] for one in done))
    return f"{'-'.join([FIRST, *done])}_{first.name}"


def _of_images(name: str, codes: Sequence[str]) -> Variant:
    return Variant(name, {stage: {f"{part}@{code}": 1.0 for code in codes} for stage, part in STAGES.items()})
