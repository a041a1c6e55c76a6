"""Rows per second of selecting one language from a WIT table, against pandas.read_csv in chunks.

    python -m benchmarks.wit                     200 MB, a few seconds
    python -m benchmarks.wit --megabytes 1000    memory on a large file; needs as much disk for a while

The table is synthetic: its languages have roughly WIT's shares, each with its own letters, and a third of the
texts contain quotes and line breaks, as written by Python's csv module. For a fair comparison pandas reads
only the columns that are needed, all as text. The two sides alternate, each in its own process, and return
the same columns of the same rows. Time is CPU seconds of reading; memory is the process's largest resident
size, imports included.

Goal: 2 times pandas' rows per CPU second, with equal rows. The last line is JSON: ``name``, ``ratio`` (rows
per CPU second, ours over pandas), ``goal``, ``equal`` (same rows) and ``conditions``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench.result import print_result
from ndino.data.sources.wit_table import COLUMNS, WitRow, WitTable

ROOT = Path(__file__).resolve().parents[1]
GOAL = 2.0
LANGUAGE = "it"
TAKEN = (
    "language",
    "page_url",
    "image_url",
    "caption_reference_description",
    "original_width",
    "context_section_description",
)
CHUNK_ROWS = 100_000  # for pandas: the fastest of 2,000 to 100,000, and the one that needs most memory
POOL = 8000  # different rows; the file repeats them
LATIN, CYRILLIC = "aeiounrtlscdpmàèò", "абвгдеиклмнопрст"
ALPHABETS = {
    "ru": CYRILLIC,
    "uk": CYRILLIC,
    "ja": "のはをがにでとたて国年月日",
    "zh": "的一是在不了有和人这中",
}
ALPHABETS["ar"] = ALPHABETS["fa"] = "ابتثجحخدذرزسش"
# Percent of the rows by language; English gets the rest.
SHARES = {"de": 9, "fr": 8, "es": 5, "ru": 5, "it": 2.8, "pl": 4, "nl": 4, "ja": 4, "zh": 4, "pt": 4}
SHARES |= {"uk": 4, "sv": 4, "ar": 2, "fa": 2, "be-tarask": 1}
SHARES["en"] = 100 - sum(SHARES.values())


def write_table(path: Path, megabytes: int) -> int:
    """Write a synthetic table of about this size; returns the number of its rows."""
    draw = random.Random(0)
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t", lineterminator="\n")
    for number in range(POOL):
        writer.writerow(_row(number, draw))
    block = file.getvalue().encode()
    times = max(1, round(megabytes * 1e6 / len(block)))
    with path.open("wb") as out:
        out.write("\t".join(COLUMNS).encode() + b"\n")
        for _ in range(times):
            out.write(block)
    return times * POOL


def _row(number: int, draw: random.Random) -> list[str]:
    language = draw.choices(list(SHARES), list(SHARES.values()))[0]
    letters = ALPHABETS.get(language, LATIN)

    def words(count: int) -> str:
        return " ".join("".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(count))

    def text(count: int) -> str:
        found = words(count).split()
        for _ in range(draw.randint(1, 4) if draw.random() < 0.33 else 0):
            place = draw.randrange(count)
            found[place] = f'"{found[place]}"'
        if draw.random() < 0.33:
            found[draw.randrange(count)] += ".\n"
        return " ".join(found)

    def maybe(share: float, count: int) -> str:
        return text(count) if draw.random() < share else ""

    name = f"File_{number}"
    return [
        language,
        f"https://{language}.wikipedia.org/wiki/{name}",
        f"http://upload.wikimedia.org/wikipedia/commons/5/5f/{name}.jpg",
        name,
        maybe(0.7, 2),
        name,
        maybe(0.45, 12),
        maybe(0.9, 12),
        maybe(0.15, 8),
        "image/jpeg",
        str(draw.randint(200, 5000)),
        str(draw.randint(200, 5000)),
        "true",
        "true",
        "true",
        maybe(0.95, 110),
        maybe(0.85, 100),
    ]


def streamed(path: Path) -> Iterator[tuple[str, ...]]:
    for row in WitTable(path, LANGUAGE):
        if not isinstance(row, WitRow):
            raise SystemExit(f"unexpected fault in the table: {row}")
        yield tuple(row.fields[column] for column in TAKEN)


def pandas_chunks(path: Path) -> Iterator[tuple[str, ...]]:
    import pandas

    options = {"dtype": str, "keep_default_na": False, "na_filter": False, "chunksize": CHUNK_ROWS}
    for chunk in pandas.read_csv(path, sep="\t", usecols=TAKEN, **options):
        yield from chunk[chunk["language"] == LANGUAGE][list(TAKEN)].itertuples(index=False, name=None)


WAYS = {"streamed": streamed, "pandas": pandas_chunks}


def run_one(way: str, path: Path) -> None:
    """Read all rows, then print CPU seconds, peak memory and a hash of the rows. Runs in its own process."""
    if way == "pandas":
        import pandas  # noqa: F401  importing it is not part of reading
    rows, total = 0, hashlib.sha256()
    seconds = 0.0
    found = WAYS[way](path)
    while True:
        begun = time.process_time()
        row = next(found, None)
        seconds += time.process_time() - begun
        if row is None:
            break
        rows += 1
        total.update(json.dumps(row).encode())
    # VmHWM is this program's own peak; getrusage's value starts from the peak of the parent process.
    said = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert said is not None
    peak = int(said[1]) / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "found": rows, "sha256": total.hexdigest()}))


def measure(way: str, path: Path) -> dict:
    command = [sys.executable, "-m", "benchmarks.wit", "--run", way, str(path)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200, help="size of the table (default: 200)")
    parser.add_argument("--turns", type=int, default=3, help="readings each way (default: 3)")
    parser.add_argument("--run", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_one(options.run[0], Path(options.run[1]))
        return 0
    with tempfile.TemporaryDirectory(prefix="ndino-wit-") as temporary:
        path = Path(temporary) / "wit.tsv"
        rows = write_table(path, options.megabytes)
        size = path.stat().st_size
        found = {way: [] for way in WAYS}
        for _ in range(options.turns):
            for way in WAYS:
                found[way].append(measure(way, path))
                last = found[way][-1]
                print(f"{way}: {last['seconds']:.2f} s, {last['peak_mib']:,.0f} MiB", flush=True)
    seconds = {way: min(turn["seconds"] for turn in turns) for way, turns in found.items()}
    equal = len({(turn["found"], turn["sha256"]) for turns in found.values() for turn in turns}) == 1
    print_result(
        "wit",
        ratio=round(seconds["pandas"] / seconds["streamed"], 2),
        goal=GOAL,
        equal=equal,
        conditions={
            "measure": "rows per CPU second, ours over pandas.read_csv in chunks",
            "rows_per_second": {way: round(rows / value) for way, value in seconds.items()},
            "cpu_seconds": {way: round(value, 3) for way, value in seconds.items()},
            "peak_mib": {way: round(max(turn["peak_mib"] for turn in turns)) for way, turns in found.items()},
            "rows": rows,
            "rows_of_the_language": found["streamed"][0]["found"],
            "bytes": size,
            "columns": len(TAKEN),
            "chunk_rows": CHUNK_ROWS,
            "turns": options.turns,
        },
        packages=("pandas",),
    )
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
