"""The data demo on made-up stamps and a book of one page, with the real Apertium and Tesseract."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from reportlab.pdfgen import canvas

from miniature import data_demo, data_inputs
from miniature.worlds.stamp_files import VARIABLE
from ndino.data.framework.journal import json_rows
from ndino.data.sources.wit_table import COLUMNS
from ndino.formats.llava_json import read_conversations
from ndino.languages.lexicon import stamp_words
from tests.miniature.worlds.stamps_package import write_package

WORDS = stamp_words("it")
MISSING = [name for name in ("apertium", "cg-proc", "tesseract") if shutil.which(name) is None]
PAGE = """Il sistema Debian è una raccolta organizzata di pacchetti di software libero,
che ogni utente può installare, aggiornare e rimuovere con pochi comandi.
Ogni pacchetto dichiara da quali altri pacchetti dipende, e il programma di
gestione provvede a scaricare tutto quello che serve per il suo funzionamento.
La guida di riferimento descrive il sistema per chi vuole conoscerlo meglio e
spiega come configurare la rete, la stampante, la tastiera e la lingua italiana.
Prima di cambiare un file di configurazione conviene farne una copia, così che
in caso di errore si possa tornare facilmente alla versione che funzionava."""


@pytest.fixture
def sources(tmp_path, monkeypatch) -> None:
    """Stamps and book of the demo, as small as they can be."""
    monkeypatch.setenv(VARIABLE, str(write_package(tmp_path / "stamps")))
    pdf = tmp_path / "book.pdf"
    page = canvas.Canvas(str(pdf))
    text = page.beginText(60, 780)
    text.setFont("Helvetica", 12)
    text.textLines(PAGE)
    page.drawText(text)
    page.save()
    monkeypatch.setattr(data_inputs, "reference_pdf", lambda lang, say: pdf)
    monkeypatch.setattr(data_inputs, "STAMPS", 12)
    monkeypatch.setattr(data_demo, "STEPS", 2)
    # As many rows in a step as there are captions.
    smaller = data_demo.OVERRIDES.read_text().replace("batch: 16", "batch: 12")
    (tmp_path / "recipes.yaml").write_text(smaller)
    monkeypatch.setattr(data_demo, "OVERRIDES", tmp_path / "recipes.yaml")


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.system
@pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")
def test_every_kind_is_built_checked_and_trained_on_and_a_rerun_changes_nothing(sources, tmp_path, capsys):
    out = tmp_path / "demo"
    assert data_demo.main(["--out", str(out)]) == 0, capsys.readouterr().err
    data = out / "data"
    wit = manifest(data / "wit")
    assert wit["rows"]["sources"] == {"wit/caption": 12, "wit/section": 12}
    assert wit["rejects"] == {"HTTP 404": 1} and wit["counts"]["wit/rows of other languages"] == 12
    assert manifest(data / "eurlex")["rows"]["total"] == 1
    assert set(manifest(data / "it")["rows"]["sources"]) == {
        *(f"cauldron/{t}" for t in data_demo.TASKS),
        "mtvqa",
    }
    assert manifest(data / "it")["taken"]["exams-v"]["found"] == 0
    assert manifest(data / "multi")["rows"]["sources"] == {"conversations/multi": 12}
    mixed = manifest(data / "mix")
    assert mixed["settings"]["min_quality"] == data_demo.MIN_QUALITY
    left_out = mixed["rejects"].get(f"quality below {data_demo.MIN_QUALITY:g}", 0)
    found = sum(source["found"] for source in mixed["taken"].values())
    folders = (data / name for name in data_demo.MIXES["mix"])
    rows = [row for folder in folders for row in json_rows(folder / "data.jsonl")]
    assert 0 < left_out < found == sum(row["source"] != "conversations/multi" for row in rows) - left_out
    for name in data_demo.DATA_SETS:
        rows = list(read_conversations(data / name / "data.jsonl", image_folder=data / name / "images"))
        assert len(rows) == manifest(data / name)["rows"]["total"] > 0
    assert manifest(data / "benchmarks")["counts"]["POPE/original"] == 24
    assert "table-4.md" in {path.name for path in (out / "tables").iterdir()}
    translated = (data / "cauldron" / "data.jsonl").read_text()
    assert "Domanda" in translated or "Rispondi" in translated
    trained = json.loads((out / "runs" / "mlp-pt-it" / "manifest.json").read_text())
    assert trained["recipe"]["name"] == "it" and len(trained["loss_curve"]) == 2
    said = capsys.readouterr().out
    assert "$ ndino data wit" in said and "0 faults" in said and "| cocoqa | 12 | 24 |" in said
    assert "cauldron/cocoqa: 24 rows, 100 % passed\n" in said and "; HTTP 404 " in said
    assert "conversations/single: quality of 24 rows, mean 0." in said and "  0.3 to 0.4 " in said
    assert "review.html: 24 rows" in said and (data / "mix" / "review.html").is_file()

    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert data_demo.main(["--out", str(out)]) == 0
    assert "already complete" in capsys.readouterr().out
    changed = {path for path in kept if path.stat().st_mtime_ns != kept[path]}
    assert not {path for path in changed if data in path.parents and path.suffix in (".jsonl", ".png")}


def test_what_debian_does_not_have_in_the_language_is_left_out_in_a_line(
    sources, tmp_path, monkeypatch, capsys
):
    ran: list[list[str]] = []
    monkeypatch.setattr(data_demo, "run", lambda *words: ran.append([str(word) for word in words]))
    monkeypatch.setattr(data_demo, "pass_rates", lambda folders: [folder.name for folder in folders])
    data_demo.build(tmp_path / "demo", lang="ca", seed=1)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Debian has no reference in Catalan: the source eurlex is left out"
    assert not (tmp_path / "demo" / "inputs" / "pdfs").exists()
    assert {"wit", "mtvqa"} < {*said} and "eurlex" not in {*said, *(words[0] for words in ran)}
    (mix,) = [words for words in ran if words[:2] == ["mix", "pt"]]
    assert mix[2:5] == ["--folders", str(tmp_path / "demo" / "data" / "wit"), "--out"]
    in_language = {words[0] for words in ran if "--lang" in words and "ca" in words}
    assert in_language == {"wit", "cauldron", "conversations", "native", "benchmarks"}


def test_a_language_without_a_translator_is_built_from_what_is_written_in_it(
    sources, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(data_demo, "known_packages", lambda: ["apertium-eng-spa", "tesseract-ocr-deu"])
    out = tmp_path / "demo"
    assert data_demo.main(["--lang", "ca", "--out", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "Debian has no reference in Catalan: the source eurlex is left out",
        "Debian has no Apertium packages from English to Catalan: the sources cauldron, conversations, "
        "benchmarks are left out",
    ]
    made = {path.parent.name for path in (out / "data").glob("*/manifest.json")}
    assert made == {"wit", "mtvqa", "mlp", "pt", "it", "mix"}
    assert manifest(out / "data" / "it")["rows"]["total"] == manifest(out / "data" / "mtvqa")["rows"]["total"]
    trained = json.loads((out / "runs" / "mlp-pt-it" / "manifest.json").read_text())
    assert trained["recipe"]["name"] == "it" and (out / "data" / "mix" / "review.html").is_file()


@pytest.mark.parametrize(("packages", "left_out"), [(None, {"eurlex"}), (["apertium-eng-cat"], {"eurlex"})])
def test_nothing_is_left_out_that_debian_has_or_may_have(monkeypatch, packages, left_out):
    monkeypatch.setattr(data_demo, "known_packages", lambda: packages)
    assert {source for _, lost in data_demo.lacking("ca") for source in lost} == left_out


def test_the_table_is_rewritten_if_its_port_is_taken(sources, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(data_demo, "run", lambda *words: ran.append(words))
    table, out = tmp_path / "inputs" / "wit.tsv.gz", tmp_path / "wit"
    data_demo.build_wit(out, table, lang="it", seed=1)
    address = (tmp_path / "inputs" / "wit.address").read_text()
    first = table.read_bytes()
    (out / "shards").mkdir(parents=True)
    data_demo.build_wit(out, table, lang="it", seed=1)
    assert table.read_bytes() == first and (out / "shards").is_dir()
    with data_demo.serve(tmp_path, address):
        data_demo.build_wit(out, table, lang="it", seed=1)
    assert table.read_bytes() != first and not (out / "shards").exists()
    (out / "manifest.json").parent.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").write_text("{}")
    made = table.read_bytes()
    data_demo.build_wit(out, table, lang="it", seed=1)
    assert table.read_bytes() == made and len(ran) == 4


def test_the_wit_table_has_its_columns_and_is_repeatable(sources, tmp_path):
    stamps = data_inputs.choose_stamps(tmp_path / "stamps", WORDS, 1)
    assert stamps == data_inputs.choose_stamps(tmp_path / "stamps", WORDS, 1) or len(stamps) == 12
    data_inputs.write_wit(tmp_path / "a.tsv.gz", stamps, "http://127.0.0.1:1", WORDS)
    data_inputs.write_wit(tmp_path / "b.tsv.gz", stamps, "http://127.0.0.1:1", WORDS)
    assert (tmp_path / "a.tsv.gz").read_bytes() == (tmp_path / "b.tsv.gz").read_bytes()
    assert len(COLUMNS) == 17


def test_too_few_stamps_are_one_clear_line(sources, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data_inputs, "STAMPS", 1000)
    assert data_demo.main(["--out", str(tmp_path / "demo")]) == 1
    said = capsys.readouterr().err
    assert "60 usable stamps, 1000 are needed" in said and "Traceback" not in said
