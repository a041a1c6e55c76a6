"""The paper's "PDF documents": pages of European laws in one language, with their text from Tesseract.

``CELEX numbers -> PDF -> images of the first pages -> Tesseract -> a row per page``. docs/data/eurlex.md says
what comes from the paper and what is ours.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ndino.common.errors import UsageError
from ndino.common.files import key_of
from ndino.common.options import positive
from ndino.common.parsing import names_in_braces
from ndino.data.errors import DataError
from ndino.data.framework.arguments import add_shard_arguments, add_workers_argument
from ndino.data.framework.shards import (
    ItemOutcome,
    Reject,
    ShardWriter,
    run_items,
    run_source,
)
from ndino.data.io.fetch import (
    Fetcher,
    FetchError,
    SeveralFiles,
    add_fetch_arguments,
    only_kinds,
    politeness_from,
)
from ndino.data.io.inputs import file_inputs, folder_input
from ndino.data.io.pdf import PdfError, Rendering, check_file
from ndino.data.sources.celex import CELEX, list_files, read_numbers
from ndino.languages.known.published import published_sets
from ndino.languages.known.tool_codes import code_for

if TYPE_CHECKING:
    from ndino.data.io.pages import PageReader

SOURCE = "eurlex"
# CELLAR, the Publications Office's repository for programs. EUR-Lex answers programs with HTTP 202 only.
URL = "https://publications.europa.eu/resource/celex/{celex}"
# CELLAR serves a PDF/A only if the header names its exact type; EUR-Lex ignores the header.
KINDS = ("", ";type=pdfa1a", ";type=pdfa1b", ";type=pdfa2a", ";type=pdf1x", ";type=pdfx")
ACCEPT = ", ".join(f"application/pdf{kind}" for kind in KINDS)
PDFS = "**/*.[pP][dD][fF]"
SECONDS_BETWEEN = 1.0
MAX_BYTES = 64 * 1024**2
# Documents in progress beyond one per core: they download while the cores read pages.
WAITING = 2


@dataclass(frozen=True)
class Document:
    """An item: a CELEX number or an existing PDF; ``fault`` says why it can be neither."""

    name: str
    path: Path | None = None
    fault: str = ""


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "eurlex",
        help="EUR-Lex: pages of European laws and their text by Tesseract",
        description="Turn CELEX numbers (multi_eurlex or a list), or a folder of PDFs, into LLaVA JSON: one "
        "row for each page, with its image and the text that Tesseract reads in it. PDFs are kept in "
        "OUT/pdfs, so that none is downloaded twice; --pdfs reads them again, with other settings and no "
        "network.",
        examples=[
            "ndino data eurlex coastalcph/multi_eurlex --out data/eurlex --contact me@example.org "
            "--limit 10000",
            "ndino data eurlex --pdfs folder --out data/eurlex",
        ],
    )
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "numbers",
        nargs="?",
        metavar="NUMBERS",
        help="CELEX numbers: a .txt with one a line; .parquet, .jsonl or .tar.gz with celex_id; a folder of "
        "these; or a data set on the hub",
    )
    source.add_argument("--pdfs", type=Path, metavar="FOLDER", help="a folder of PDFs, instead of NUMBERS")
    command.add_argument(
        "--lang",
        default="it",
        choices=published_sets()[SOURCE].languages,
        metavar="CODE",
        help="language of the documents (default: %(default)s)",
    )
    command.add_argument(
        "--url",
        default=URL,
        help="address of a PDF, with {celex}, and {lang} (it) or {LANG} (IT) (default: %(default)s)",
    )
    command.add_argument(
        "--pages",
        type=positive,
        default=Rendering.max_pages,
        metavar="N",
        help="only the first N pages of a document (default: %(default)s)",
    )
    add_workers_argument(command, "pages read at the same time")
    add_shard_arguments(command)
    add_fetch_arguments(command, seconds_between=SECONDS_BETWEEN, max_bytes=MAX_BYTES)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; see ``ndino data eurlex --help``."""
    from ndino.data.io.ocr import open_tesseract
    from ndino.data.io.pages import PageReader, TextFilters

    tesseract = open_tesseract(code_for("tesseract", args.lang))
    rendering, filters = Rendering(max_pages=args.pages), TextFilters()
    politeness, total = None, None
    if args.pdfs:
        paths = list_pdfs(args.pdfs)
        named = {path.relative_to(args.pdfs): path for path in paths}
        # Their names apart from their content: the numbers of the documents depend on the names alone.
        origin = {
            "inputs": [folder_input(args.pdfs, named)],
            "documents": key_of([name.as_posix() for name in named]),
        }
        documents = (Document(name.with_suffix("").as_posix(), path) for name, path in named.items())
        total = len(paths)
    else:
        check_template(args.url)
        politeness = politeness_from(args)
        files = list_files(args.numbers)
        origin = {"inputs": file_inputs((file.name, file) for file in files), "url": args.url}
        documents = check_numbers(read_numbers(files))
    settings = {
        "source": SOURCE,
        "lang": args.lang,
        **origin,
        "tesseract": tesseract.identity,
        "rendering": asdict(rendering),
        "filters": asdict(filters),
    }

    def body(writer: ShardWriter) -> None:
        # Child processes of a killed run may still have files there.
        scratch = writer.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(exist_ok=True)
        with ExitStack() as stack:
            fetcher = stack.enter_context(Fetcher(politeness)) if politeness else None
            threads = stack.enter_context(ThreadPoolExecutor(args.workers))
            source = PdfSource(fetcher, args.url, args.lang, args.out / "pdfs", scratch, args.retry_rejects)
            reader = PageReader(writer, scratch, threads, tesseract, rendering, filters, args.lang)
            run_items(
                writer,
                enumerate(itertools.islice(documents, args.limit)),
                lambda document: work(document, source, reader),
                desc="Documents",
                total=args.limit or total,
                workers=args.workers + WAITING,
                stop=fetcher.close if fetcher else None,
            )
        shutil.rmtree(scratch, ignore_errors=True)

    return run_source(args, settings, body)


