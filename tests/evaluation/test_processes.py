from __future__ import annotations

import os
import subprocess
import sys

from ndino.evaluation.processes import Processes

# Each process notes what it does: the second must find the first's note.
SCRIPT = """
import sys
from pathlib import Path
from ndino.evaluation.processes import Processes
notes = Path(sys.argv[1])
processes = Processes.join()
with processes.first_alone():
    found = sorted(path.name for path in notes.iterdir())
    (notes / str(processes.rank)).write_text(f"{processes.count} {found}")
"""


def test_a_process_by_itself_is_the_first_of_one(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes = Processes.join()
    assert processes == Processes(0, 1)
    with processes.first_alone():
        pass


def test_the_first_process_goes_ahead_of_the_others(tmp_path):
    accelerate = "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1"
    options = "--main_process_port 0 --mixed_precision no --dynamo_backend no"
    (tmp_path / "script.py").write_text(SCRIPT)
    notes = tmp_path / "notes"
    notes.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            *accelerate.split(),
            *options.split(),
            str(tmp_path / "script.py"),
            str(notes),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (notes / "0").read_text() == "2 []"
    assert (notes / "1").read_text() == "2 ['0']"
