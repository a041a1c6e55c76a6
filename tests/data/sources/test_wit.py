"""WIT from tables to rows, with a local server for the images."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ndino.data.framework.shards import ItemOutcome, ShardWriter
from ndino.data.io.fetch import politeness_from
from ndino.data.sources import wit
from ndino.data.sources.wit_table import NEEDED
from ndino.formats.llava_json import read_conversations
from tests.commands import data as main
from tests.data.io.server import (
    Answer,
    Server,
    broken,
    content,
    endless,
    in_turn,
    redirect,
    status,
)
from tests.data.samples.wit_tables import SECTION, SVG, png, rejects_of, row, rows_of, table
from tests.languages.copies import language_file

CLEAN_SECTION = SECTION
HTML = b"<!DOCTYPE html><title>Too many requests</title>"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries and pauses that a test can wait for."""

    def settings(args):
        return replace(politeness_from(args), attempts=3, timeout_seconds=1, longest_wait_seconds=0.05)

    monkeypatch.setattr(wit, "politeness_from", settings)


def run(tables: list[Path], out: Path, *options: str) -> int:
    polite = ("--contact", "tests@example.org", "--seconds-between", "0")
    return main(["wit", *map(str, tables), "--out", str(out), *polite, *options])


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_row_gives_a_caption_and_a_section(tmp_path: Path) -> None:
    with Server({"/a.png": content(png(1))}) as server:
        rows = [row("de"), row(image_url=server.url("/a.png"))]
        path = write(tmp_path / "wit.tsv.gz", gzip.compress(table(rows)))
        assert run([path], tmp_path / "out") == 0
        url = server.url("/a.png")
    caption, section = rows_of(tmp_path / "out")
    assert caption["conversations"] == [
        {"from": "human", "value": "<image>"},
        {"from": "gpt", "value": 'Il Colosseo visto da "nord"'},
    ]
    assert section["conversations"][1]["value"] == SECTION
    assert (caption["source"], section["source"]) == ("wit/caption", "wit/section")
    assert caption["id"] != section["id"] and caption["image"] == section["image"]
    assert (tmp_path / "out" / "images" / caption["image"]).read_bytes() == png(1)
    assert caption["page_url"] == "https://it.wikipedia.org/wiki/Colosseo" and caption["image_url"] == url
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rows"] == {"total": 2, "sources": {"wit/caption": 1, "wit/section": 1}}
    assert manifest["counts"] == {"wit/rows": 2, "wit/rows of other languages": 1}
    assert [entry["file"] for entry in manifest["inputs"]] == ["wit.tsv.gz"]
    data, images = tmp_path / "out" / "data.jsonl", tmp_path / "out" / "images"
    assert len(list(read_conversations(data, image_folder=images))) == 2


