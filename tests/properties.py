"""How many examples a property is tried with. The profiles are in conftest.py."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def examples(count: int, **others: Any) -> settings:
    """``count`` examples where other properties get 100, and in proportion where the profile gives more.

    ``others`` are further settings of Hypothesis.
    """
    return settings(max_examples=max(1, count * settings().max_examples // 100), **others)
