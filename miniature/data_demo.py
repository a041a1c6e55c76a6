"""Build a small data set of every kind with the real commands, check it and train on it.

    python -m miniature.data_demo            what `make data-demo` calls; a few minutes on two cores
    python -m miniature.data_demo --lang es  the same in Spanish

The sources are replaced by what Debian has. Tux Paint's stamps, served over HTTP on this machine, replace
Wikipedia; the Debian reference in the language replaces European laws; English questions about the stamps,
translated by Apertium, replace The Cauldron, LLaVA's conversations, SEED-Bench and POPE; questions in the
language replace MTVQA. What Debian does not have in the language, a reference or Apertium's pairs, is left
out, and a line says so. The demo then builds the recipes' mixes, runs `ndino data check`, shows what share of
each source passed, writes a page for reviewers, and trains three recipes for a few steps with tiny backbones.
Rerun it to resume.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from miniature.data_inputs import InputsError, choose_stamps, make_inputs, write_wit
from miniature.debian_files import DebianError, has_reference
from miniature.debian_packages import known_packages, translating
from miniature.worlds.stamp_files import StampsError, find_stamps
from ndino.cli import main as ndino
from ndino.common.errors import UsageError
from ndino.common.files import atomic_folder, write_text
from ndino.common.options import CommandParser, need_no_file
from ndino.common.startup import prepare_process
from ndino.formats.family import run_name
from ndino.languages.language import LanguageError, language
from ndino.languages.lexicon import stamp_words

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "launch" / "recipes"
OVERRIDES = Path(__file__).with_name("recipes.yaml")
TASKS = ("cocoqa", "localized_narratives", "visual7w")
# The first pages are the table of contents, which the command rejects: Tesseract is unsure of dotted lines.
PAGES = 24
MIXES: dict[str, tuple[str, ...]] = {
    "pt": ("wit", "eurlex"),
    "it": ("cauldron", "mtvqa"),
    "long": ("conversations",),
    "mix": ("cauldron", "mtvqa", "conversations"),
    "multi": ("conversations",),
}
BENCHMARKS = ("seed-bench", "pope")
SOURCES = ("wit", "eurlex", "cauldron", "conversations", "mtvqa", "benchmarks", "mlp")
REVIEWED = 24  # rows on the page for reviewers
TRANSLATED = ("cauldron", "conversations", "benchmarks")
COUNTED = ("cauldron", "mtvqa", "benchmarks")
# Apertium makes mistakes on the way there and back, so its right translations have low scores too.
SCORED = ("--quality", "back-translation")
FILTERED, MIN_QUALITY = "mix", 0.2
DATA_SETS = ("mlp", *MIXES)
LANGUAGE = "it"
CHAIN = ("mlp", "pt", "it")
STEPS = 10


class DataDemoError(RuntimeError):
    """A command failed; it has printed the reason."""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    named = "data-demo" if options.lang == LANGUAGE else f"data-demo-{options.lang}"
    out = options.out or Path("runs") / named
    # Libraries read these variables when they are imported.
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    try:
        need_no_file(out)
        stamp_words(options.lang)
    except UsageError as error:
        print(f"data demo: {error}", file=sys.stderr)
        return 2
    try:
        build(out, lang=options.lang, seed=options.seed)
        train(out, seed=options.seed)
    except (DebianError, InputsError, LanguageError, StampsError, DataDemoError) as error:
        print(f"data demo: {error}\ndata demo: rerun the same command to resume", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndata demo: stopped; rerun the same command to resume", file=sys.stderr)
        return 130
    print(f"\n{out}: checked every mix and trained a recipe on three of them.")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = CommandParser(
        prog="python -m miniature.data_demo",
        description=__doc__ or "",
        examples=["python -m miniature.data_demo --lang es"],
    )
    made.add_argument(
        "--lang", default=LANGUAGE, metavar="CODE", help="language of the data (default: %(default)s)"
    )
    made.add_argument("--out", type=Path, help="default: runs/data-demo, with the language where not Italian")
    made.add_argument("--seed", type=int, default=42, help="of stamps, mixes and training (default: 42)")
    return made


def build(out: Path, *, lang: str, seed: int) -> None:
    """Build the sources, their data sets in ``out/data`` and the mixes, check them, and write the tables.

    Raises:
        DataDemoError: a command failed.
    """
    inputs, data = out / "inputs", out / "data"
    sources = SOURCES
    for lack, lost in lacking(lang):
        are = f"the source {lost[0]} is" if len(lost) == 1 else f"the sources {', '.join(lost)} are"
        print(f"{lack}: {are} left out")
        sources = tuple(source for source in sources if source not in lost)
    found = {name: [source for source in mixed if source in sources] for name, mixed in MIXES.items()}
    mixes = {name: mixed for name, mixed in found.items() if mixed}
    make_inputs(inputs, lang=lang, seed=seed)
    build_wit(data / "wit", inputs / "wit.tsv.gz", lang=lang, seed=seed)
    to = ("--lang", lang)
    if "eurlex" in sources:
        run("eurlex", "--pdfs", inputs / "pdfs", "--pages", PAGES, "--out", data / "eurlex", *to)
    images = inputs / "images"
    if "cauldron" in sources:
        cauldron = ["cauldron", "--source", inputs / "the_cauldron", "--tasks", *TASKS]
        run(*cauldron, "--out", data / "cauldron", *to, *SCORED)
    if "conversations" in sources:
        conversations = ["conversations", inputs / "conversations.json", "--images", images]
        run(*conversations, "--out", data / "conversations", *to, *SCORED)
    run("native", "mtvqa", "--source", inputs / "MTVQA", "--split", "train", "--out", data / "mtvqa", *to)
    if "benchmarks" in sources:
        lmms_lab = inputs / "lmms-lab"
        run("benchmarks", "--source", lmms_lab, "--only", *BENCHMARKS, "--out", data / "benchmarks", *to)
    run("lcs", inputs / "captions.json", "--images", images, "--out", data / "mlp")
    for name, mixed in mixes.items():
        folders = [data / source for source in mixed]
        # --allow-short: the demo has fewer rows than the paper, and no EXAMS-V.
        scored = name == FILTERED and not {*TRANSLATED}.isdisjoint(mixed)
        poor = ["--min-quality", MIN_QUALITY] if scored else []
        run("mix", name, "--folders", *folders, "--out", data / name, "--seed", seed, "--allow-short", *poor)
    for name in ("mlp", *mixes):
        run("check", data / name)
    print("\n".join(["", *pass_rates(data / source for source in sources)]))
    run("review", data / "mix", "--n", REVIEWED)
    run("tables", *(data / name for name in COUNTED if name in sources), "--out", out / "tables")


def lacking(lang: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What Debian lacks in the language, and the sources that the demo leaves out for it."""
    name, known = language(lang).name, known_packages()
    if not has_reference(lang):
        yield f"Debian has no reference in {name}", ("eurlex",)
    if known is not None and not translating(lang, known):
        yield f"Debian has no Apertium packages from English to {name}", TRANSLATED


