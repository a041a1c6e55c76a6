"""One rank of a training job with the native engine; takes the arguments of ``python -m ndino.train``.

A rank that a signal stopped exits with status 0, because a launcher takes anything else for a failure.
Whether the stage is finished is then read from its folder (`ndino.cluster.attempts.outcome`).
"""

from __future__ import annotations

import sys

from ndino.common.startup import prepare_process
from ndino.train.__main__ import STOPPED, main

if __name__ == "__main__":
    prepare_process()
    status = main()
    sys.exit(0 if status == STOPPED else status)
