"""Which rows of a data set show images of a benchmark: a table by source, and a clean copy without them."""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError
from ndino.common.files import atomic_folder, digest_of, sha256_of, write_json, write_text
from ndino.common.images import find_file
from ndino.common.options import need_file, need_folder
from ndino.common.provenance import commit, versions
from ndino.data.framework.arguments import NAME_DATA, add_data_arguments, add_workers_argument, data_file
from ndino.data.framework.card import card
from ndino.data.framework.folders import PACKAGES, images_of, read_manifest
from ndino.data.framework.journal import json_line, json_rows
from ndino.data.framework.layout import CARD, DATA, IMAGES, MANIFEST, REJECTS
from ndino.data.framework.links import link_image
from ndino.data.framework.quality import QualityCounts
from ndino.data.leaks.benchmarks import GENERIC, BenchmarkIndex, SearchedBenchmark
from ndino.data.leaks.compare import CORRELATION, LEAST, NEAR, OUTLIER, POSSIBLE
from ndino.data.leaks.hashes import MOST_BITS, MOST_DIFFERENCE, HashStore
from ndino.data.leaks.matching import MATCHES, POSSIBLY, SEEN, surest
from ndino.data.leaks.search import KINDS, LeakCounts, check_rows, search
from ndino.formats.llava_json import need_images, read_records

FOUND, CACHE = ".jsonl", ".hashes.sqlite"
SHOWN_FAULTS = 3
OF_IMAGES = ("images", *MATCHES, "rows_seen")  # what says nothing of a benchmark whose images are not there
LIMITS = {
    "bits": MOST_BITS, "thumbnail": MOST_DIFFERENCE, "correlation": CORRELATION, "near": NEAR,
    "possible": POSSIBLE, "least": LEAST, "outlier": OUTLIER, "generic": GENERIC,
}  # fmt: skip
SEARCHED_WITH = (*PACKAGES, "ImageHash")  # packages whose versions are recorded


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "leaks",
        help="training rows that show images of a benchmark",
        description="Compare the images and questions of a LLaVA data set with those of every benchmark: "
        "equal pixels, nearly equal images (size, compression, a narrow crop), and the questions' words. "
        "Exam sheets, signs and screenshots of one layout have almost the same perceptual hash, so images "
        "with similar hashes are compared block by block. "
        "Prints the rows by source and benchmark, and writes the counts to --out and the rows beside it. "
        "Hashes are kept there too; rerun to resume.\n\n"
        "  exact      rows with an image of the same pixels\n"
        "  near       rows with a nearly equal image, and no equal one\n"
        "  possible   rows with an image that agrees in part or but for a detail, such as a digit, or is\n"
        "             too plain to tell: not counted as seen\n"
        "             and never dropped; look at them in the .jsonl beside --out\n"
        "  question   of exact and near, rows that ask one of the benchmark's questions about that image;\n"
        "             questions that the benchmark asks about more than a tenth of its images do not count\n"
        "  text       other rows with a question that the benchmark and the data each ask about a single\n"
        "             image: no leak by itself, and never dropped",
        examples=[
            "ndino data leaks data/it --benchmarks data/benchmarks",
            "ndino data leaks data/it --benchmarks data/benchmarks --drop data/it-clean",
        ],
    )
    command.add_argument(
        "--benchmarks",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder with the benchmarks under their hub names, as for ndino evaluate --data",
    )
    add_data_arguments(command)
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="the counts, a .json (default: leaks.json beside DATA)"
    )
    command.add_argument(
        "--drop",
        type=Path,
        metavar="FOLDER",
        help="also write the data set without the exact and near rows, these as rejects; possible ones stay",
    )
    add_workers_argument(command, "processes that open images")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    file = need_file(data_file(args.data), NAME_DATA)
    need_folder(args.benchmarks, "name the folder of ndino evaluate --data")
    images = args.images or file.parent / IMAGES
    need_images(file, images, "name the folder of the images with --images")
    out = args.out or file.with_name("leaks.json")
    if out.suffix != ".json":
        raise UsageError(f"--out {out}: does not end in .json (remedy: --out {out.with_suffix('.json')})")
    if args.drop is not None and args.drop.exists():
        raise UsageError(f"{args.drop}: is there already (remedy: another --drop, or remove it)")
    # One that is not installed is reported here: hashes and table need them, after up to hours of work.
    import imagehash  # noqa: F401
    import pytablewriter  # noqa: F401

    check_rows(file)  # before the benchmarks are hashed, which takes long
    store = HashStore(out.with_suffix(CACHE))
    index = BenchmarkIndex(args.benchmarks, store)
    counts = search(file, images, index, store, out.with_suffix(FOUND), workers=args.workers)
    summary = summarise(file, index, counts)
    write_json(out, summary)
    print(table(summary))
    for name, benchmark in index.benchmarks.items():
        if benchmark.images_of:
            print(f"{name}: its images are those of {benchmark.images_of}, found by their ids")
        elif not benchmark.images:
            print(f"{name}: not compared, no images of it are in {args.benchmarks}")
    for what, faults in summary["unread"].items():
        if faults:
            shown = "; ".join(faults[:SHOWN_FAULTS])
            print(f"not compared: {len(faults):,} images or questions of the {what}: {shown}")
    print(f"{counts.leaked:,} of {counts.rows:,} rows show a benchmark's image: {out.with_suffix(FOUND)}")
    if counts.possible:
        print(
            f"{counts.possible:,} more rows possibly do, not counted: the lines there with {POSSIBLY} alone"
        )
    if args.drop is not None:
        manifest = drop(file, images, out.with_suffix(FOUND), args.drop)
        print(f"{args.drop}: {manifest['rows']['total']:,} rows without the exact and near ones")
        return 0 if manifest["rows"]["total"] else 1
    return 0


