"""Which languages published sets of images with texts have: `published.yaml` beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ndino.common.parsing import parse_yaml


@dataclass(frozen=True)
class PublishedSet:
    """A published set.

    Attributes:
        gives: what is in it.
        source: where the list of its languages is from.
        languages: our codes.
        rows: the number of rows by code, where it is known.
    """

    title: str
    gives: str
    source: str
    languages: tuple[str, ...]
    rows: Mapping[str, int] = field(default_factory=dict)


@cache
def published_sets() -> Mapping[str, PublishedSet]:
    """The sets by name, such as ``eurlex``."""
    found = parse_yaml(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return {
        name: PublishedSet(**{**fields, "languages": tuple(fields["languages"])})
        for name, fields in found.items()
    }
