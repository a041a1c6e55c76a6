"""``killed.py TREE PYTHON STEP ARGUMENTS``: ``ndino ARGUMENTS``, killed once that checkpoint is complete.

The engine starts this file again as its trainer, which kills it from inside the save. So no checkpoint, and
no result, can come in between, however busy the machine is.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from pathlib import Path


def train(step: int, module: str) -> None:
    """Run upstream's trainer; its own arguments are in ``sys.argv``."""
    from ndino.train.callbacks import MarkComplete

    save = MarkComplete.on_save

    def on_save(self, args, state, control, **options) -> None:
        save(self, args, state, control, **options)
        if state.global_step == step:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)  # its standard input is closed now, which ends this process

    MarkComplete.on_save = on_save
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main(tree: Path, python: Path, step: str, *arguments: str) -> None:
    from ndino import cli
    from ndino.llava_next import engine

    program = Path(os.environ["GATED_PYTHON"])
    program.write_text(f'#!/bin/sh\nexec "{python}" "{Path(__file__).resolve()}" "{step}" "$@"\n')
    program.chmod(0o755)
    engine.find_tree = lambda: engine.Tree(tree, program)
    sys.exit(cli.main(list(arguments)))


if __name__ == "__main__":
    if "-m" in sys.argv:  # as the engine calls its trainer's Python
        step, _, module, *arguments = sys.argv[1:]
        sys.argv = [module, *arguments]
        train(int(step), module)
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
