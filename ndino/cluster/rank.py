"""One rank of a training job with the native engine; takes the arguments of ``python -m ndino.train``.

A rank that a signal has stopped ends with status 0: a launcher would call anything else a failure. Whether
the stage is finished is read off its folder afterwards (`ndino.cluster.attempts.outcome`).
"""

from __future__ import annotations

import sys

from ndino.common.startup import prepare_process
from ndino.train.__main__ import STOPPED, main

if __name__ == "__main__":
    prepare_process()
    status = main()
    sys.exit(0 if status == STOPPED else status)
