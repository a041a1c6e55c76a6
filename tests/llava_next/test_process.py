"""What is shown of the upstream trainer's process."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from ndino.llava_next.process import LOG, run_trainer
from ndino.train.callbacks import STOP_SIGNALS
from ndino.train.stage import StageError

TRAINER = """
import sys
for step in (1, 2):
    print(f'{{"step": {step}, "of": 4}}')
print("ValueError: bad rows")
sys.exit(1)
"""


LISTENING = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print('{"step": 1, "of": 4}', flush=True)
print("told" if signal.sigtimedwait([signal.SIGUSR1], 20) else "not told")
"""


def write_trainer(folder: Path, program: str) -> None:
    package = folder / "tree" / "llava" / "train"
    package.mkdir(parents=True)
    (package / "train_mem.py").write_text(program)


@pytest.mark.parametrize("number", [signal.SIGINT, *STOP_SIGNALS])
def test_signals_reach_the_trainer_as_the_one_that_it_listens_to(tmp_path, number):
    write_trainer(tmp_path, LISTENING)
    before = signal.getsignal(number)
    run_trainer(
        Path(sys.executable),
        tmp_path / "tree",
        [],
        tmp_path,
        lambda *_: os.kill(os.getpid(), number),
        (signal.SIGINT, *STOP_SIGNALS),
    )
    assert (tmp_path / LOG).read_text() == "told\n" and signal.getsignal(number) == before


def test_the_line_of_steps_is_ended_before_an_error(tmp_path, capsys):
    write_trainer(tmp_path, TRAINER)
    with pytest.raises(StageError, match=r"failed: ValueError: bad rows \(remedy: see .*train.log\)"):
        run_trainer(Path(sys.executable), tmp_path / "tree", [], tmp_path, None)
    assert capsys.readouterr().out == "\rstep 1 of 4\rstep 2 of 4\n"
    assert (tmp_path / LOG).read_text() == "ValueError: bad rows\n"
