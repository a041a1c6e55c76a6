"""The questions of a split with their images, read from any layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ndino.common.errors import UsageError
from ndino.common.files import digest_of, key_of
from ndino.common.images import ImageFaultError, image_digest
from ndino.common.options import need_file
from ndino.formats.questions import images
from ndino.formats.questions.layout import ENDINGS, ending_of, split_files
from ndino.formats.questions.rows import IMAGE, Row, StoredImage, read_rows, rows_of_dataset

if TYPE_CHECKING:
    from datasets import Dataset

# Both names of the field that names an image are in use.
FILE_NAME = "file_name"


@dataclass(frozen=True)
class Questions:
    """The rows of a split; as much of `datasets.Dataset` as lmms-eval and its tasks use.

    A document, ``questions[i]``, holds the row's fields by name, None where it has none. Its image is
    ``{"bytes": ..., "path": ...}``, one of them None: `document_image` reads it.

    Attributes:
        rows: in the order of the files.
        name: what messages call the set.
        image_folders: where the names of images are looked up.
        files: those that hold the rows.
        notes: what was left out, and why: a line each.
        images_of: for each row, the row whose image it shows; None where each shows its own.
        fingerprint: `datasets`' identity of the rows; empty where it did not read them.
        info: what `datasets` knows of where they come from, such as the hub's files.
        has_images: False for rows whose images were taken away.
    """

    rows: tuple[Row, ...]
    name: str
    image_folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    images_of: Sequence[Row] | None = None
    fingerprint: str = ""
    info: Any = None
    has_images: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, key: str) -> list[Any]: ...

    def __getitem__(self, key: int | str) -> dict[str, Any] | list[Any]:
        if isinstance(key, str):
            return [self[index][key] for index in range(len(self))] if key == IMAGE else self.column(key)
        fields = self.rows[key].fields
        document = {name: fields.get(name) for name in self.column_names if name != IMAGE}
        if IMAGE in self.column_names:
            place = self.image_place(key)
            stored = isinstance(place, bytes)
            document[IMAGE] = {"bytes": place if stored else None, "path": None if stored else str(place)}
        return document

    def column(self, name: str) -> list[Any]:
        """A field of every row, None where a row has none."""
        return [row.fields.get(name) for row in self.rows]

    @cached_property
    def column_names(self) -> list[str]:
        """The fields' names in the order of their first appearance; an image is always called ``image``."""
        found = dict.fromkeys(
            IMAGE if name == FILE_NAME else name for row in self.rows for name in row.fields
        )
        return [name for name in found if name != IMAGE or self.has_images]

    @property
    def stores_images(self) -> bool:
        """Whether the files hold the images themselves, and not their names."""
        return any(isinstance(row.fields.get(IMAGE), StoredImage) for row in self.rows)

    @property
    def features(self) -> dict[str, Any]:
        """As `datasets` has them, for lmms-eval, which looks for images among them."""
        from datasets import Image, Value

        return {name: Image() if name == IMAGE else Value("string") for name in self.column_names}

    @property
    def _fingerprint(self) -> str:
        # As `datasets` calls it.
        return self.fingerprint or key_of(self.name, [[str(row.file), row.number] for row in self.rows])

    def remove_columns(self, name: str) -> Questions:
        """The questions without a column; for ``image`` alone, which lmms-eval takes away."""
        if name != IMAGE:
            raise ValueError(f"only {IMAGE} can be removed, not {name}")
        return replace(self, has_images=False)

    def select(self, indices: Sequence[int]) -> Questions:
        """The rows at ``indices``, with the images that they show."""
        others = None if self.images_of is None else [self.images_of[index] for index in indices]
        rows = tuple(self.rows[index] for index in indices)
        mark = key_of(self.fingerprint, list(indices)) if self.fingerprint else ""
        return replace(self, rows=rows, images_of=others, fingerprint=mark)

    def with_images_of(self, indices: Sequence[int]) -> Questions:
        """The same questions, each with the image of the row at its index in ``indices``."""
        return replace(self, images_of=[self.rows[index] for index in indices])

    def with_texts(self, column: str, texts: Sequence[str]) -> Questions:
        """The same rows with other texts in one column."""
        rows = tuple(
            row if row.fields.get(column) == text else replace(row, fields={**row.fields, column: text})
            for row, text in zip(self.rows, texts, strict=True)
        )
        return replace(self, rows=rows)

    def where(self, index: int) -> str:
        """``FILE row N``."""
        row = self.rows[index]
        return f"{row.file} row {row.number}"

    def image_place(self, index: int) -> Path | bytes:
        """The file of a row's image, or its bytes.

        Raises:
            ImageFaultError: see `images.locate`; also when ``image`` and ``file_name`` differ.
        """
        fields = (self.rows if self.images_of is None else self.images_of)[index].fields
        value, name = fields.get(IMAGE), fields.get(FILE_NAME)
        if isinstance(value, str) and isinstance(name, str) and value != name:
            raise ImageFaultError(f"image is {value} and file_name is {name}", "keep one of the two fields")
        if value is None or (isinstance(value, StoredImage) and name and _is_empty(value)):
            value = name
        return images.locate(value, self.image_folders)

    def encoded_image(self, index: int) -> bytes:
        """A row's image as it is stored.

        Raises:
            ImageFaultError: there is none, or it cannot be read.
        """
        return images.read(self.image_place(index))

    def image_digest(self, index: int) -> str:
        """Identity of a row's image as it is stored; raises like `encoded_image`."""
        return image_digest(self.encoded_image(index))

    @cached_property
    def image_files(self) -> set[Path]:
        """The files that hold the rows' images; images may also be in the rows' own files."""
        if IMAGE not in self.column_names:
            return set()
        rows = [
            row for row in range(len(self)) if not isinstance(self.rows[row].fields.get(IMAGE), StoredImage)
        ]
        return {place for place in map(self.image_place, rows) if isinstance(place, Path)}

    def digest(self) -> str:
        """Identity of everything the questions were read from: their files and their images' files.

        Links are followed. 16 hexadecimal digits.
        """
        files = [
            file for path in self.files for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        ]
        named = sorted(map(digest_of, self.image_files))
        return key_of([[path.name, digest_of(path)] for path in files], named)