def test_unused_columns_may_be_missing(tmp_path: Path) -> None:
    with Server({"/a.png": content(png(1))}) as server:
        found = row(image_url=server.url("/a.png"))
        taken = [column for column in NEEDED if found[column]]
        file = io.StringIO()
        writer = csv.DictWriter(file, taken, delimiter="\t", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerow(found)
        assert run([write(tmp_path / "wit.tsv", file.getvalue().encode())], tmp_path / "out") == 0
    assert len(rows_of(tmp_path / "out")) == 2


@pytest.mark.parametrize("lang", ["de", "gsw"])
def test_another_language_needs_only_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang) -> None:
    if lang == "gsw":  # which WIT is told to call de
        (tmp_path / "files").mkdir()
        language_file(monkeypatch, tmp_path / "files", lang, like="de", codes={"wit": "de"})
    with Server({"/a.png": content(png(1))}) as server:
        german = {
            "caption_reference_description": "Das Kolosseum von Norden gesehen",
            "context_section_description": "Das Kolosseum ist ein Theater.\nEs steht in der Stadt Rom.",
        }
        rows = [row(image_url=server.url("/a.png")), row("de", image_url=server.url("/a.png"), **german)]
        path = write(tmp_path / "wit.tsv", table(rows))
        assert run([path], tmp_path / "out", "--lang", lang) == 0
    assert {found["page_url"] for found in rows_of(tmp_path / "out")} == {
        "https://de.wikipedia.org/wiki/Colosseo"
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(404), "HTTP 404"),
        (status(403), "HTTP 403"),
        (status(503), "HTTP 503"),
        (content(HTML, "text/html"), "wrong kind of file: text/html"),
        (content(HTML, "image/png"), "wrong kind of file: text/html"),
        (content(SVG, "image/svg+xml"), "image: it is SVG, a drawing without pixels"),
        (content(png(1)[:70]), "image: image file is truncated"),
        (content(png(1), length=70), "image: image file is truncated"),
        (content(png(1, (4, 4))), "image: it has fewer than 16 pixels a side"),
        (content(b""), "empty answer"),
        (broken(png(1), 70), "broken off"),
        (endless(), "too large"),
        (redirect("ftp://127.0.0.1/a.png"), "not a web address"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_missing_image_costs_only_its_row(
    tmp_path: Path, impatient: None, answer: Answer, reason: str
) -> None:
    with Server({"/a.png": answer, "/b.png": content(png(2))}) as server:
        rows = [row(image_url=server.url("/a.png")), row(image_url=server.url("/b.png"))]
        path = write(tmp_path / "wit.tsv", table(rows))
        assert run([path], tmp_path / "out", "--max-bytes", "50000") == 0
    assert [found["image_url"][-6:] for found in rows_of(tmp_path / "out")] == ["/b.png"] * 2
    assert rejects_of(tmp_path / "out") == [("wit.tsv row 1", reason)]


def test_a_download_that_failed_is_tried_again_also_before_the_end(tmp_path: Path, impatient: None) -> None:
    commit = ShardWriter.commit

    def stop(writer: ShardWriter, number: int, outcome: ItemOutcome) -> None:
        if number == 1:
            raise KeyboardInterrupt
        commit(writer, number, outcome)

    with Server({"/a.png": in_turn(status(404), content(png(1))), "/b.png": content(png(2))}) as server:
        rows = [row(image_url=server.url("/a.png")), row(image_url=server.url("/b.png"))]
        path = write(tmp_path / "wit.tsv", table(rows))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ShardWriter, "commit", stop)
            assert run([path], tmp_path / "out") == 130
        assert run([path], tmp_path / "out", "--retry-rejects") == 0
    assert [found["image_url"][-6:] for found in rows_of(tmp_path / "out")] == ["/a.png"] * 2 + ["/b.png"] * 2
    assert rejects_of(tmp_path / "out") == []


def test_slow_and_busy_servers_are_retried(tmp_path: Path, impatient: None) -> None:
    gif = tmp_path / "a.gif"
    from PIL import Image

    Image.new("P", (40, 30)).save(gif, save_all=True, append_images=[Image.new("P", (40, 30), 1)])
    routes = {
        "/1.png": in_turn(status(429, {"Retry-After": "0"}), status(202), content(png(1))),
        "/2.png": in_turn(broken(png(2), 70), content(png(2))),
        "/3.png": redirect("/4.png"),
        "/4.png": content(png(4)),
        "/5.gif": content(gif.read_bytes(), "image/gif"),
    }
    with Server(routes) as server:
        rows = [row(image_url=server.url(path)) for path in routes]
        path = write(tmp_path / "wit.tsv", table(rows))
        assert run([path], tmp_path / "out") == 0
        assert server.hits == {"/1.png": 3, "/2.png": 2, "/3.png": 1, "/4.png": 2, "/5.gif": 1}
    images = [found["image"] for found in rows_of(tmp_path / "out")]
    assert (
        len(images) == 10 and images[4:8] == [images[4]] * 4 and all(name.endswith(".png") for name in images)
    )


def test_missing_rejected_and_repeated_texts(tmp_path: Path) -> None:
    caption, section = "caption_reference_description", "context_section_description"
    with Server({f"/{n}.png": content(png(n)) for n in range(9)}) as server:
        url = server.url
        rows = [
            row(image_url=url("/1.png")),
            row(image_url=url("/1.png"), **{caption: "Un'altra didascalia"}),
            row(image_url=url("/1.png")),
            row(image_url=url("/2.png")),
            row(image_url=url("/3.png"), **{caption: ""}),
            row(image_url=url("/4.png"), **{caption: "Sì", section: " "}),
            row(image_url=url("/5.png"), **{caption: " \u200b ", section: ""}),
            row(image_url="", page_title="x"),
            row(image_url="colosseo.png"),
            row(page_url="", image_url=url("/6.png")),
            row(
                image_url=url("/7.png"),
                **{caption: "Una\ndidascalia  <br> [1] su due righe", section: "x" * 5000},
            ),
        ]
        path = write(tmp_path / "wit.tsv", table(rows))
        assert run([path], tmp_path / "out") == 0
        assert not {"/4.png", "/5.png", "/6.png"} & server.hits.keys()
        assert server.hits["/1.png"] == 1
    found = [(item["image_url"][-5], item["source"][4:]) for item in rows_of(tmp_path / "out")]
    expected = "1 caption,1 section,1 caption,2 caption,2 section,3 section,7 caption,7 section"
    assert found == [tuple(pair.split()) for pair in expected.split(",")]
    texts = [item["conversations"][1]["value"] for item in rows_of(tmp_path / "out")]
    assert texts[-2:] == ["Una didascalia su due righe", "x" * 4000]
    again = "same image and text as before"
    assert [(where[12:], reason) for where, reason in rejects_of(tmp_path / "out")] == [
        ("2", f"section: {again}"),
        ("3", f"caption: {again}"),
        ("3", f"section: {again}"),
        ("6", "caption: text too short"),
        ("7", "no text"),
        ("8", "no address of the image"),
        ("9", "not a web address"),
        ("10", "no address of the page"),
    ]
    counts = json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"]
    assert counts["wit/rows without a caption"] == 2 and counts["wit/rows without a section"] == 2


