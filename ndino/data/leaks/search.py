"""Looks every training row up in the benchmarks, with bounded memory, and counts by source and benchmark."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ndino.common.files import atomic_file
from ndino.data.errors import DataError
from ndino.data.framework.journal import json_line
from ndino.data.leaks.benchmarks import BenchmarkIndex
from ndino.data.leaks.hashes import CHUNK, HashStore
from ndino.data.leaks.matching import MATCHES, SEEN, Match, Matcher, surest
from ndino.formats.llava_json import Conversation, ConversationError, read_conversations, read_records

KINDS = (*MATCHES, "question", "text")
NAMED_ROWS = 10


@dataclass
class LeakCounts:
    """What a search counts.

    Attributes:
        table: by source and benchmark, the rows of each of `KINDS`: rows with an image of the benchmark, by
            the surest match; of the exact and near ones, those that also ask a question of the benchmark
            about that image, unless it is generic; and other rows with a question that the benchmark and the
            data each ask about a single image, which alone is no leak.
        seen: by benchmark, the surest match of each image that training shows, by number.
        leaked: rows with an exact or near image of any benchmark.
        possible: rows with a possible one and no surer one.
        unread: images of rows that cannot be read, with the reason.
    """

    rows: int = 0
    images: int = 0  # opened; one that rows far apart show counts again
    leaked: int = 0
    possible: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    table: dict[str, dict[str, Counter[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Counter))
    )
    seen: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    unread: list[str] = field(default_factory=list)


def check_rows(data: Path) -> None:
    """Refuse data with invalid rows: to look up only the others would call the data clean.

    Raises:
        ConversationError: one row is invalid, or the file cannot be read as rows.
        DataError: several are; the message names the first ten.
    """
    faults: list[ConversationError] = []
    for _ in read_conversations(data, rejects=faults):
        pass
    if len(faults) == 1:
        raise faults[0]
    if faults:
        named = [f"row {fault.row}: {fault.reason}" for fault in faults[:NAMED_ROWS]]
        if len(faults) > NAMED_ROWS:
            named.append(f"and {len(faults) - NAMED_ROWS:,} more")
        raise DataError(
            f"{data}: {len(faults):,} rows are invalid: {'; '.join(named)} (remedy: {faults[0].remedy})"
        )


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
    texts = _AskedElsewhere()
    with (
        atomic_file(found) as temporary,
        temporary.open("wb") as file,
        tqdm(desc=f"Searching {data.name}", unit=" rows") as bar,
        Matcher(index, store, workers) as matcher,
    ):
        while part := list(islice(rows, CHUNK)):
            matches = _matched(part, images, matcher, counts)
            for row in part:
                line = _look_up(row, next(sources), matches, index, counts, texts)
                if line is not None:
                    file.write(json_line(line))
            bar.update(len(part))
    texts.count(counts)
    return counts


def _matched(
    rows: list[Conversation], folder: Path, matcher: Matcher, counts: LeakCounts
) -> dict[str, list[Match]]:
    names = list(dict.fromkeys(name for row in rows for name in row.images))
    counts.images += len(names)
    found = {}
    for name, matches in zip(names, matcher.match([folder / name for name in names]), strict=True):
        if isinstance(matches, str):
            counts.unread.append(f"{name}: {matches}")
        else:
            found[name] = matches
    return found


def _look_up(
    row: Conversation,
    source: str,
    matched: dict[str, list[Match]],
    index: BenchmarkIndex,
    counts: LeakCounts,
    texts: _AskedElsewhere,
) -> dict[str, Any] | None:
    counts.rows += 1
    counts.sources[source] += 1
    matches = [(name, match) for name in row.images for match in matched.get(name, [])]
    asked = index.asking([turn.text for turn in row.turns if turn.role == "user"])
    for benchmark in sorted({match.benchmark for _, match in matches} | asked.keys()):
        own = [match for _, match in matches if match.benchmark == benchmark]
        kind = surest(match.kind for match in own)
        if kind is not None:
            counts.table[source][benchmark][kind] += 1
        if kind in SEEN:
            seen = [match for match in own if match.kind in SEEN]
            counts.table[source][benchmark]["question"] += any(_asks(match, asked, index) for match in seen)
        else:
            texts.add(
                row, source, benchmark, filter(index.benchmarks[benchmark].specific, asked.get(benchmark, ()))
            )
        for match in own:
            known = counts.seen[benchmark]
            known[match.image] = surest((match.kind, known.get(match.image, match.kind))) or match.kind
    if not matches:
        return None
    leaked = surest(match.kind for _, match in matches) in SEEN
    counts.leaked += leaked
    counts.possible += not leaked
    shown = [
        {
            "image": name,
            "benchmark": match.benchmark,
            "shown_in": index.benchmarks[match.benchmark].places[match.image],
            "kind": match.kind,
            "bits": match.bits,
            "agreement": None if match.agreement is None else round(match.agreement, 3),
            "differs": match.differs,
            "question": _asks(match, asked, index),
        }
        for name, match in matches
    ]
    return {"id": row.id, "row": row.row, "source": source, "matches": shown}


def _asks(match: Match, asked: dict[str, set[str]], index: BenchmarkIndex) -> bool:
    benchmark = index.benchmarks[match.benchmark]
    return any(
        match.image in benchmark.questions[question] and not benchmark.generic(question)
        for question in asked.get(match.benchmark, ())
    )


class _AskedElsewhere:
    """Rows that ask a benchmark's question about no image of it, until the data ask it about a second image.

    A question that recurs is a common one; one about a single image on both sides may be the same image, in a
    form that is not recognised.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], tuple[object, list[tuple[int, str]]] | None] = {}

    def add(self, row: Conversation, source: str, benchmark: str, questions: Iterable[str]) -> None:
        shown = row.images or row.row
        for question in questions:
            known = self._rows.setdefault((benchmark, question), (shown, []))
            if known is not None and known[0] == shown:
                known[1].append((row.row, source))
            else:
                self._rows[benchmark, question] = None

    def count(self, counts: LeakCounts) -> None:
        rows = {
            (benchmark, *row) for (benchmark, _), known in self._rows.items() if known for row in known[1]
        }
        for benchmark, _, source in rows:
            counts.table[source][benchmark]["text"] += 1
