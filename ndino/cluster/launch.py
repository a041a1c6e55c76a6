"""``accelerate launch`` that survives the signals by which SLURM asks the ranks to save.

    python -m ndino.cluster.launch --config_file launch/accelerate/zero3.yaml … -m ndino.rank …

SLURM sends USR1 and TERM to every process of a job step. PyTorch's launcher would forward TERM and kill ranks
that are still saving after 30 seconds. Here both signals are blocked for the whole process; the ranks inherit
the mask and look for pending signals at the end of each training step (`ndino.train.callbacks.StopOnSignal`).
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
