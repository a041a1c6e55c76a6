"""What tests that run upstream's own code need."""

from __future__ import annotations

import pytest

from ndino.convert.verify import upstream_is_there


def needs_upstream(test):
    """Mark a test as one that runs upstream's code; where that is not set up it is skipped and named."""
    reason = "third_party/LLaVA-NeXT is not set up: make setup LLAVA_NEXT_URL=..."
    return pytest.mark.upstream(pytest.mark.skipif(not upstream_is_there(), reason=reason)(test))