def summarise(file: Path, index: BenchmarkIndex, counts: LeakCounts) -> dict[str, Any]:
    """The content of the leaks file, which `ndino report --leaks` reads."""
    return {
        "data": str(file),
        "sha256": digest_of(file),
        "limits": LIMITS,
        "rows": counts.rows,
        "leaked": counts.leaked,
        "possible": counts.possible,
        "sources": dict(sorted(counts.sources.items())),
        "benchmarks": {
            name: _of_benchmark(benchmark, counts.seen[name]) for name, benchmark in index.benchmarks.items()
        },
        "table": {
            source: {name: {kind: kinds[kind] for kind in KINDS} for name, kinds in sorted(found.items())}
            for source, found in sorted(counts.table.items())
        },
        "unread": {
            "data": counts.unread,
            "benchmarks": [fault for benchmark in index.benchmarks.values() for fault in benchmark.unread],
        },
        "commit": commit(),
        "versions": versions(SEARCHED_WITH),
    }


def _of_benchmark(benchmark: SearchedBenchmark, seen: dict[int, str]) -> dict[str, int | str | None]:
    """Its rows, images and questions, and what of them the data show; seen are exact and near images."""
    shown = Counter(seen.values())
    rows = [benchmark.images[image] for image, kind in seen.items() if kind in SEEN]
    return {
        "rows": benchmark.rows,
        "images": len(benchmark.images),
        "images_of": benchmark.images_of,
        **{kind: shown[kind] for kind in MATCHES},
        "rows_seen": sum(rows) if benchmark.rows else 0,
        "texts": len(benchmark.questions),
        "generic": sum(map(benchmark.generic, benchmark.questions)),
    }


def table(summary: dict[str, Any]) -> str:
    """Rows by source and benchmark, then the part of each benchmark that the data show, as Markdown."""
    from pytablewriter import MarkdownTableWriter

    benchmarks = summary["benchmarks"]
    # Where every question is generic, none can match: 0 would say that they were looked for.
    hollow = {name for name, found in benchmarks.items() if found["texts"] == found["generic"]}
    rows = [
        [source, name, *("-" if name in hollow and kind not in MATCHES else kinds[kind] for kind in KINDS)]
        for source, found in summary["table"].items()
        for name, kinds in found.items()
    ]
    shown = ("images", *MATCHES, "rows", "rows_seen", "texts", "generic")
    seen = [
        # Without images nothing can be seen: 0 would say that they were looked for.
        [name, *("-" if not found["images"] and key in OF_IMAGES else found[key] for key in shown)]
        for name, found in benchmarks.items()
    ]
    first = MarkdownTableWriter(headers=["source", "benchmark", *KINDS], value_matrix=rows, margin=1)
    headers = ["benchmark", "images", *MATCHES, "questions", "of exact and near images"]
    headers += ["different texts", "generic, not compared"]
    second = MarkdownTableWriter(headers=headers, value_matrix=seen, margin=1)
    return f"{first.dumps() if rows else 'no row shows or asks what a benchmark does'}\n{second.dumps()}"


def drop(file: Path, images: Path, found: Path, out: Path) -> dict[str, Any]:
    """Write ``file`` to the data folder ``out``, with the exact and near rows of ``found`` as rejects.

    Returns:
        Its manifest.
    """
    leaked: dict[int, dict[str, str]] = {}  # by row, the surest match in each benchmark
    possible = 0
    for line in json_rows(found):
        kinds: dict[str, list[str]] = defaultdict(list)
        for match in line["matches"]:
            if match["kind"] in SEEN:
                kinds[match["benchmark"]].append(match["kind"])
        if kinds:
            leaked[line["row"]] = {name: surest(own) or "" for name, own in sorted(kinds.items())}
        possible += not kinds
    before = read_manifest(file.parent) if file.name == DATA else None
    rows: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    qualities = QualityCounts()
    linked: set[str] = set()
    with atomic_folder(out) as folder:
        with (folder / DATA).open("wb") as kept, (folder / REJECTS).open("wb") as rejects:
            for number, record in read_records(file):
                source = str(record.get("source") or file.parent.name)
                if number in leaked:
                    shown = ", ".join(f"{name} ({kind})" for name, kind in leaked[number].items())
                    reason = f"shows an image of {shown}"
                    rejects.write(json_line({"id": record["id"], "reason": reason, "row": record}))
                    reasons[reason] += 1
                    continue
                for name in images_of(record):
                    if name not in linked:
                        origin = find_file(images / name) or images / name
                        link_image(origin, folder / IMAGES / name, f"{file} row {number}")
                        linked.add(name)
                kept.write(json_line(record))
                rows[source] += 1
                qualities.add(source, record)
        manifest = {
            **(before or {"lang": None, "translator": None}),
            "source": f"{before['source'] if before else file.parent.name}/clean",
            "inputs": [{"file": f"{file.parent.name}/{file.name}", "sha256": digest_of(file)}],
            "settings": {
                "dropped": "rows with an exact or near image of a benchmark",
                "possible": f"{possible} rows kept",
                "limits": LIMITS,
            },
            "rows": {"total": rows.total(), "sources": dict(sorted(rows.items()))},
            "images": len(linked),
            "rejects": dict(sorted(reasons.items())),
            "files": {DATA: sha256_of(folder / DATA)},
            "commit": commit(),
            "versions": versions(SEARCHED_WITH),
        }
        manifest.pop("taken", None)
        if "quality" in manifest:
            manifest["quality"] = qualities.as_json(manifest["quality"]["scorer"])
        write_text(folder / CARD, card(manifest))
        write_json(folder / MANIFEST, manifest)
    return manifest
