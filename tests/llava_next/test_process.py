"""What is shown of the upstream trainer's process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ndino.llava_next.process import LOG, run_trainer
from ndino.train.stage import StageError

TRAINER = """
import sys
for step in (1, 2):
    print(f'{{"step": {step}, "of": 4}}')
print("ValueError: bad rows")
sys.exit(1)
"""


def test_the_line_of_steps_is_ended_before_an_error(tmp_path, capsys):
    package = tmp_path / "tree" / "llava" / "train"
    package.mkdir(parents=True)
    (package / "train_mem.py").write_text(TRAINER)
    with pytest.raises(StageError, match=r"failed: ValueError: bad rows \(remedy: see .*train.log\)"):
        run_trainer(Path(sys.executable), tmp_path / "tree", [], tmp_path, None)
    assert capsys.readouterr().out == "\rstep 1 of 4\rstep 2 of 4\n"
    assert (tmp_path / LOG).read_text() == "ValueError: bad rows\n"