def pass_rates(folders: Iterable[Path]) -> Iterator[str]:
    """What the manifests say of each source: the share that passed, and the reasons of the rest."""
    for folder in folders:
        rates = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["pass_rates"]
        for source, rate in rates.items():
            reasons = "".join(f"; {reason} {share:g} %" for reason, share in rate["rejected_percent"].items())
            yield f"{source}: {rate['rows']:,} rows, {rate['passed_percent']:g} % passed{reasons}"


def build_wit(out: Path, table: Path, *, lang: str, seed: int) -> None:
    """Build the WIT source, downloading its images from a local server of the stamps folder."""
    stamps, address = find_stamps(), table.with_name("wit.address")
    if not (out / "manifest.json").is_file():
        before = address.read_text() if address.is_file() else ""
        with serve(stamps, before) as server:
            if server != before:
                # The table holds the server's address, and a source can only be resumed with the same table.
                shutil.rmtree(out, ignore_errors=True)
                words = stamp_words(lang)
                write_wit(table, choose_stamps(stamps, words, seed), server, words)
                write_text(address, server)
            _run_wit(out, table, lang)
    else:
        _run_wit(out, table, lang)


def _run_wit(out: Path, table: Path, lang: str) -> None:
    run("wit", table, "--out", out, "--contact", "demo@localhost", "--seconds-between", 0, "--lang", lang)


@contextlib.contextmanager
def serve(folder: Path, before: str) -> Iterator[str]:
    """Serve ``folder`` over HTTP and yield the address: ``before`` if that port is free, else another one."""
    port = int(before.rpartition(":")[2]) if before else 0
    handler = functools.partial(QuietHandler, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:  # the port is taken
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve files without logging requests."""

    def log_message(self, *arguments: object) -> None:
        pass


def run(command: str, *arguments: object) -> None:
    """Print and run `ndino data COMMAND`.

    Raises:
        DataDemoError: the command failed.
    """
    _run_ndino("data", command, *arguments)


def _run_ndino(*words: object) -> None:
    command = [str(word) for word in words]
    print(f"\n$ ndino {shlex.join(command)}", flush=True)
    if ndino(command):
        raise DataDemoError(f"ndino {command[0]} failed")


def train(out: Path, *, seed: int) -> None:
    """Train three stages for a few steps, each on its mix.

    Raises:
        DataDemoError: a stage failed.
    """
    data = out / "data"
    texts = [data / name / "data.jsonl" for name in DATA_SETS if (data / name).is_dir()]
    backbones = make_backbones(out / "backbones", texts, seed=seed)
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
        _run_ndino("train", recipe, "--overrides", out / "recipes.yaml", *files, "--out", run_folder, *start)
        start = ["--model", run_folder / "model"]


def make_backbones(folder: Path, texts: Sequence[Path], *, seed: int) -> Path:
    """Make a tiny language model and vision tower in ``folder``, with very little training."""
    from miniature.backbones import make_tokenizer, pretrain_language_model, pretrain_tower, texts_in

    if not folder.is_dir():
        with atomic_folder(folder) as made:
            pretrain_tower(made / "vision-tower", seed=seed, steps=STEPS)
            tokenizer = make_tokenizer(texts_in(texts), made / "language-model")
            pretrain_language_model(tokenizer, made / "language-model", seed=seed, steps=STEPS)
    return folder


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
