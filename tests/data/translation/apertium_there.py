"""Marks for tests that translate with Apertium."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

MODES = Path("/usr/share/apertium/modes")
needs_apertium = [
    pytest.mark.system,
    pytest.mark.skipif(
        shutil.which("apertium") is None
        or not {"eng-spa", "spa-ita"} <= {mode.stem for mode in MODES.glob("*.mode")},
        reason="needs Apertium (Debian packages apertium apertium-eng-spa apertium-spa-ita)",
    ),
]
# The way back from Italian, for scores.
needs_apertium_back = [
    *needs_apertium,
    pytest.mark.skipif(shutil.which("cg-proc") is None, reason="needs cg-proc (Debian package cg3)"),
]
