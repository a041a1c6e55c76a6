"""The paper's image-text pairs and interleaved documents: images of Wikipedia with their texts, from WIT.

``table -> rows of the language -> cleaned texts -> images -> a LLaVA row per text``. docs/data/wit.md says
what comes from the paper and what is ours.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ndino.common.errors import UsageError
from ndino.data.framework.arguments import add_shard_arguments
from ndino.data.framework.shards import (
    ItemOutcome,
    Reject,
    ShardWriter,
    run_items,
    run_source,
)
from ndino.data.io.fetch import Fetcher, add_fetch_arguments, politeness_from
from ndino.data.io.inputs import file_inputs
from ndino.data.io.text import MOST_READ, Bounds, TextError, clean, cut_to_bounds
from ndino.data.sources.wit_images import WIDTH, WIDTHS, ImageStore, SavedImage, address_of, store_image
from ndino.data.sources.wit_parquet import WitParquetTable
from ndino.data.sources.wit_table import WitRow, WitTable
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.identify import in_language
from ndino.languages.known.tool_codes import code_for, need_code
from ndino.languages.language import editors_notes

SOURCE = "wit"
SECONDS_BETWEEN = 0.1
MAX_BYTES = 32 * 1024**2
PARQUET = ".parquet"
GUARDS = 3  # version of how texts are cleaned and filtered
# Threads beyond one per connection: they decode while the others download.
WAITING = 2


@dataclass(frozen=True)
class TextKind:
    """A kind of row to make: the column with its text, and how the text is bounded."""

    name: str
    column: str
    bounds: Bounds
    paragraphs: bool


KINDS = (
    TextKind("caption", "caption_reference_description", Bounds(8, 1000), paragraphs=False),
    TextKind("section", "context_section_description", Bounds(60, 4000), paragraphs=True),
)


@dataclass(frozen=True)
class WitItem:
    """A row of the language, a faulty row, or the end of a file.

    Attributes:
        texts: kind, text and identity of each text that passed the filters.
        image: its bytes if the table holds them; otherwise it is downloaded from ``address``.
        rejects: what was rejected of the row so far.
    """

    where: str
    page: str = ""
    url: str = ""
    address: str = ""
    image: bytes | None = None
    texts: tuple[tuple[str, str, str], ...] = ()
    rejects: tuple[Reject, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "wit",
        help="Wikipedia (WIT): images with their captions and with the sections they stand in",
        description="Turn Google's WIT tables (.tsv, .tsv.gz), or Parquet with the images in it "
        "(wikimedia/wit_base), into LLaVA JSON: an image with its caption, and the same image with the text "
        "of its section. The images of TSV tables are downloaded, from Wikimedia as thumbnails.",
        examples=["ndino data wit wit_v1.train.all-*.tsv.gz --out data/wit --contact me@example.org"],
    )
    command.add_argument(
        "tables", nargs="+", type=Path, metavar="TABLE", help="tables, .tsv, .tsv.gz or .parquet"
    )
    command.add_argument(
        "--lang",
        default="it",
        metavar="CODE",
        help="language, as written in the tables' first column (default: %(default)s)",
    )
    command.add_argument(
        "--width",
        type=int,
        default=WIDTH,
        choices=WIDTHS,
        help="width of the thumbnails of larger images, in pixels (default: %(default)s)",
    )
    add_shard_arguments(command)
    add_fetch_arguments(command, seconds_between=SECONDS_BETWEEN, max_bytes=MAX_BYTES)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; see ``ndino data wit --help``."""
    need_code(args.lang, "--lang")
    paths = sorted(set(args.tables), key=lambda path: (path.name, path))
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path}: no such file (remedy: give .tsv, .tsv.gz or .parquet files of WIT)")
        _open(path, args.lang)
    to_fetch = any(path.suffix != PARQUET for path in paths)
    politeness = politeness_from(args) if to_fetch else None
    settings = {
        "source": SOURCE,
        "lang": args.lang,
        "inputs": file_inputs((path.name, path) for path in paths),
        "width": args.width if to_fetch else None,
        "texts": {kind.name: asdict(kind.bounds) for kind in KINDS},
        "guards": GUARDS,
        "notes": list(editors_notes(args.lang)),
    }

    def body(writer: ShardWriter) -> None:
        numbered = enumerate(itertools.islice(items(paths, args.lang, args.width), args.limit))

        def run_all(images: ImageStore | None, workers: int, stop: Callable[[], None] | None = None) -> None:
            run_items(
                writer,
                numbered,
                lambda item: work(item, images, writer),
                desc="Rows",
                total=args.limit,
                workers=workers,
                stop=stop,
            )

        if politeness is None:
            run_all(None, 1)
            return
        known = writer.folder / "images.sqlite"
        if args.retry_rejects:
            known.unlink(missing_ok=True)  # it holds what failed too
        with Fetcher(politeness) as fetcher, ImageStore(known, fetcher, writer.save_image) as images:
            run_all(images, politeness.connections_per_host + WAITING, fetcher.close)
        known.unlink()

    return run_source(args, settings, body)


