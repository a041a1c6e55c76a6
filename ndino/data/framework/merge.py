"""Merge the shards of a source; the bytes of the result do not depend on the number of shards."""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ndino.common.errors import UsageError, shown
from ndino.common.files import atomic_file, sha256_of, write_json, write_text
from ndino.common.images import find_file
from ndino.common.locks import exclusive_lock
from ndino.common.provenance import commit, versions
from ndino.data.errors import DataError
from ndino.data.framework.card import card
from ndino.data.framework.folders import PACKAGES, changed_files, images_of, read_manifest
from ndino.data.framework.journal import json_line, json_rows
from ndino.data.framework.layout import (
    CARD,
    DATA,
    DONE,
    IMAGES,
    JOURNAL,
    MANIFEST,
    MEMORY,
    PARTIAL,
    REJECTS,
    record_of,
    refuse_other_settings,
    refuse_torn,
    remove_left_over,
    shard_folders,
)
from ndino.data.framework.quality import QualityCounts, histogram_lines
from ndino.data.framework.retries import may_pass
from ndino.data.framework.unchanged import UnchangedAnswers, unchanged_lines

SHOWN_REASONS = 3  # of the rejects, where no row is left
# Settings that the manifest has at its top level.
LIFTED = ("source", "lang", "inputs", "translator")


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "merge",
        help="join the shards that --shard i/n made",
        description="Join the shards in OUT/shards into OUT/data.jsonl, rejects.jsonl, manifest.json and "
        "README.md. Fails while a shard is missing, unfinished, damaged, or made with other settings. The "
        "result does not depend on the number of shards.",
        examples=["ndino data merge data/wit"],
    )
    command.add_argument("out", type=Path, metavar="OUT", help="the folder that the source wrote with --out")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    return report(args.out, merge(args.out))


def report(out: Path, manifest: dict[str, Any], said: str = "") -> int:
    """Print what a finished folder holds, or ``said``; returns the exit status, 1 if it holds no rows."""
    print(f"{out}: {said or summary(manifest)}")
    if "quality" in manifest:
        print(*histogram_lines(manifest["quality"]), sep="\n")
    for line in unchanged_lines(manifest.get("unchanged_answers", {})):
        print(f"{out}: {line}", file=sys.stderr)
    if manifest["rows"]["total"]:
        return 0
    most = sorted(manifest["rejects"].items(), key=lambda item: -item[1])[:SHOWN_REASONS]
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in most) or "none"
    again = "--retry-rejects, or with " if any(map(may_pass, manifest["rejects"])) else ""
    print(
        f"{out}: no rows; rejects.jsonl has the reasons: {reasons} "
        f"(remedy: mend that, then the same command with {again}another --out)",
        file=sys.stderr,
    )
    return 1


def summary(manifest: dict[str, Any]) -> str:
    """The counts of rows, images and rejects, for the user."""
    rejects = sum(manifest["rejects"].values())
    said = f"{manifest['rows']['total']:,} rows, {manifest['images']:,} images, {rejects:,} rejects"
    answers = manifest.get("unchanged_answers", {}).values()
    if unchanged := sum(one["unchanged"] for one in answers):
        said += (
            f"; {unchanged:,} of {sum(one['short'] for one in answers):,} short answers are as in the source"
        )
    return said


def is_merged(out: Path) -> bool:
    """Whether ``out`` was merged and its files are still those of its manifest."""
    return _sound_manifest(out) is not None


def _sound_manifest(out: Path) -> dict[str, Any] | None:
    try:
        manifest = read_manifest(out)
    except (OSError, DataError):
        return None
    return None if manifest is None or changed_files(out, manifest) else manifest


def finished_again(out: Path) -> int:
    """What a source command ends with whose shard was complete before; returns the exit status.

    The files beside a manifest that they do not match are written again from the shards.

    Raises:
        DataError: images of the rows are missing.
    """
    if (manifest := _sound_manifest(out)) is None:
        if (out / MANIFEST).is_file():
            print(
                f"{out}: its files do not match {MANIFEST}, so they are written again from the shards",
                file=sys.stderr,
            )
        return report(out, merge(out))
    _refuse_missing_images(out, {image for row in json_rows(out / DATA) for image in images_of(row)})
    return report(out, manifest, "already complete")


def _refuse_missing_images(out: Path, images: Collection[str]) -> None:
    missing = sorted(image for image in images if find_file(out / IMAGES / image) is None)
    if missing:
        kept = f", with {MEMORY}: docs/data/translation.md" if (out / MEMORY).is_file() else ""
        raise DataError(
            f"{out / IMAGES}: lacks {len(missing):,} of the {len(images):,} images of its rows, "
            f"the first of them {shown(missing[0])} "
            f"(remedy: copy them back, or run the source again with another --out{kept})"
        )


def merge(out: Path) -> dict[str, Any]:
    """Merge the shards in ``out``; returns the manifest, which is written last.

    A second merge gives the same files, also after a merge that was killed.

    Raises:
        DataError: a shard is missing, unfinished, torn, or has other settings than the rest; or an image is
            missing.
        BusyError: another process is merging ``out``.
    """
    folders = _whole_shards(out)
    with exclusive_lock(
        out / "shards" / ".merge.lock", f"{out}: another process is merging it (remedy: wait for it)"
    ):
        remove_left_over(out)
        return _merge(out, folders)