def list_pdfs(folder: Path) -> list[Path]:
    """The PDFs below ``folder``, sorted by path.

    Raises:
        DataError: the folder does not exist or holds no PDF.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder (remedy: give a folder with PDFs)")
    paths = sorted(path for path in folder.glob(PDFS) if path.is_file())
    if not paths:
        raise DataError(f"{folder}: no PDF in it (remedy: give a folder with .pdf files)")
    return paths


def check_template(url: str) -> None:
    """Raise UsageError if ``url`` lacks {celex} or has anything else in braces."""
    fields = {*(names_in_braces(url) or ())}
    if "celex" not in fields or fields - {"celex", "lang", "LANG"}:
        raise UsageError(
            f"--url {url}: no template (remedy: with {{celex}}, and if need be {{lang}} or {{LANG}})"
        )


def check_numbers(numbers: Iterable[str]) -> Iterator[Document]:
    """A document per number; repeated and invalid numbers have a fault."""
    seen = set()
    for number in numbers:
        if not CELEX.fullmatch(number):
            yield Document(number, fault="not a CELEX number")
        elif number in seen:
            yield Document(number, fault="given twice")
        else:
            seen.add(number)
            yield Document(number)


@dataclass(frozen=True)
class PdfSource:
    """Provides the PDFs of documents: from the folder of earlier downloads, else from the network."""

    fetcher: Fetcher | None
    url: str
    lang: str
    kept: Path
    scratch: Path
    retry: bool = False

    def files(self, document: Document) -> list[Path]:
        """The PDFs of a document, mostly one.

        Raises:
            FetchError: a PDF cannot be downloaded, or the document has a fault.
        """
        if document.fault:
            raise FetchError(document.fault)
        if document.path is not None:
            return [document.path]
        first = self.kept / f"{document.name}.pdf"
        if self.retry and first.is_file() and not _is_whole(first):
            first.unlink()
        if not first.is_file():
            self._fetch(document.name, first)
        # The first file is written last: if it exists, all of them do.
        others = (first.with_suffix(f".{number}.pdf") for number in itertools.count(2))
        return [first, *itertools.takewhile(Path.is_file, others)]

    def _fetch(self, celex: str, first: Path) -> None:
        assert self.fetcher is not None  # without one, every document has a path
        url = self.url.format(celex=quote(celex, safe="()"), lang=self.lang, LANG=self.lang.upper())
        options = {
            "wanted": only_kinds("application/pdf"),
            "headers": {"Accept": ACCEPT, "Accept-Language": code_for("eurlex", self.lang)},
        }
        try:
            contents = [self.fetcher.get(url, **options)]
        except SeveralFiles as several:
            if not several.links:
                raise
            contents = [self.fetcher.get(link, **options) for link in several.links]
        self.kept.mkdir(exist_ok=True)
        for number, content in reversed(list(enumerate(contents, start=1))):
            path = first if number == 1 else first.with_suffix(f".{number}.pdf")
            temporary = self.scratch / path.name
            temporary.write_bytes(content)
            os.replace(temporary, path)


def _is_whole(pdf: Path) -> bool:
    try:
        check_file(pdf)
    except PdfError:
        return False
    return True


def work(document: Document, source: PdfSource, reader: PageReader) -> ItemOutcome:
    """The outcome of one document: a row for each page that passes the filters."""
    counts = Counter({f"{SOURCE}/documents": 1})
    rows, rejects = [], []
    try:
        files = source.files(document)
    except FetchError as error:
        rejects.append(Reject(document.name, error.reason, {"detail": error.detail}))
        files = []
    left = reader.rendering.max_pages
    for number, file in enumerate(files, start=1):
        name = document.name if number == 1 else f"{document.name}.{number}"
        try:
            found = reader.read(file, name, SOURCE, left)
        except PdfError as error:
            rejects.append(Reject(name, str(error)))
            continue
        rows += found.rows
        rejects += found.rejects
        counts[f"{SOURCE}/pages"] += found.count
        counts[f"{SOURCE}/pages tried"] += found.looked_at
        left -= found.looked_at
        if not left:
            break
    return ItemOutcome(tuple(rows), tuple(rejects), dict(counts))
