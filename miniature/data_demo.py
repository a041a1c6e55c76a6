"""A small Italian data set of every kind, built with the real commands, checked and trained on.

    python -m miniature.data_demo            what `make data-demo` calls; a few minutes on two cores

Debian's Tux Paint stamps, served over HTTP on this machine, stand in for Wikipedia; the Debian reference in
Italian for European laws; English questions about the stamps, translated by Apertium, for The Cauldron and
LLaVA's conversations, for SEED-Bench and POPE; Italian ones for MTVQA. Then the mixes of the recipes,
`ndino data check`, and a few steps of three recipes with tiny backbones. A second start goes on where the
first stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from miniature.data_inputs import choose_stamps, make_inputs, write_wit
from miniature.debian_files import DebianError
from miniature.worlds.stamp_files import StampsError, find_stamps
from ndino.cli import main as ndino
from ndino.common.files import atomic_folder, write_text
from ndino.common.startup import prepare_process
from ndino.formats.recipes import run_name

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "launch" / "recipes"
OVERRIDES = Path(__file__).with_name("recipes.yaml")
TASKS = ("cocoqa", "localized_narratives", "visual7w")
# The book begins with its contents, whose dotted lines Tesseract is not sure of: those pages are set aside.
PAGES = 24
MIXES = {
    "pt": ("wit", "eurlex"),
    "it": ("cauldron", "mtvqa"),
    "long": ("conversations",),
    "mix": ("cauldron", "mtvqa", "conversations"),
    "multi": ("conversations",),
}
BENCHMARKS = ("seed-bench", "pope")
COUNTED = ("cauldron", "mtvqa", "benchmarks")
DATA_SETS = ("mlp", *MIXES)
CHAIN = ("mlp", "pt", "it")
STEPS = 10


class DemoError(RuntimeError):
    """A command that failed; it has said why."""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    # Read when libraries are imported.
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    try:
        build(options.out, seed=options.seed)
        train(options.out, seed=options.seed)
    except (DebianError, StampsError, DemoError) as error:
        print(f"data demo: {error}\ndata demo: the same command goes on where this stopped", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndata demo: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"\n{options.out}: every mix is checked, and a recipe has trained on three of them.")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m miniature.data_demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--out", type=Path, default=Path("runs/data-demo"), help="default: runs/data-demo")
    made.add_argument("--seed", type=int, default=42, help="of stamps, mixes and training (default: 42)")
    return made


def build(out: Path, *, seed: int) -> None:
    """Make the sources, their data sets in ``out/data``, and the mixes; check them and count.

    Raises:
        DemoError: a command failed.
    """
    inputs, data = out / "inputs", out / "data"
    make_inputs(inputs, seed=seed)
    build_wit(data / "wit", inputs / "wit.tsv.gz", seed=seed)
    run("eurlex", "--pdfs", inputs / "pdfs", "--pages", PAGES, "--out", data / "eurlex")
    run("cauldron", "--source", inputs / "the_cauldron", "--tasks", *TASKS, "--out", data / "cauldron")
    images = inputs / "images"
    run("conversations", inputs / "conversations.json", "--images", images, "--out", data / "conversations")
    run("native", "mtvqa", "--source", inputs / "MTVQA", "--split", "train", "--out", data / "mtvqa")
    lmms_lab = inputs / "lmms-lab"
    run("benchmarks", "--source", lmms_lab, "--only", *BENCHMARKS, "--out", data / "benchmarks")
    run("lcs", inputs / "captions.json", "--images", images, "--out", data / "mlp")
    for name, sources in MIXES.items():
        folders = [data / source for source in sources]
        # The demo has fewer rows than the paper, and no EXAMS-V: the command says so.
        run("mix", name, "--folders", *folders, "--out", data / name, "--seed", seed, "--allow-short")
    for name in DATA_SETS:
        run("check", data / name)
    run("tables", *(data / name for name in COUNTED), "--out", out / "tables")


def build_wit(out: Path, table: Path, *, seed: int) -> None:
    """The wit source, its images downloaded from a server that serves the folder of stamps."""
    stamps, address = find_stamps(), table.with_name("wit.address")
    if not (out / "manifest.json").is_file():
        before = address.read_text() if address.is_file() else ""
        with serve(stamps, before) as server:
            if server != before:
                # A begun source goes on with the same table only, and the addresses are part of it.
                shutil.rmtree(out, ignore_errors=True)
                write_wit(table, choose_stamps(stamps, seed), server)
                write_text(address, server)
            _run_wit(out, table)
    else:
        _run_wit(out, table)


def _run_wit(out: Path, table: Path) -> None:
    run("wit", table, "--out", out, "--contact", "demo@localhost", "--seconds-between", 0)


@contextlib.contextmanager
def serve(folder: Path, before: str) -> Iterator[str]:
    """Serve ``folder`` on this machine, at the address ``before`` if that is free; yields the address."""
    port = int(before.rpartition(":")[2]) if before else 0
    handler = functools.partial(QuietHandler, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:  # somebody else has the port now
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *arguments: object) -> None:
        pass


def run(command: str, *arguments: object) -> None:
    """Run a data command as a user would, and show it.

    Raises:
        DemoError: it failed.
    """
    _ndino("data", command, *arguments)


def _ndino(*words: object) -> None:
    command = [str(word) for word in words]
    print(f"\n$ ndino {shlex.join(command)}", flush=True)
    if ndino(command):
        raise DemoError(f"ndino {command[0]} failed")


def train(out: Path, *, seed: int) -> None:
    """Train three stages for a few steps, each on its mix.

    Raises:
        DemoError: a stage failed.
    """
    data = out / "data"
    backbones = make_backbones(
        out / "backbones", [data / name / "data.jsonl" for name in DATA_SETS], seed=seed
    )
    overrides = yaml.safe_load(OVERRIDES.read_text(encoding="utf-8"))
    for stage in CHAIN:
        overrides[stage] |= {"max_steps": STEPS, "save_steps": STEPS}
    write_text(out / "recipes.yaml", yaml.safe_dump(overrides))
    start: list[object] = ["--language-model", backbones / "language-model"]
    start += ["--vision-tower", backbones / "vision-tower"]
    for length, stage in enumerate(CHAIN, start=1):
        recipe = Path(os.path.relpath(RECIPES / f"{stage}.yaml"))
        files = ["--data", data / stage / "data.jsonl", "--images", data / stage / "images"]
        run_folder = out / "runs" / run_name(CHAIN[:length])
        _ndino("train", recipe, "--overrides", out / "recipes.yaml", *files, "--out", run_folder, *start)
        start = ["--model", run_folder / "model"]


def make_backbones(folder: Path, texts: Sequence[Path], *, seed: int) -> Path:
    """A tiny language model and vision tower that have hardly learned anything, in ``folder``."""
    from miniature.backbones import make_tokenizer, teach_language_model, teach_tower, texts_in

    if not folder.is_dir():
        with atomic_folder(folder) as made:
            teach_tower(made / "vision-tower", seed=seed, steps=STEPS)
            tokenizer = make_tokenizer(texts_in(texts), made / "language-model")
            teach_language_model(tokenizer, made / "language-model", seed=seed, steps=STEPS)
    return folder


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