def _open(path: Path, language: str) -> WitTable | WitParquetTable:
    return (WitParquetTable if path.suffix == PARQUET else WitTable)(path, code_for("wit", language))


def items(paths: Iterable[Path], language: str, width: int) -> Iterator[WitItem]:
    """The items of all tables in order: rows of the language, faulty rows, and the end of each table."""
    seen: set[bytes] = set()
    notes = editors_notes(language)
    for path in paths:
        table = _open(path, language)
        for row in table:
            where = f"{path.name} row {row.row}"
            if isinstance(row, WitRow):
                yield _item(where, row, language, notes, width, seen)
            else:
                yield WitItem(where, rejects=(Reject(where, row.reason, {"text": row.text}),))
        counts = {"rows": table.rows, "rows of other languages": table.passed}
        yield WitItem(path.name, counts={f"{SOURCE}/{name}": count for name, count in counts.items()})


def _item(
    where: str, row: WitRow, language: str, notes: Sequence[str], width: int, seen: set[bytes]
) -> WitItem:
    page, url = row.fields["page_url"].strip(), row.fields["image_url"].strip()
    details = {"page_url": page, "image_url": url}
    if not page or not url:
        missing = "image" if page else "page"
        return WitItem(where, rejects=(Reject(where, f"no address of the {missing}", details),))
    texts, rejects, counts = [], [], {}
    for kind in KINDS:
        source = f"{SOURCE}/{kind.name}"
        text = clean(row.fields[kind.column][:MOST_READ], notes)
        if not kind.paragraphs:
            text = text.replace("\n", " ")
        if not text:
            counts[f"{SOURCE}/rows without a {kind.name}"] = 1
            continue
        try:
            text = cut_to_bounds(text, kind.bounds)
        except TextError as error:
            rejects.append(Reject(where, f"{kind.name}: {error.reason}", {**details, "text": text}, source))
            continue
        if not in_language(text, language):
            reason = f"{kind.name}: not in the language {language}"
            rejects.append(Reject(where, reason, {**details, "text": text}, source))
            continue
        identity = hashlib.blake2b(f"{url}\n{text}".encode(), digest_size=8)
        if identity.digest() in seen:
            rejects.append(Reject(where, f"{kind.name}: same image and text as before", details, source))
            continue
        seen.add(identity.digest())
        texts.append((kind.name, text, identity.hexdigest()))
    if not texts and not rejects:
        rejects.append(Reject(where, "no text", details))
    original = row.fields.get("original_width", "")
    address = address_of(url, int(original) if original.isdecimal() else None, width)
    return WitItem(where, page, url, address, row.image, tuple(texts), tuple(rejects), counts)


def work(item: WitItem, images: ImageStore | None, writer: ShardWriter) -> ItemOutcome:
    """The outcome of an item: a row for each text, if its image is available."""
    if not item.texts:
        return ItemOutcome(rejects=item.rejects, counts=item.counts)
    if item.image:
        image = store_image(item.image, writer.save_image)
    elif item.image is None and images is not None:
        image = images.get(item.address)
    else:
        image = SavedImage(reason="no image in the table")
    if image.reason:
        detail = {"page_url": item.page, "image_url": item.url, "detail": image.detail}
        rejects = (*item.rejects, Reject(item.where, image.reason, detail))
        return ItemOutcome(rejects=rejects, counts=item.counts)
    rows = tuple(
        {
            "id": f"{SOURCE}-{kind}-{identity}",
            "image": image.image,
            "conversations": [{"from": "human", "value": IMAGE_TOKEN}, {"from": "gpt", "value": text}],
            "source": f"{SOURCE}/{kind}",
            # The licences require attribution of text and image.
            "page_url": item.page,
            "image_url": item.url,
        }
        for kind, text, identity in item.texts
    )
    return ItemOutcome(rows, item.rejects, item.counts)
