"""MTVQA, EXAMS-V and GQA-it as published, small: real columns, our words."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.data.samples.cauldron_samples import draw_image

TEXT, IMAGE = pa.string(), pa.struct({"bytes": pa.binary(), "path": pa.string()})
PAIRS = "[{'question': \"Cosa c'è scritto?\", 'answer': 'Uscita'}, {'question': 'Che ora è?', 'answer': '8'}]"


def image(number: int) -> dict[str, Any]:
    return {"bytes": draw_image(number), "path": None}


def write_parquet(file: Path, rows: Sequence[Mapping[str, Any]], types: Mapping[str, pa.DataType]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(dict(types))), file)


def write_mtvqa(folder: Path, pairs: Sequence[str | None] = (PAIRS,), lang: str = "IT") -> Path:
    """Two splits; each of ``pairs`` is the list of a row of the language, between rows of others."""
    rows = [
        {"image": image(number), "qa_pairs": one, "lang": code, "id": number}
        for number, (code, one) in enumerate([("DE", PAIRS), *((lang, one) for one in pairs), ("AR", PAIRS)])
    ]
    types = {"image": IMAGE, "qa_pairs": TEXT, "lang": TEXT, "id": pa.int64()}
    for split in ("train", "test"):
        write_parquet(folder / "data" / f"{split}-00000-of-00001.parquet", rows, types)
    return folder


def write_exams(folder: Path, answers: Sequence[str | None] = ("A", "c")) -> Path:
    rows = [
        {"image": image(50 + number), "sample_id": f"s{number}", "answer_key": answer, "language": language}
        for number, (language, answer) in enumerate(
            [("Bulgarian", "B"), *(("Italian", answer) for answer in answers)]
        )
    ]
    types = {"image": IMAGE, "sample_id": TEXT, "answer_key": TEXT, "language": TEXT}
    for split in ("train", "test"):
        write_parquet(folder / "data" / f"{split}-00000-of-00001.parquet", rows, types)
    return folder


def write_gqa(folder: Path) -> tuple[Path, Path]:
    """The questions and the folder of images: n1 has two questions, n2 one, n3 none; n9 has no image."""
    questions = [
        {"img_id": "n1", "question_id": "1", "sent": "È chiusa la porta?", "label": {"no": 1.0}},
        {"img_id": "n2", "question_id": "2", "sent": "Di che colore è?", "label": {"blu": 1.0}},
        {"img_id": "n1", "question_id": "3", "sent": "Chi c'è?", "label": {"uomo": 1.0}},
        {"img_id": "n9", "question_id": "4", "sent": "Dov'è?", "label": {"qui": 1.0}},
    ]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "testdev.json.gz"
    file.write_bytes(gzip.compress(json.dumps(questions).encode()))
    rows = [{"id": f"n{number}", "image": image(80 + number)} for number in (2, 3, 1)]
    target = folder / "GQA" / "testdev_balanced_images" / "testdev-00000-of-00001.parquet"
    write_parquet(target, rows, {"id": TEXT, "image": IMAGE})
    return file, folder / "GQA"
