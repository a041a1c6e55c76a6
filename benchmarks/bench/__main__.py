"""Run every benchmark and print one table: name, ratio, goal, whether it is reached, and on what.

    python -m benchmarks.bench                     an hour on two cores; also: make bench
    python -m benchmarks.bench --only tile_images guards

Each benchmark runs in a process of its own with its default size, one after the other, since two at a time
would disturb each other's times. What it prints goes to FOLDER/NAME.log, the table to FOLDER/bench.md. A
benchmark that cannot run says why in its row. The exit code is 1 if a goal is not reached.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from benchmarks.bench.table import BenchRow, lines_of, missing_row, rows_of, table

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = {
    path.stem: f"benchmarks.{path.stem}"
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    # Parts of others.
    if path.stem not in {"__init__", "cauldron_questions", "shape_matched", "upstream_loader_side"}
} | {
    path.parent.name: f"benchmarks.{path.parent.name}"
    for path in sorted((ROOT / "benchmarks").glob("*/__main__.py"))
    # This one, and the one that needs a GPU.
    if path.parent.name not in {"bench", "gpu"}
}
LONGEST_REASON = 200  # characters


def run(module: str, log: Path, seconds: float) -> list[BenchRow]:
    """Run one benchmark; returns its rows."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return [missing_row(module.rpartition(".")[2], f"not finished after {seconds:.0f} s")]
    log.write_text(f"{done.stdout}\n{done.stderr}", encoding="utf-8")
    rows = [row for result in lines_of(done.stdout) for row in rows_of(result)]
    if not rows:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        rows = [missing_row(module.rpartition(".")[2], said[:LONGEST_REASON])]
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "bench", help="default: runs/bench")
    parser.add_argument("--seconds", type=float, default=1800, help="limit of each (default: 1800)")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows: list[BenchRow] = []
    for name in tqdm(options.only, desc="Benchmarks"):
        rows += run(BENCHMARKS[name], options.folder / f"{name}.log", options.seconds)
        (options.folder / "bench.md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))
    return 1 if any(row.reached is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
