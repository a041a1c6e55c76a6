"""Mixing by weight, and sources in several languages."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.common.files import sha256_of
from ndino.data.commands.mix import mix
from ndino.data.framework.journal import json_line
from ndino.data.framework.shards import DataError
from tests.commands import data as main
from tests.data.commands.test_mix import rows_of


def in_language(folder: Path, lang: str, *, rows: int) -> Path:
    """A copy of a finished folder with its first rows, as if its source had been run with this ``--lang``."""
    shutil.copytree(folder.parent / "toy", folder)
    kept = rows_of(folder)[:rows]
    (folder / "data.jsonl").write_bytes(b"".join(map(json_line, kept)))
    manifest = json.loads((folder / "manifest.json").read_text())
    counted = Counter(row["source"] for row in kept)
    manifest |= {"lang": lang, "rows": {"total": rows, "sources": dict(counted)}}
    manifest["files"]["data.jsonl"] = sha256_of(folder / "data.jsonl")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_sources_by_weight_and_their_languages_by_size(finished, tmp_path, capsys):
    spanish, catalan = (
        in_language(tmp_path / f"toy-{lang}", lang, rows=rows) for lang, rows in (("es", 40), ("ca", 10))
    )
    folders = [str(finished), str(spanish), str(catalan)]
    weights = ["--weight", "toy/images=3", "--weight", "toy/text=1", "--total", "40", "--alpha", "0.5"]
    assert main(["mix", *weights, "--folders", *folders, "--out", str(tmp_path / "mix")]) == 0
    rows = rows_of(tmp_path / "mix")
    assert Counter(row["source"] for row in rows) == {"toy/images": 30, "toy/text": 10}
    # A source's ids are the same in every language; in the mix they have it in front.
    manifest = json.loads((tmp_path / "mix" / "manifest.json").read_text())
    counted = Counter((row["id"].partition("/")[0], row["source"]) for row in rows)
    assert manifest["languages"] == {
        lang: {source: counted[lang, source] for source in ("toy/images", "toy/text")}
        for lang in ("ca", "es", "it")
    }
    # Of 6, 20 and 30 rows with images, Catalan is whole; 24 are left, in the ratio of the roots of 20 and 30.
    # Of 4, 20 and 30 rows of text, the 10 are in the ratio of 2, 4.5 and 5.5.
    assert [counted[lang, "toy/images"] for lang in ("ca", "es", "it")] == [6, 11, 13]
    assert [counted[lang, "toy/text"] for lang in ("ca", "es", "it")] == [2, 4, 4]
    assert manifest["lang"] == ["ca", "es", "it"] and manifest["settings"]["alpha"] == 0.5
    assert manifest["settings"]["take"] == {"toy/images": 30, "toy/text": 10}
    card = (tmp_path / "mix" / "README.md").read_text()
    assert "| ca | toy/images | 6 |" in card
    assert "ca: 8 rows, es: 15 rows, it: 17 rows" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "mix"), "--workers", "1"]) == 0
    # Nor does the order of folders matter, and a mix may be mixed again.
    command = ["mix", *weights, "--folders", *reversed(folders), "--out", str(tmp_path / "same")]
    assert main(command) == 0
    assert (tmp_path / "same" / "data.jsonl").read_bytes() == (tmp_path / "mix" / "data.jsonl").read_bytes()
    mix([tmp_path / "mix"], {"toy/text": 4}, tmp_path / "again", name="own", seed=1)
    assert json.loads((tmp_path / "again" / "manifest.json").read_text())["lang"] == ["ca", "es", "it"]


def test_rows_of_one_language_are_taken_by_its_code(finished, tmp_path, capsys):
    spanish = in_language(tmp_path / "toy-es", "es", rows=40)
    take = {"toy/text@es": 4, "toy/text@it": 6, "toy/images@es": None}
    manifest = mix([finished, spanish], take, tmp_path / "mix", name="own", seed=1)
    images = sum(row["source"] == "toy/images" for row in rows_of(spanish))
    assert manifest["languages"] == {"es": {"toy/images": images, "toy/text": 4}, "it": {"toy/text": 6}}
    assert manifest["taken"]["toy/text@es"]["found"] == 40 - images
    everything = mix([finished, spanish], {"@es": None}, tmp_path / "all", name="own", seed=1)
    assert everything["rows"]["total"] == 40
    with pytest.raises(UsageError, match="toy/text@es is part of @es"):
        mix([finished, spanish], {"toy/text@es": 4, "@es": 4}, tmp_path / "no", name="own", seed=1)
    with pytest.raises(UsageError, match="toy@es is part of toy"):
        mix([finished, spanish], {"toy@es": 4, "toy": 4}, tmp_path / "no", name="own", seed=1)
    with pytest.raises(DataError, match="toy@fr has 0 rows of 4 wanted"):
        mix([finished, spanish], {"toy@fr": 4}, tmp_path / "no", name="own", seed=1)