def test_texts_in_another_language_are_rejected_and_angles_and_notes_are_cleaned(tmp_path: Path) -> None:
    caption, section = "caption_reference_description", "context_section_description"
    with Server({f"/{n}.png": content(png(n)) for n in range(4)}) as server:
        angle = "La torre si trova a 45°27'12''N 9°11'E [senza fonte]"
        rows = [
            row(image_url=server.url("/0.png"), **{caption: "View of the old bridge from the river"}),
            row(image_url=server.url("/1.png"), **{caption: "Церковь святого Николая", section: ""}),
            row(image_url=server.url("/2.png"), **{caption: angle, section: ""}),
            row(image_url=server.url("/3.png"), **{caption: "The Beatles nel 1964", section: ""}),
        ]
        assert run([write(tmp_path / "wit.tsv", table(rows))], tmp_path / "out") == 0
    texts = [item["conversations"][1]["value"] for item in rows_of(tmp_path / "out")]
    assert texts == [CLEAN_SECTION, "La torre si trova a 45°27'12''N 9°11'E", "The Beatles nel 1964"]
    assert {reason for _, reason in rejects_of(tmp_path / "out")} == {"caption: not in the language it"}
    rates = json.loads((tmp_path / "out" / "manifest.json").read_text())["pass_rates"]
    assert rates["wit/caption"] == {
        "rows": 2, "passed_percent": 50.0, "rejected_percent": {"caption: not in the language it": 50.0},
    }  # fmt: skip


def test_faulty_rows_are_rejected_and_a_torn_file_gives_its_complete_rows(tmp_path: Path) -> None:
    with Server({f"/{n}.png": content(png(n)) for n in range(3)}) as server:
        good, last, torn = ([row(image_url=server.url(f"/{n}.png"))] for n in range(3))
        wrong = table([row()], header=False).replace(b"\tColosseo\t", b"\t")
        packed = gzip.compress(table(torn * 200))
        paths = [
            write(tmp_path / "b.tsv", table(good) + wrong + table(last, header=False)),
            write(tmp_path / "a.tsv.gz", packed[: len(packed) - 12]),
        ]
        assert run(paths, tmp_path / "out") == 0
    rejects = rejects_of(tmp_path / "out")
    assert [where[:8] for where, reason in rejects if reason == "file breaks off"] == ["a.tsv.gz"]
    assert rejects[-1] == ("b.tsv row 2", "wrong number of columns")
    assert [found["image_url"][-5] for found in rows_of(tmp_path / "out")] == list("220011")


def test_a_wrong_file_stops_the_run_before_any_download(tmp_path: Path, capsys) -> None:
    with Server({"/a.png": content(png(1))}) as server:
        good = write(tmp_path / "a.tsv", table([row(image_url=server.url("/a.png"))]))
        for bad in (
            write(tmp_path / "b.tsv", b"a,b\n"),
            write(tmp_path / "b.parquet", b"PAR1"),
            tmp_path / "none",
        ):
            assert run([good, bad], tmp_path / "out") == (1 if bad.exists() else 2)
            line = capsys.readouterr().err.strip().splitlines()[-1]
            assert str(bad) in line and ("not a WIT table" in line or "no such file" in line)
        assert main(["wit", str(good), "--out", str(tmp_path / "out")]) == 2
        assert "--contact" in capsys.readouterr().err
        assert run([good], tmp_path / "out", "--lang", "../x") == 2
        assert not server.hits
    assert not (tmp_path / "out").exists()


def test_a_language_without_rows_is_a_failure(tmp_path: Path, capsys) -> None:
    path = write(tmp_path / "wit.tsv", table([row("de")]))
    assert run([path], tmp_path / "out") == 1
    assert "no rows; rejects" in capsys.readouterr().err
