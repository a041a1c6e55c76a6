"""``accelerate launch``, which does not end when SLURM tells the ranks to save.

    python -m ndino.cluster.launch --config_file launch/accelerate/zero3.yaml … -m ndino.cluster.rank …

SLURM sends USR1 and TERM to every process of a job step. PyTorch's launcher would pass TERM on and kill
after 30 seconds whoever is still saving. Here both signals are blocked for good; the ranks inherit that, and
find at the end of a step what they were sent (`ndino.train.callbacks.StopOnSignal`).
"""

from __future__ import annotations

import signal
import sys

from ndino.common.startup import prepare_process


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1, signal.SIGTERM))
    from accelerate.commands.launch import main as launch

    launch()


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
