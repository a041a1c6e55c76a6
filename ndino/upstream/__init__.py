"""Sets up the upstream trees: fetches pinned commits, verifies and patches them, links our files into them.

`upstream.toml` has the pins. `make setup` runs ``python -m ndino.upstream setup``, `make unpatch` undoes it.
docs/overlay.md lists the patches and their reasons.
"""

from __future__ import annotations

from ndino.upstream.checkout import llava_next_folder
from ndino.upstream.errors import Unreachable, UpstreamError
from ndino.upstream.overlay import lmms_eval_folder

__all__ = ["Unreachable", "UpstreamError", "llava_next_folder", "lmms_eval_folder"]