def _merge(out: Path, folders: list[Path]) -> dict[str, Any]:
    settings = _settings(folders)
    rows, reasons, counts = Counter(), Counter(), Counter()
    by_source: dict[str, Counter[str]] = {}
    qualities, unchanged = QualityCounts(), UnchangedAnswers(settings)
    images: set[str] = set()
    with (
        atomic_file(out / DATA) as data,
        atomic_file(out / REJECTS) as rejects,
        data.open("wb") as data_file,
        rejects.open("wb") as rejects_file,
    ):
        for entry in tqdm(_in_order(folders), desc="Merging", unit=" items", leave=False):
            for row in entry["rows"]:
                data_file.write(json_line(row))
                rows[row.get("source", settings["source"])] += 1
                qualities.add(row.get("source", settings["source"]), row)
                unchanged.add(row.get("source", settings["source"]), row)
                images.update(images_of(row))
            for reject in entry["rejects"]:
                rejects_file.write(json_line(reject))
                reasons[reject["reason"]] += 1
                source = reject.get("source", settings["source"])
                by_source.setdefault(source, Counter())[reject["reason"]] += 1
            counts.update(entry["counts"])
        _refuse_missing_images(out, images)
    memories = [folder / MEMORY for folder in folders if (folder / MEMORY).is_file()]
    if memories:
        from ndino.data.translation.memory import merge_memories

        merge_memories(memories, out / MEMORY)
    manifest = {
        **{key: settings.get(key) for key in LIFTED},
        "settings": {key: value for key, value in settings.items() if key not in LIFTED},
        "rows": {"total": rows.total(), "sources": dict(sorted(rows.items()))},
        "images": len(images),
        "rejects": dict(sorted(reasons.items())),
        "pass_rates": pass_rates(rows, by_source),
        "counts": dict(sorted(counts.items())),
        "files": {name: sha256_of(out / name) for name in (DATA, REJECTS)},
        "commit": commit(),
        "versions": versions(PACKAGES),
    }
    if answers := unchanged.as_json():
        manifest["unchanged_answers"] = answers
    if "quality" in settings:
        manifest["quality"] = qualities.as_json(settings["quality"])
    write_text(out / CARD, card(manifest))
    write_json(out / MANIFEST, manifest)
    return manifest


def _settings(folders: list[Path]) -> dict[str, Any]:
    """The settings that the shards share, with the folders of all of them that rows were made from."""
    all_settings = [_done(folder)["settings"] for folder in folders]
    inputs = [one for settings in all_settings for one in settings.get("inputs") or []]
    distinct = {json.dumps(one): one for one in inputs}
    return {**all_settings[0], "inputs": list(distinct.values())} if inputs else all_settings[0]


def pass_rates(rows: Counter[str], rejects: dict[str, Counter[str]]) -> dict[str, Any]:
    """By source: its rows, the percentage of them among rows and rejects, and that of each reason."""
    rates = {}
    for source in sorted({*rows, *rejects}):
        reasons = rejects.get(source, Counter())
        total = rows[source] + reasons.total()
        rates[source] = {
            "rows": rows[source],
            "passed_percent": round(100 * rows[source] / total, 2),
            "rejected_percent": {
                reason: round(100 * count / total, 2) for reason, count in sorted(reasons.items())
            },
        }
    return rates


def _done(folder: Path) -> dict[str, Any]:
    return record_of(folder / DONE)


def _whole_shards(out: Path) -> list[Path]:
    """The folders of all shards, in order; DataError if one cannot be merged."""
    shards = out / "shards"
    begun = shard_folders(shards)
    if not begun:
        raise UsageError(f"{out}: has no shards (remedy: give the folder that was --out)")
    count = begun[0][1]
    wanted = [shards / f"{index:05d}-of-{count:05d}" for index in range(count)]
    for index, folder in enumerate(wanted):
        if not (folder / DONE).is_file():
            state = "unfinished" if folder.with_name(folder.name + PARTIAL).is_dir() else "missing"
            raise DataError(f"{folder}: {state} (remedy: run the source again with --shard {index}/{count})")
        refuse_torn(folder)
    refuse_other_settings(shards, _done(wanted[0])["settings"], count)
    _refuse_gaps(out, [_done(folder)["items"] for folder in wanted])
    return wanted


def _refuse_gaps(out: Path, items: list[int]) -> None:
    # Item k is in shard k % n, so a later shard has as many items as the first, or one less.
    total = sum(items)
    if items != [len(range(index, total, len(items))) for index in range(len(items))]:
        raise DataError(
            f"{out}: the shards hold {', '.join(map(str, items))} items, so they are not of one input "
            "(remedy: the input changed between them; remove the shards and run them again)"
        )


def _in_order(folders: list[Path]) -> Iterator[dict[str, Any]]:
    return heapq.merge(*(json_rows(folder / JOURNAL) for folder in folders), key=lambda entry: entry["item"])
