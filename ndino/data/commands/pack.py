"""Pack a data set into one mountable SquashFS file, for clusters that limit the number of files."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from ndino.common.files import BLOCK_BYTES, sha256_of
from ndino.common.locks import exclusive_lock
from ndino.data.errors import DataError
from ndino.data.framework.folders import open_folder, refuse_changed
from ndino.data.framework.layout import DATA, IMAGES

SUFFIX = ".squashfs"
USE = """Then, as root:       mount -o loop,ro {file} {folder}
without root:        squashfuse {file} {folder}      (fusermount -u {folder} takes it away)
in a container:      apptainer exec --bind {file}:/data:image-src=/ ndino.sif ..."""


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "pack",
        help="one SquashFS file of a data set, for clusters that limit the number of files",
        description="Pack a finished data folder into one SquashFS file (needs mksquashfs). Leaves out what "
        "only serves to resume a source: shards/ and the translation memory.\n\n"
        + textwrap.indent(USE.format(file="data/pt.squashfs", folder="mnt"), "  "),
        examples=["ndino data pack data/pt"],
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="a finished data folder")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help=f"the file to write (default: FOLDER{SUFFIX})"
    )
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    folder = args.folder.resolve()
    out = args.out or folder.with_name(folder.name + SUFFIX)
    files = pack(folder, out)
    print(f"{out}: {files:,} files, {out.stat().st_size / 1024**2:,.1f} MiB")
    print(USE.format(file=out, folder="FOLDER"))
    return 0


def pack(folder: Path, out: Path) -> int:
    """Pack the data folder into the file ``out``, which appears only after it has been read back and checked.

    Equal folders give equal files. Returns the number of packed files.

    Raises:
        DataError: squashfs-tools are missing, the folder is unfinished or has changed, or packing failed.
        BusyError: another process is packing into the same folder.
    """
    for program in ("mksquashfs", "unsquashfs"):
        if shutil.which(program) is None:
            raise DataError(f"{program} is not installed (remedy: apt-get install squashfs-tools)")
    data = open_folder(folder)
    digest = sha256_of(data.data)
    refuse_changed(data, digest)
    if not data.data.stat().st_size:
        raise DataError(f"{data.data}: no rows (remedy: build the folder again)")
    wanted = _files(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part").resolve()
    with exclusive_lock(
        out.parent, f"{out.parent}: another process is packing into it (remedy: wait for it)"
    ) as held:
        _make(folder, sorted({name.partition("/")[0] for name in wanted}), part, held)
        if missing := wanted - _listed(part, held):
            raise DataError(f"{part}: {min(missing)} is missing in it (remedy: run the command again)")
        if _sha256_in(part, DATA, held) != digest:
            raise DataError(f"{part}: its {DATA} differs from the folder's (remedy: run the command again)")
        os.replace(part, out)
    return len(wanted)


def _make(folder: Path, names: Sequence[str], part: Path, held: int) -> None:
    watched = sys.stderr.isatty()
    command = ["mksquashfs", *names, str(part), "-noappend", "-comp", "zstd", "-Xcompression-level", "3"]
    command += ["-all-root", "-no-xattrs", "-mkfs-time", "0", "-all-time", "0", "-quiet"]
    with _program(
        command if watched else [*command, "-no-progress"],
        held,
        cwd=folder,
        stdout=sys.stderr if watched else subprocess.DEVNULL,
    ):
        pass


def _listed(part: Path, held: int) -> set[str]:
    with _output(["unsquashfs", "-lc", "-d", "", str(part)], held) as output:
        return {os.fsdecode(line.rstrip(b"\n").removeprefix(b"/")) for line in output}


def _sha256_in(part: Path, name: str, held: int) -> str:
    content = hashlib.sha256()
    with _output(["unsquashfs", "-cat", str(part), name], held) as output:
        while block := output.read(BLOCK_BYTES):
            content.update(block)
    return content.hexdigest()


def _files(folder: Path) -> set[str]:
    """What is packed: the JSON, JSONL and Markdown files, and all images, but no databases."""
    beside = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    found = {path.name for path in beside if path.suffix in (".json", ".jsonl", ".md")}
    images = (path for path in (folder / IMAGES).rglob("*") if path.is_file())
    return found | {path.relative_to(folder).as_posix() for path in images}


@contextlib.contextmanager
def _output(command: Sequence[str], held: int) -> Iterator[IO[bytes]]:
    with _program(command, held, stdout=subprocess.PIPE) as program:
        yield cast("IO[bytes]", program.stdout)


@contextlib.contextmanager
def _program(command: Sequence[str], held: int, **options: Any) -> Iterator[subprocess.Popen]:
    """Run a program that inherits the lock ``held``: it may outlive this process if that is killed."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, pass_fds=[held], stderr=errors, **options) as program,
    ):
        yield program
        if program.wait():
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit status {program.returncode}"
            raise DataError(
                f"{command[0]}: {reason} (remedy: check free disk space and run the command again)"
            )
