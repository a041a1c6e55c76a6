"""Mix finished sources into the data set of a recipe; the sample is the same on every machine.

Its rows are in the order of their ranks (`ndino.data.framework.sampling`).
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ndino.common.errors import UsageError
from ndino.common.files import atomic_file, key_of, sha256_of, write_json, write_text
from ndino.common.images import find_file
from ndino.common.locks import exclusive_lock
from ndino.common.options import positive
from ndino.common.parsing import parse_yaml, read_json
from ndino.common.provenance import commit, versions
from ndino.data.errors import DataError
from ndino.data.framework.card import card
from ndino.data.framework.folders import (
    CHANGED,
    PACKAGES,
    DataFolder,
    changed_files,
    images_of,
    one_or_all,
    open_folder,
    read_manifest,
)
from ndino.data.framework.journal import json_line, write_rows
from ndino.data.framework.layout import (
    BEGUN,
    CARD,
    DATA,
    IMAGES,
    MANIFEST,
    PARTIAL,
    REJECTS,
    remove_left_over,
)
from ndino.data.framework.links import link_image, same_content
from ndino.data.framework.merge import summary
from ndino.data.framework.quality import QualityCounts, histogram_lines, scorer_of
from ndino.data.framework.sampling import (
    UNKNOWN,
    Place,
    Take,
    find_rows,
    identity_in,
    in_several_languages,
    refuse_overlaps,
    row_at,
    sample,
)
from ndino.data.framework.shares import apportion


def named_mixes() -> dict[str, dict[str, int | None]]:
    """The mixes of `mixes.yaml`: rows per source (None for all), by the name of the recipe."""
    mixes = parse_yaml((files("ndino.data.commands") / "mixes.yaml").read_text(encoding="utf-8"))
    return {
        name: {source: None if count == "all" else count for source, count in take.items()}
        for name, take in mixes.items()
    }


def add_command(subparsers: argparse._SubParsersAction) -> None:
    mixes = named_mixes()
    command = subparsers.add_parser(
        "mix",
        help="sample finished sources to one data set for a recipe",
        description="Sample rows from finished source folders into one data set: data.jsonl, images/ (hard "
        "links where the file system allows them, else copies), manifest.json and README.md.\n\n"
        "Named mixes, one for each recipe:\n"
        + "\n".join(f"  {name}: {_written(take)}" for name, take in mixes.items()),
        examples=[
            "ndino data mix pt --folders data/wit data/eurlex --out data/pt",
            "ndino data mix --take wit/caption=20 --take eurlex=all --folders data/wit data/eurlex "
            "--out data/small",
            "ndino data mix --total 100000 --weight cauldron=0.9 --weight text=0.1 --alpha 0.3 "
            "--folders data/cauldron-it data/cauldron-es data/text-it data/text-es --out data/it-es",
        ],
    )
    command.add_argument("name", nargs="?", choices=sorted(mixes), metavar="NAME", help="a named mix")
    command.add_argument(
        "--take",
        action="append",
        type=_take,
        metavar="SOURCE=COUNT",
        help="rows to take from a source, or SOURCE=all; repeatable. SOURCE@it is its Italian rows, @it all "
        "Italian rows",
    )
    command.add_argument(
        "--weight",
        action="append",
        type=_weight,
        metavar="SOURCE=NUMBER",
        help="in place of --take: share of a source in --total, relative to the other weights; repeatable",
    )
    command.add_argument(
        "--total", type=positive, metavar="N", help="with --weight: rows of the mix, of all sources together"
    )
    command.add_argument(
        "--alpha",
        type=_share,
        metavar="A",
        help="languages of a source by their rows to this power: 0 equally many of each, 1 as they are "
        "(default: languages are not told apart)",
    )
    command.add_argument(
        "--folders",
        nargs="+",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="finished source folders, space-separated",
    )
    command.keep_former_name("--from", "--folders")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the result")
    command.add_argument(
        "--seed", type=int, default=42, metavar="N", help="seed of the sample (default: %(default)s)"
    )
    command.add_argument(
        "--min-quality",
        type=_share,
        metavar="SCORE",
        help="leave out rows whose translation has a lower score (sources built with --quality); they are "
        "listed in rejects.jsonl, and others take their place (default: take all)",
    )
    command.add_argument(
        "--allow-short",
        action="store_true",
        help="take what there is where a source has fewer rows than wanted",
    )
    command.set_defaults(run=_run)


def _take(text: str) -> tuple[str, int | None]:
    source, _, count = text.rpartition("=")
    if not source or not (count == "all" or (count.isdecimal() and int(count) > 0)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected SOURCE=COUNT or SOURCE=all")
    return source, None if count == "all" else int(count)


def _weight(text: str) -> tuple[str, float]:
    source, _, weight = text.rpartition("=")
    with contextlib.suppress(ValueError):
        if source and 0 < (number := float(weight)) < math.inf:
            return source, number
    raise argparse.ArgumentTypeError(f"{text!r}: expected SOURCE=NUMBER, the number above 0")


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (share := float(text)) <= 1:
            return share
    raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 to 1")


def _written(take: Take) -> str:
    return ", ".join(f"{source}={'all' if count is None else count}" for source, count in take.items())


def _run(args: argparse.Namespace) -> int:
    if [bool(args.name), bool(args.take), bool(args.weight)].count(True) != 1:
        raise UsageError(
            "neither a mix nor --take nor --weight, or several of them "
            "(remedy: give one of them, as in ndino data mix pt ...)"
        )
    if bool(args.weight) != bool(args.total):
        raise UsageError("--weight and --total belong together (remedy: give both, or --take SOURCE=COUNT)")
    named = args.take or args.weight or ()
    if len(dict(named)) < len(named):
        option = "--take" if args.take else "--weight"
        raise UsageError(f"{option} names a source twice (remedy: once, with the whole number)")
    take: Take = named_mixes()[args.name] if args.name else dict(args.take or ())
    if args.weight:
        take = apportion(args.total, dict(args.weight))
        if none := [source for source, count in take.items() if not count]:
            raise UsageError(f"{none[0]} would have no row (remedy: a larger --weight or --total)")
    manifest = mix(
        args.folders,
        take,
        args.out,
        name=args.name or "own",
        seed=args.seed,
        allow_short=args.allow_short,
        min_quality=args.min_quality,
        alpha=args.alpha,
    )
    for source, rows in manifest["taken"].items():
        print(f"{source}: {rows['taken']:,} of {rows['found']:,}")
    if len(languages := manifest["languages"]) > 1:
        print(", ".join(f"{lang}: {sum(rows.values()):,} rows" for lang, rows in languages.items()))
    print(f"{args.out}: {summary(manifest)}")
    if "quality" in manifest:
        print(*histogram_lines(manifest["quality"]), sep="\n")
    return 0


def mix(
    paths: Sequence[Path],
    take: Take,
    out: Path,
    *,
    name: str,
    seed: int,
    allow_short: bool = False,
    min_quality: float | None = None,
    alpha: float | None = None,
) -> dict[str, Any]:
    """Mix the folders ``paths`` into ``out``; returns the manifest. An existing equal mix is left unchanged.

    Rows whose ``quality`` is below ``min_quality`` are left out before the sample is drawn. Rows without one
    were not translated, and pass. ``alpha`` divides a source by language (`sampling.sample`).

    Raises:
        DataError: a source has too few rows (unless ``allow_short``), a folder is unfinished or was changed,
            an id occurs twice, a row cannot be used, or ``out`` holds something else.
        BusyError: another process is writing the same mix.
    """
    refuse_overlaps(take)
    folders = [open_folder(path) for path in paths]
    manifests = [folder.manifest for folder in folders if folder.manifest]
    scorer = scorer_of(
        {str(folder.path): folder.manifest for folder in folders if folder.manifest},
        threshold=min_quality is not None,
    )
    found = find_rows(folders, take, seed, min_quality)
    taken = sample(found, take, allow_short=allow_short, alpha=alpha)
    settings = {
        "mix": name,
        "take": {source: "all" if count is None else count for source, count in take.items()},
        "seed": seed,
        **({} if min_quality is None else {"min_quality": min_quality}),
        **({} if alpha is None else {"alpha": alpha}),
    }
    inputs = [
        {"file": f"{folder.name}/{DATA}", "sha256": digest}
        for folder, digest in zip(folders, found.hashes, strict=True)
    ]
    inputs.sort(key=lambda item: (item["file"], item["sha256"]))
    if out.exists():
        manifest = read_manifest(out) if out.is_dir() else None
        if manifest and (manifest["settings"], manifest["inputs"]) == (settings, inputs):
            if changed := changed_files(out, manifest):
                raise UsageError(f"{out / changed[0]}: {CHANGED} (remedy: another --out, or remove {out})")
            _refuse_other_images(out, folders, taken)
            print(f"{out}: already complete")
            return manifest
        raise UsageError(f"{out}: holds something else (remedy: another --out, or remove it)")
    partial = _partial(out, key_of(settings, inputs))
    with exclusive_lock(partial, f"{partial}: another process is writing it (remedy: wait for it)"):
        remove_left_over(partial, "**/.*.tmp")
        places = sorted(place for chosen in taken.values() for place in chosen)
        languages, images, qualities = _write(partial, folders, places)
        rows = sum(languages.values(), Counter())
        if min_quality is not None:
            write_rows(partial / REJECTS, (reject.as_json() for reject in found.poor))
        manifest = {
            "source": f"mix/{name}",
            "lang": one_or_all(manifest["lang"] for manifest in manifests),
            "inputs": inputs,
            "translator": one_or_all(manifest.get("translator") for manifest in manifests),
            "settings": settings,
            "taken": {
                source: {"wanted": wanted, "found": len(found.places[source]), "taken": len(taken[source])}
                for source, wanted in settings["take"].items()
            },
            "rows": {"total": rows.total(), "sources": dict(sorted(rows.items()))},
            "languages": {lang: dict(sorted(its.items())) for lang, its in sorted(languages.items())},
            "images": images,
            "rejects": dict(sorted(Counter(reject.reason for reject in found.poor).items())),
            "files": {
                file: sha256_of(partial / file) for file in (DATA, REJECTS) if (partial / file).is_file()
            },
            "commit": commit(),
            "versions": versions(PACKAGES),
        }
        if scorer is not None:
            manifest["quality"] = qualities.as_json(scorer)
        write_text(partial / CARD, card(manifest))
        write_json(partial / MANIFEST, manifest)
        (partial / BEGUN).unlink()
        os.replace(partial, out)
    return manifest


def _partial(out: Path, key: str) -> Path:
    """The folder to fill; what a killed run of the same mix left there is kept, anything else removed."""
    partial = out.with_name(f"{out.name}{PARTIAL}")
    begun = partial / BEGUN
    if not begun.is_file() or read_json(begun) != key:
        shutil.rmtree(partial, ignore_errors=True)
        write_json(begun, key)
    return partial


def _write(
    out: Path, folders: Sequence[DataFolder], places: Sequence[Place]
) -> tuple[dict[str, Counter[str]], int, QualityCounts]:
    """Write the rows at ``places`` and link their images.

    Returns the rows by language and source, the number of images, and the scores of the rows.
    """
    qualities = QualityCounts()
    shared = in_several_languages(folders)
    rows: dict[str, Counter[str]] = {}
    origins: dict[str, Path] = {}
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(folder.data.open("rb")) for folder in folders]
        temporary = stack.enter_context(atomic_file(out / DATA))
        file = stack.enter_context(temporary.open("wb"))
        for place in tqdm(places, desc="Mixing", unit=" rows"):
            row, folder = row_at(sources[place.folder], place.offset, place.length), folders[place.folder]
            for image in images_of(row):
                origin = find_file(folder.images / image) or folder.images / image
                if origins.setdefault(image, origin) is origin:
                    link_image(origin, out / IMAGES / image, f"{folder.data} row {place.row}")
                elif origins[image] != origin and not same_content(origin, origins[image]):
                    raise DataError(
                        f"{folder.data} row {place.row}: {image} is not the same image as {origins[image]} "
                        "(remedy: rename one of them)"
                    )
            source = row.get("source", folder.name)
            if source in shared:
                row["id"] = identity_in(row, folder, shared)
            file.write(json_line(row))
            rows.setdefault(folder.lang or UNKNOWN, Counter())[source] += 1
            qualities.add(source, row)
    return rows, len(origins), qualities


def _refuse_other_images(out: Path, folders: Sequence[DataFolder], taken: Mapping[str, list[Place]]) -> None:
    """Raise UsageError if an image of the finished mix ``out`` is another one in its folder now."""
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(folder.data.open("rb")) for folder in folders]
        for place in (place for chosen in taken.values() for place in chosen):
            for image in images_of(row_at(sources[place.folder], place.offset, place.length)):
                origin = find_file(folders[place.folder].images / image)
                if origin is not None and not same_content(origin, out / IMAGES / image):
                    raise UsageError(
                        f"{out}: its {image} is not the image that {origin} is now "
                        "(remedy: another --out, or remove it)"
                    )
