"""LCS-558K (LLaVA-Pretrain) for the projector: English captions, checked but not translated."""

from __future__ import annotations

import argparse
import os
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError, reason_of
from ndino.common.images import find_file, leaves_the_folder
from ndino.data.errors import DataError
from ndino.data.framework.arguments import add_shard_arguments
from ndino.data.framework.layout import IMAGES
from ndino.data.framework.shards import (
    ItemOutcome,
    Reject,
    ShardWriter,
    run_items,
    run_source,
)
from ndino.data.io.images import UnusableImageError, usable_image
from ndino.data.io.inputs import file_inputs, folder_input
from ndino.data.sources.conversations import ConversationItem, image_names, read_items
from ndino.formats.llava_json import ConversationError
from ndino.formats.prompts import IMAGE_TOKEN

_IMAGES = "--images with images.zip of LLaVA-Pretrain, or its folder"


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "lcs",
        help="LCS-558K for the projector, verified",
        description="Check every row and image of LLaVA-Pretrain and write the good ones for the mlp stage. "
        "Images keep their names. From an unpacked folder they are hard links where the file system allows "
        "them, so that the 558,000 files take no extra space; images.zip is unpacked once.",
        examples=[
            "ndino data lcs LLaVA-Pretrain/blip_laion_cc_sbu_558k.json --images LLaVA-Pretrain/images.zip "
            "--out data/mlp"
        ],
    )
    command.add_argument("file", type=Path, metavar="JSON", help="the file blip_laion_cc_sbu_558k.json")
    command.add_argument(
        "--images", type=Path, required=True, metavar="PATH", help="images.zip, or the folder it unpacks to"
    )
    add_shard_arguments(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not args.file.is_file():
        raise UsageError(f"{args.file}: no such file (remedy: blip_laion_cc_sbu_558k.json of LLaVA-Pretrain)")
    if not args.images.exists():
        raise UsageError(f"{args.images}: no such file or folder (remedy: {_IMAGES})")
    settings = {
        "source": "lcs",
        "lang": "en",
        "inputs": [*file_inputs([(args.file.name, args.file)]), _images_input(args)],
    }

    def body(writer: ShardWriter) -> None:
        with open_images(args.images) as source:
            items = ((item.number, item) for item in read_items(args.file, args.limit))
            run_items(
                writer,
                items,
                lambda item: work(item, source, args.out / IMAGES),
                desc="lcs",
                total=args.limit,
                workers=len(os.sched_getaffinity(0)),
            )

    return run_source(args, settings, body)


def _images_input(args: argparse.Namespace) -> dict[str, Any]:
    if not args.images.is_dir():
        (archive,) = file_inputs([(args.images.name, args.images)])
        return {**archive, "files": 1}
    names = image_names(args.file, args.limit)
    found = {Path(name): path for name in names if (path := find_file(args.images / name))}
    return folder_input(args.images, found)


@dataclass(frozen=True)
class ImageSource:
    """Images by name, from a folder or a zip file."""

    folder: Path | None
    archive: zipfile.ZipFile | None

    def read(self, name: str) -> bytes:
        """The content of an image; KeyError if it does not exist."""
        if self.archive is not None:
            forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
            return self.archive.read(next((form for form in forms if form in self.archive.NameToInfo), name))
        if (path := find_file((self.folder or Path()) / name)) is None:
            raise KeyError(name)
        return path.read_bytes()

    def place(self, name: str, content: bytes, target: Path) -> None:
        """Put the image at ``target``, as a hard link if possible, else as a copy."""
        if target.is_file() and target.read_bytes() == content:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name per thread: rows in different threads may share an image.
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        temporary.unlink(missing_ok=True)
        try:
            if not (self.folder and _linked(self.folder / name, temporary)):
                temporary.write_bytes(content)
            os.replace(temporary, target)
        finally:
            # If both are links to one file, os.replace does nothing and leaves the temporary name.
            temporary.unlink(missing_ok=True)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError:  # other file system, or no hard links
        return False
    return True


@contextmanager
def open_images(path: Path) -> Iterator[ImageSource]:
    """Open the images in ``path``, a folder or a zip file.

    Raises:
        DataError: ``path`` is neither.
    """
    if path.is_dir():
        yield ImageSource(path, None)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {reason_of(error)} (remedy: {_IMAGES})") from error
    with archive:
        yield ImageSource(None, archive)


def work(item: ConversationItem, source: ImageSource, images: Path) -> ItemOutcome:
    """The outcome of a row: a pre-training row, with its image checked and put in place, or a reject."""
    if isinstance(item.content, ConversationError):
        return _rejected(item, "not a LLaVA row", fault=item.content.reason)
    named, turns = item.content.images, item.content.turns
    if len(named) != 1 or len(turns) != 2:
        return _rejected(item, "not one image with one caption")
    name = named[0]
    try:
        if leaves_the_folder(name):
            raise UnusableImageError("outside the folder")
        content = source.read(name)
        usable_image(content)
    except UnusableImageError as error:
        return _rejected(item, f"image: {error.reason}", image=name)
    except (KeyError, ValueError):
        return _rejected(item, "image: not in the folder", image=name)
    except (OSError, zipfile.BadZipFile, zlib.error):
        return _rejected(item, "image: cannot be read", image=name)
    source.place(name, content, images / name)
    row = {
        "id": f"lcs/{item.name}",
        "image": name,
        "conversations": [
            {"from": "human", "value": IMAGE_TOKEN},
            {"from": "gpt", "value": turns[1].text.strip()},
        ],
        "source": "lcs",
    }
    return ItemOutcome((row,), (), {"lcs/rows": 1, "lcs/kept": 1})


def _rejected(item: ConversationItem, reason: str, **detail: str) -> ItemOutcome:
    return ItemOutcome((), (Reject(f"lcs/{item.name}", reason, {**item.place, **detail}),), {"lcs/rows": 1})
