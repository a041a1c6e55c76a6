"""Looks every training row up in the benchmarks, with bounded memory, and counts by source and benchmark."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ndino.common.files import atomic_file
from ndino.data.framework.journal import json_line
from ndino.data.leaks.benchmarks import BenchmarkIndex, Match
from ndino.data.leaks.hashes import CHUNK, HashedImage, Hasher, HashStore
from ndino.formats.llava_json import Conversation, read_conversations, read_records

KINDS = ("exact", "near", "question", "text")


@dataclass
class LeakCounts:
    """What a search counts.

    Attributes:
        table: by source and benchmark, the rows of each of `KINDS`: with an image of the benchmark's pixels;
            with one that is nearly equal; of these two, those that also ask one of its questions about that
            image; and rows that ask the same words about another image, which alone is no leak.
        seen: by benchmark, its images that training shows, by number.
        leaked: rows with an image of any benchmark.
        unread: images of rows that cannot be read, with the reason.
    """

    rows: int = 0
    images: int = 0  # opened; one that rows far apart show counts again
    leaked: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    table: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    seen: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    unread: list[str] = field(default_factory=list)


def search(
    data: Path, images: Path, index: BenchmarkIndex, store: HashStore, found: Path, *, workers: int
) -> LeakCounts:
    """Look up every row of ``data``, and write those with a benchmark's image to ``found``, a line each.

    Args:
        data: a LLaVA JSON or JSONL file.
        images: the folder of its images.
        found: a .jsonl, written atomically.

    Raises:
        ConversationError: a row is invalid.
    """
    counts = LeakCounts()
    sources = (str(record.get("source") or data.parent.name) for _, record in read_records(data))
    rows = read_conversations(data)
    with (
        atomic_file(found) as temporary,
        temporary.open("wb") as file,
        tqdm(desc=f"Searching {data.name}", unit=" rows") as bar,
        Hasher(store, workers) as hasher,
    ):
        while part := list(islice(rows, CHUNK)):
            known = _hashed(part, images, hasher, counts)
            looked_up = dict(zip(known, index.matches(list(known.values())), strict=True))
            for row in part:
                line = _look_up(row, next(sources), looked_up, index, counts)
                if line is not None:
                    file.write(json_line(line))
            bar.update(len(part))
    return counts


def _hashed(
    rows: list[Conversation], folder: Path, hasher: Hasher, counts: LeakCounts
) -> dict[str, HashedImage]:
    names = list(dict.fromkeys(name for row in rows for name in row.images))
    counts.images += len(names)
    known = {}
    for name, image in zip(names, hasher.hash([folder / name for name in names]), strict=True):
        if isinstance(image, str):
            counts.unread.append(f"{name}: {image}")
        else:
            known[name] = image
    return known


def _look_up(
    row: Conversation,
    source: str,
    looked_up: dict[str, list[Match]],
    index: BenchmarkIndex,
    counts: LeakCounts,
) -> dict[str, Any] | None:
    counts.rows += 1
    counts.sources[source] += 1
    matches = [(name, match) for name in row.images for match in looked_up.get(name, [])]
    asking = index.asking([turn.text for turn in row.turns if turn.role == "user"])
    benchmarks = {match.benchmark for _, match in matches}
    for benchmark in sorted(benchmarks | asking.keys()):
        kinds = counts.table.setdefault(source, {}).setdefault(benchmark, Counter())
        own = [match for _, match in matches if match.benchmark == benchmark]
        if not own:
            kinds["text"] += 1
            continue
        kinds["exact" if any(match.exact for match in own) else "near"] += 1
        if {match.image for match in own} & asking.get(benchmark, set()):
            kinds["question"] += 1
        counts.seen[benchmark] |= {match.image for match in own}
    if not matches:
        return None
    counts.leaked += 1
    shown = [
        {
            "image": name,
            "benchmark": match.benchmark,
            "exact": match.exact,
            "bits": match.distance,
            "question": match.image in asking.get(match.benchmark, set()),
        }
        for name, match in matches
    ]
    return {"id": row.id, "row": row.row, "source": source, "matches": shown}
