"""DeepSpeed's CPU kernel, which it compiles when CPU ranks first join."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

BUILT = Path(__file__).parents[1] / ".cache" / "torch-extensions"
NAME = "deepspeed_shm_comm"
BUILD = "from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder; ShareMemCommBuilder().load()"
DESCRIBE = """
import platform, sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
try:
    print(f"{platform.python_version()}-torch-{version('torch')}-deepspeed-{version('deepspeed')}")
except PackageNotFoundError as error:
    print(error.name)
print(Path(sysconfig.get_paths()["include"], "Python.h").exists())
"""


def with_kernel(python: Path | str) -> dict[str, str]:
    """The environment variables with which DeepSpeed finds its kernel, compiled once for each interpreter.

    Skips the test where the kernel cannot be compiled.
    """
    python = Path(python)
    variables = os.environ | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",  # ninja is a Python package
        "DS_ACCELERATOR": "cpu",
    }
    found = subprocess.run([python, "-c", DESCRIBE], capture_output=True, text=True, check=True).stdout
    versions, headers = found.split()
    for missing, what in (
        (versions == "deepspeed", "the package deepspeed is not installed"),
        (not shutil.which("c++"), "DeepSpeed's CPU kernel needs a C++ compiler (Debian package g++)"),
        (headers != "True", "DeepSpeed's CPU kernel needs Python's headers (Debian package python3-dev)"),
    ):
        if missing:
            pytest.skip(what)
    # By environment: two of them would overwrite each other's, whose name is the same.
    folder = BUILT / f"{python.parents[1].name.lstrip('.')}-{versions}"
    variables["TORCH_EXTENSIONS_DIR"] = str(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / NAME / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            done = subprocess.run([python, "-c", BUILD], env=variables, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-5000:]
            (folder / NAME / "done").touch()
        # PyTorch waits for ever for the lock of a process that was killed.
        (folder / NAME / "lock").unlink(missing_ok=True)
    return variables
