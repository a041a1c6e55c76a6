"""Which files of a folder hold a split: ``NAME`` or ``NAME-NNNNN-of-NNNNN``, exactly, in one of these:

- as the hub lays it out: a ``README.md`` whose header names the files of each split under ``configs:``;
- plain files: ``NAME.jsonl``, ``NAME.json``, ``NAME.csv``, each perhaps with ``.gz``, or ``NAME.parquet``, in
  the folder or in its ``data/``; Parquet files in a folder ``NAME/``; or a single file of any name but
  that of another split;
- imagefolder: ``metadata.jsonl`` (or .csv, .parquet) beside the images, in the folder or in ``NAME/``;
- what ``save_to_disk`` of `datasets` writes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ndino.common.errors import UsageError, reason_of
from ndino.common.files import require_open
from ndino.common.parsing import parse_yaml, read_json
from ndino.formats.questions.errors import QuestionsError

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet")
SHARD = re.compile(r"(?P<split>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})")
_HEADER = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---", re.DOTALL)
_METADATA = "metadata"
# Names that say which split a file is; the names of one split may stand for each other.
_KNOWN = {"train": "train", **dict.fromkeys(("validation", "valid", "val", "dev"), "validation")}
# Files that `save_to_disk` writes: of several splits, and of one.
_SAVED_SPLITS, _SAVED = "dataset_dict.json", "state.json"


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split.

    Attributes:
        files: in the order of their rows; a folder where ``save_to_disk`` wrote it.
        image_folders: where the names of images are looked up, the first that has one.
        ignored: files that look like data and are left out, with the reason.
    """

    files: tuple[Path, ...]
    image_folders: tuple[Path, ...]
    ignored: tuple[tuple[Path, str], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is left out, and why: a line each."""
        return tuple(f"{path}: left out: it {reason}" for path, reason in self.ignored)


def is_hub_layout(folder: Path) -> bool:
    """Whether a README names the files of each split."""
    return bool(_configs(folder))


def split_files(folder: Path, split: str | None, *, config: str | None = None) -> SplitFiles:
    """The files of a split; without ``split``, of the only one.

    Args:
        config: the configuration to read where a README names several.

    Raises:
        UsageError: there is no such split or configuration, or ``split`` is None and there are several.
        QuestionsError: there are no files, a shard is missing, a split is there twice, or the only one
            is another by its name, such as ``train`` where ``test`` is asked for.
        OSError: the folder may not be read.
    """
    require_open(folder)
    found = _saved(folder) or _named_in_readme(folder, config)
    if found is not None:
        if split is None and len(found) == 1:
            split = next(iter(found))
        if split not in found:
            names = ", ".join(found)
            if split is None:
                raise UsageError(f"{folder}: has several splits (remedy: choose one with --split: {names})")
            raise UsageError(f"{folder}: has no split {split} (remedy: one of {names})")
        return SplitFiles(found[split], (folder, *_parents(found[split], folder)))
    groups, ignored = _plain(folder)
    files = _choose(folder, groups, split)
    # Both may hold the questions, and only one is read.
    if not any(map(_is_metadata, files)):
        metadata = [path for paths in groups.get("", {}).values() for path in paths]
        ignored += [(path, f"is not read beside {files[0].relative_to(folder)}") for path in metadata]
    # An imagefolder names images from where its metadata lie, other files from the folder itself.
    beside, metadata = _parents(files, folder), _is_metadata(files[0])
    return SplitFiles(files, (*beside, folder) if metadata else (folder, *beside), tuple(ignored))


def configurations(folder: Path) -> list[str | None]:
    """The configurations that a README names, such as languages; None alone where there is none to choose."""
    named = [str(each.get("config_name", "default")) for each in _configs(folder)]
    return [*named] if len(named) > 1 and "default" not in named else [None]


def splits_of(folder: Path, *, config: str | None = None) -> list[str | None]:
    """The splits of a folder; None stands for one without a name. Raises like `split_files`."""
    require_open(folder)
    found = _saved(folder) or _named_in_readme(folder, config)
    if found is not None:
        return list(found)
    return [name or None for name in _plain(folder)[0]]


def ending_of(path: Path) -> str:
    """The ending of a file of rows, such as ``.jsonl.gz``; empty for any other file."""
    return next(
        (ending for ending in sorted(ENDINGS, key=len, reverse=True) if path.name.endswith(ending)), ""
    )


def _parents(files: Iterable[Path], folder: Path) -> tuple[Path, ...]:
    found = dict.fromkeys(path.parent for path in files)
    return tuple(parent for parent in found if parent != folder)


def _saved(folder: Path) -> dict[str, tuple[Path, ...]] | None:
    try:
        if (folder / _SAVED_SPLITS).is_file():
            splits = read_json(folder / _SAVED_SPLITS)["splits"]
            return {name: (folder / name,) for name in splits}
        if (folder / _SAVED).is_file():
            state = read_json(folder / _SAVED)
            return {str(state.get("_split") or "train"): (folder,)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise QuestionsError(
            f"{folder}: what save_to_disk wrote is broken: {reason_of(error)} (remedy: copy the folder again)"
        ) from error
    return None


def _configs(folder: Path) -> list[dict[str, Any]]:
    readme = folder / "README.md"
    if not readme.is_file():
        return []
    header = _HEADER.match(readme.read_text(encoding="utf-8", errors="replace"))
    try:
        stated = parse_yaml(header.group(1)) if header else None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise QuestionsError(f"{readme}: its header is no YAML: {reason} (remedy: repair it)") from error
    configs = stated.get("configs") if isinstance(stated, dict) else None
    return [each for each in configs or [] if isinstance(each, dict) and each.get("data_files")]


def _named_in_readme(folder: Path, config: str | None) -> dict[str, tuple[Path, ...]] | None:
    configs = {str(each.get("config_name", "default")): each for each in _configs(folder)}
    if not configs:
        return None
    name = config or ("default" if "default" in configs else next(iter(configs)))
    if name not in configs or (config is None and len(configs) > 1 and "default" not in configs):
        raise UsageError(
            f"{folder}: no configuration {config or ''} is the one to read "
            f"(remedy: leave one of {', '.join(configs)} in README.md)"
        )
    chosen = configs[name]
    base = folder / str(chosen.get("data_dir") or "")
    stated = chosen["data_files"]
    if isinstance(stated, list) and all(isinstance(each, dict) for each in stated):
        stated = {str(each["split"]): each["path"] for each in stated}
    elif not isinstance(stated, dict):
        stated = {"train": stated}  # as `datasets` takes a pattern, or a list of them
    found = {}
    for split, patterns in stated.items():
        patterns = [patterns] if isinstance(patterns, str) else patterns
        files = [path for pattern in patterns for path in sorted(base.glob(pattern)) if _visible(path)]
        files, others = [path for path in files if ending_of(path)], files
        if others and not files:
            raise QuestionsError(f"{others[0]}: is of no kind that is read (remedy: {', '.join(ENDINGS)})")
        if not files:
            raise QuestionsError(
                f"{folder}: README.md names {', '.join(patterns)} for the split {split}, "
                "and no file is there (remedy: download the data set again)"
            )
        found[str(split)] = tuple(dict.fromkeys(files))
    return found


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__"))


# The files of a split by where they lie and how they are written; more than one way is a fault.
_Groups = dict[str, dict[tuple[Path, str, bool], list[Path]]]


def _plain(folder: Path) -> tuple[_Groups, list[tuple[Path, str]]]:
    groups: _Groups = defaultdict(lambda: defaultdict(list))
    ignored = []
    for place in (folder, folder / "data"):
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            if not (ending := ending_of(path)) or not path.is_file():
                continue
            if not _visible(path):
                macos = path.name.startswith("._")
                ignored.append((path, "is macOS's own note on a file" if macos else "is a hidden file"))
                continue
            stem = path.name.removesuffix(ending)
            shard = SHARD.fullmatch(stem)
            # An imagefolder's rows without a split have no name of their own.
            name = shard["split"] if shard else "" if stem == _METADATA else stem
            groups[name][place, ending, bool(shard)].append(path)
    for place in sorted(folder.iterdir()):
        if not place.is_dir() or not _visible(place) or place.name == "data":
            continue
        rows = [p for p in sorted(place.glob("*")) if ending_of(p) and _visible(p) and p.is_file()]
        metadata = [path for path in rows if _is_metadata(path)]
        parquet = [path for path in rows if path.suffix == ".parquet"]
        for path in metadata or parquet:
            groups[place.name][place, ending_of(path), path not in metadata].append(path)
    return groups, ignored


def _choose(folder: Path, groups: _Groups, split: str | None) -> tuple[Path, ...]:
    if not groups:
        kinds = ", ".join(ENDINGS)
        raise QuestionsError(f"{folder}: has no file of rows, {kinds} (remedy: as the task's README says)")
    if split is not None and split in groups:
        name = split
    elif len(groups) == 1:
        (name,) = groups
        _require_not_another(folder, groups, name, split)
    elif split is None:
        names = ", ".join(sorted(filter(None, groups)))
        raise UsageError(f"{folder}: has several files (remedy: choose one with --split: {names})")
    else:
        names = [path.name for ways in groups.values() for paths in ways.values() for path in paths]
        raise QuestionsError(
            f"{folder}: which of {', '.join(sorted(names)[:5])} is the split {split}? "
            f"(remedy: name it {split}.jsonl or .parquet)"
        )
    ways = groups[name]
    if name and "" in groups and any(_is_metadata(path) for paths in ways.values() for path in paths):
        ways = {**groups[""], **ways}
    if len(ways) > 1:
        twice = ", ".join(str(paths[0].relative_to(folder)) for paths in ways.values())
        raise QuestionsError(
            f"{folder}: holds the split {name or split or 'metadata'} twice, in {twice} (remedy: keep one)"
        )
    ((_, _, sharded), files), *_ = ways.items()
    if sharded and all(SHARD.fullmatch(path.name.removesuffix(ending_of(path))) for path in files):
        _require_all_shards(files)
    return tuple(files)


def _is_metadata(path: Path) -> bool:
    return path.name.removesuffix(ending_of(path)) == _METADATA


def _require_not_another(folder: Path, groups: _Groups, name: str, split: str | None) -> None:
    """Check that the only split of a folder is not, by its name, another one than is asked for."""
    mine, theirs = _KNOWN.get(name), _KNOWN.get((split or "").rstrip("0123456789"), split)
    if split is None or mine is None or mine == theirs:
        return
    path = next(path for paths in groups[name].values() for path in paths)
    raise QuestionsError(
        f"{folder}: {path.relative_to(folder)} is the split {name}, not {split} "
        f"(remedy: add the split {split}, or rename {name} if it is that one)"
    )


def _require_all_shards(files: list[Path]) -> None:
    shards = [SHARD.fullmatch(path.name.removesuffix(ending_of(path))) for path in files]
    stated = {int(shard["parts"]) for shard in shards if shard}
    there = {int(shard["part"]) for shard in shards if shard}
    if len(stated) > 1:
        names = ", ".join(path.name for path in files[:5])
        raise QuestionsError(f"{files[0].parent}: {names} are shards of two writings (remedy: keep one)")
    if missing := sorted({*range(max(stated))} - there):
        raise QuestionsError(
            f"{files[0].parent}: shard {missing[0]:05d} of {max(stated):05d} is missing "
            f"beside {files[0].name} (remedy: download it)"
        )
