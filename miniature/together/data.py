"""The data of a demo in several languages: a world in each, its sources, and the mixes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from miniature.jobs import Report
from miniature.steps import DemoError, prepare
from miniature.together.variants import STAGES, TEXT, run_of, variants
from ndino.common.files import sha256_of, write_json
from ndino.data.framework.layout import DATA, IMAGES, MANIFEST
from ndino.data.framework.links import link_image
from ndino.formats.llava_json import read_conversations, read_records, write_conversations
from ndino.formats.prompts import IMAGE_TOKEN


def make_data(report: Report, data: Path, world: str, codes: Sequence[str], seed: int, fast: bool) -> None:
    """Write a world, its sources and text in each language, and the mix of each stage of the models."""
    if (data / "world.json").exists():
        return
    shutil.rmtree(data, ignore_errors=True)  # of a start that was stopped, maybe with another seed
    for number, code in enumerate(codes, start=1):
        prepare(data / code, world, code, seed, fast)
        write_source(data / code, data / "sources" / code, code)
        if code != codes[0]:
            rows, text = data / TEXT / f"{code}.json", data / "sources" / f"{TEXT}-{code}"
            write_text_rows(data / code, rows)
            _ndino("text", "--source", rows, "--lang", code, "--out", text)
        report(number, len(codes) + 1)
    models = variants(codes)
    for model in models:
        for stage, weights in model.weights.items():
            out = mixed(data, run_of(model, stage, models))
            if not out.exists():
                mix(data, weights, out, seed)
    write_json(data / "world.json", {"world": world, "lang": ",".join(codes), "seed": seed, "fast": fast})
    report(1, 1)


def mixed(data: Path, run: str) -> Path:
    """The folder with the rows of a run."""
    return data / "mixes" / run


def write_source(world: Path, out: Path, code: str) -> None:
    """Write a world's captions and answers as a finished data folder, images under the language's name."""
    rows = [
        record | {"image": f"{code}/{record['image']}", "source": part}
        for stage, part in STAGES.items()
        for _, record in read_records(world / f"{stage}.jsonl")
    ]
    for image in dict.fromkeys(row["image"] for row in rows):
        link_image(world / IMAGES / image.removeprefix(f"{code}/"), out / IMAGES / image, str(world))
    write_conversations(out / DATA, rows)
    counted = Counter(row["source"] for row in rows)
    manifest = {
        "source": "world",
        "lang": code,
        "rows": {"total": len(rows), "sources": counted},
        "files": {DATA: sha256_of(out / DATA)},
    }
    write_json(out / MANIFEST, manifest)


def write_text_rows(world: Path, path: Path) -> None:
    """Write the world's answers about captioned images as instruction text, with captions for images."""
    captions = {
        row.images[0]: row.turns[1].text for row in read_conversations(world / f"{_stage('captions')}.jsonl")
    }
    asked = (
        {
            "instruction": row.turns[0].text.replace(IMAGE_TOKEN, "").strip(),
            "input": captions[row.images[0]],
            "output": row.turns[1].text,
        }
        for row in read_conversations(world / f"{_stage('answers')}.jsonl")
        if row.images[0] in captions
    )
    write_json(path, list(asked))


def mix(data: Path, weights: Mapping[str, float], out: Path, seed: int) -> None:
    """Mix as many rows as the sources have in these proportions, with `ndino data mix`."""
    folders = {source: data / "sources" / _folder(source) for source in weights}
    whole = sum(weights.values())
    total = min(
        int(rows_of(folders[source], source.partition("@")[0]) * whole / weight)
        for source, weight in weights.items()
    )
    given = [word for source, weight in weights.items() for word in ("--weight", f"{source}={weight}")]
    _ndino("mix", *given, "--total", total, "--folders", *folders.values(), "--out", out, "--seed", seed)


def rows_of(folder: Path, source: str) -> int:
    """How many rows of a source a finished folder has."""
    counted = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["rows"]["sources"]
    return sum(rows for name, rows in counted.items() if name.partition("/")[0] == source)


def _folder(source: str) -> str:
    name, _, code = source.partition("@")
    return f"{TEXT}-{code}" if name == TEXT else code


def _stage(part: str) -> str:
    return next(stage for stage, its in STAGES.items() if its == part)


def _ndino(command: str, *arguments: object) -> None:
    from ndino.cli import main as ndino

    if ndino(["data", command, *map(str, arguments)]):
        raise DemoError(f"ndino data {command} failed")
