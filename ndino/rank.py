"""One rank of a training job with the native engine; takes the arguments of ``ndino train``.

A rank that a signal stopped exits with status 0, because a launcher takes anything else for a failure.
Whether the stage is finished is then read from its folder (`ndino.cluster.attempts.outcome`).
"""

from __future__ import annotations

import sys

from ndino.cli import STOPPED, main

if __name__ == "__main__":
    status = main(command="train")
    sys.exit(0 if status == STOPPED else status)
