"""The upstream trees: fetched at a pinned commit, verified, patched, and laid over with files of ours.

`upstream.toml` pins them. `make setup` runs ``python -m ndino.upstream setup``, `make unpatch` its reverse;
docs/overlay.md tells what is patched and why.
"""

from __future__ import annotations

from ndino.upstream.checkout import llava_next_folder
from ndino.upstream.errors import Unreachable, UpstreamError
from ndino.upstream.overlay import lmms_eval_folder

__all__ = ["Unreachable", "UpstreamError", "llava_next_folder", "lmms_eval_folder"]