def _is_empty(image: StoredImage) -> bool:
    return image.read() is None


def read_questions(
    data: Path, split: str | None = None, *, config: str | None = None, images_dir: Path | None = None
) -> Questions:
    """The questions of a file, or of a split of a folder in any layout of `layout`.

    Args:
        images_dir: folder that names of images start from; by default the data's own.

    Raises:
        UsageError: no such file, split or configuration.
        QuestionsError: the data cannot be read, or hold no rows.
    """
    if data.is_dir():
        found = split_files(data, split, config=config)
        files, folders, notes = found.files, found.image_folders, found.notes
    else:
        need_file(data, f"name a folder, or a file that ends in {', '.join(ENDINGS)}")
        if not ending_of(data):
            raise UsageError(f"{data}: is of no kind that is read (remedy: {', '.join(ENDINGS)})")
        files, folders, notes = (data,), (data.parent,), ()
    rows = tuple(row for path in files for row in read_rows(path))
    return Questions(rows, str(data), (images_dir,) if images_dir else folders, files, notes)


def questions_of(dataset: Dataset | Questions, name: str, folder: Path) -> Questions:
    """What `datasets` has read as `Questions`; what they are already is returned as it is.

    Args:
        name: of the set in messages.
        folder: where names of images are looked up.
    """
    if isinstance(dataset, Questions):
        return dataset
    rows = tuple(rows_of_dataset(dataset, Path(name)))
    return Questions(rows, name, (folder,), fingerprint=dataset._fingerprint, info=dataset.info)


Document = Mapping[str, Any]


def document_image(document: Document) -> bytes:
    """The encoded image of a document of `Questions`; raises `ImageFaultError` if it cannot be read."""
    content, path = document[IMAGE]["bytes"], document[IMAGE]["path"]
    return images.read(Path(path) if content is None else content)
