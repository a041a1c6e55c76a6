"""The page for reviewers: the sample, what is on it, and how it behaves in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from ndino.data.framework.folders import open_folder
from ndino.data.review.sample import sample_rows
from tests.browser import needs_chromium, run_page
from tests.commands import data as main
from tests.data.framework import toy
from tests.data.review.test_verdicts import refused

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00\x1b[31m\ud800\u202e</p></article>"


def write_set(folder: Path) -> Path:
    """Four translated rows, one with hostile texts and one on a broken image, and one that is not."""
    (folder / "images").mkdir(parents=True)
    Image.effect_noise((800, 500), 90).convert("RGB").save(folder / "images" / "a.jpg")
    (folder / "images" / "torn.jpg").write_bytes((folder / "images" / "a.jpg").read_bytes()[:2000])
    rows = [toy.row(f"{n}", "cauldron/vqav2", "a.jpg") for n in range(4)]
    for number, row in enumerate(rows):
        row["original"] = ["What is it?", f"It is the number {number}."]
    rows[3]["id"] = rows[3]["conversations"][1]["value"] = HOSTILE.replace("\ud800", "")
    rows[3]["original"] = [HOSTILE, HOSTILE + "x" * 5000]
    rows[2]["image"] = "torn.jpg"
    rows.append(toy.row("own", "wit/caption", "a.jpg"))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data.jsonl").write_text(lines, encoding="utf-8")
    return folder


def test_as_many_rows_of_each_source_and_more_where_one_has_too_few(finished, tmp_path):
    with (finished / "data.jsonl").open("a") as file:
        file.writelines(json.dumps(toy.row(f"few {n}", "few")) + "\n" for n in range(3))
    folder = open_folder(finished)
    sources = [row["source"] for row in sample_rows(folder, 30, 42)]
    assert Counter(sources) == {"few": 3, "toy/images": 14, "toy/text": 13}
    assert len(sample_rows(folder, 2, 42)) == 2 and len(sample_rows(folder, 1000, 42)) == 63
    # More rows are added to the same ones, in an order that mixes the sources.
    few, many = ([row["id"] for row in sample_rows(folder, n, 42)] for n in (12, 30))
    assert set(few) < set(many) and few == [row for row in many if row in few]
    assert {row["id"] for row in sample_rows(folder, 12, 43)} != set(few)
    assert sources != sorted(sources)


def test_the_page_holds_small_images_and_every_text_escaped(tmp_path, capsys):
    folder = write_set(tmp_path / "set")
    assert main(["review", str(folder)]) == 0
    assert "review.html: 5 rows" in capsys.readouterr().out
    page = (folder / "review.html").read_text(encoding="utf-8")
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(images) == 4
    with Image.open(io.BytesIO(base64.b64decode(images[0]))) as image:
        assert image.size == (640, 400)
    assert page.count("<script") == 1 and "<img src=x" not in page and "\x00" not in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded
    assert "Not shown: image torn.jpg cannot be read: " in page
    assert "It is the number 1." in page and "È il numero 1." in page
    again = page
    assert main(["review", str(folder)]) == 0
    assert (folder / "review.html").read_text(encoding="utf-8") == again


def test_a_benchmark_shows_its_columns(tmp_path):
    (tmp_path / "images").mkdir()
    row = {"id": "1", "question": "Chi è?", "answers": ["un uomo", "Ugo"], "source": "OK-VQA"}
    row |= {"original": {"question": "Who is it?", "answers": ["a man", "Ugo"]}}
    (tmp_path / "data.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["review", str(tmp_path)]) == 0
    page = (tmp_path / "review.html").read_text()
    assert "Who is it?" in page and "un uomo\nUgo" in page and "a man\nUgo" in page


def test_a_folder_that_was_changed_or_is_empty_is_refused(finished, tmp_path, capsys):
    with (finished / "data.jsonl").open("a") as file:
        file.write("\n")
    assert "does not match manifest.json" in refused(capsys, finished)
    (tmp_path / "data.jsonl").write_text("")
    assert "no rows" in refused(capsys, tmp_path)
    (tmp_path / "data.jsonl").write_text("{}\n")
    assert "row 1: " in refused(capsys, tmp_path)


DRIVE = """<!doctype html>
<iframe id="f" style="border:0;width:400px;height:2000px" src="{page}"></iframe>
<pre id="out"></pre><script>
const frame = document.getElementById("f"), seen = {{}};
const press = (...keys) => keys.forEach((key) => frame.contentDocument.dispatchEvent(
  new KeyboardEvent("keydown", {{ key, bubbles: true }})));
const shown = () => [...frame.contentDocument.querySelectorAll("article")]
  .filter(e => e.getClientRects().length);
const text = (id) => frame.contentDocument.getElementById(id).textContent;
const beyond = (width) => {{
  frame.style.width = width + "px";
  return [...frame.contentDocument.body.querySelectorAll("*")]
    .filter(e => e.getBoundingClientRect().right > width + 0.5).map(e => e.tagName + "." + e.className);
}};
let loads = 0;
frame.onload = async () => {{
  const page = frame.contentDocument, view = frame.contentWindow;
  loads += 1;
  if (loads === 1) {{
    seen.first = [shown().length, page.querySelectorAll("article").length, text("counts")];
    seen.wide = []; seen.narrow = [];
    for (let n = 0; n < 5; n++) {{
      seen.narrow.push(...beyond(400)); seen.wide.push(...beyond(1280)); press("ArrowRight");
    }}
    for (let n = 0; n < 6; n++) press("ArrowLeft");
    press("1", "2");
    page.querySelector(".verdict.unsure").click();
    press("ArrowLeft");
    seen.pressed = page.querySelector('.verdict[aria-pressed="true"]').dataset.verdict;
    press("2");
    seen.counts = text("counts");
    press("s");
    seen.nameless = text("notice");
    frame.contentWindow.location.reload();
    return;
  }}
  seen.again = [text("counts"), shown().length];
  const name = page.getElementById("reviewer");
  name.value = "Ada Ò.";
  name.dispatchEvent(new Event("input"));
  name.dispatchEvent(new KeyboardEvent("keydown", {{ key: "1", bubbles: true }}));
  seen.typed = text("counts");
  press("1", "1");
  seen.done = !page.getElementById("done").hidden;
  let blob = null;
  view.URL.createObjectURL = (given) => {{ blob = given; return "blob:none"; }};
  view.HTMLAnchorElement.prototype.click = function () {{ seen.file = this.download; }};
  press("s");
  seen.saved = text("notice");
  seen.bar = page.querySelector(".bar").getAttribute("aria-valuenow");
  seen.active = page.querySelectorAll("script,[onerror],[onload]").length;
  seen.images = [...page.images].every(i => i.complete && i.naturalWidth > 0);
  seen.content = await blob.text();
  document.getElementById("out").textContent = JSON.stringify(seen);
}};</script>"""


@pytest.mark.system
@needs_chromium
def test_verdicts_by_keys_and_buttons_are_kept_saved_and_read(tmp_path, capsys):
    folder = write_set(tmp_path / "set")
    assert main(["review", str(folder)]) == 0
    seen = run_page(DRIVE.format(page=(folder / "review.html").resolve().as_uri()), tmp_path)
    assert seen["first"] == [1, 5, "0 of 5 judged: 0 good, 0 bad, 0 cannot say"]
    assert seen["narrow"] == seen["wide"] == []
    assert seen["pressed"] == "unsure"
    assert seen["counts"] == "3 of 5 judged: 1 good, 2 bad, 0 cannot say"
    assert seen["nameless"] == "Write your name first."
    assert seen["again"] == [seen["counts"], 1]  # kept while the page was closed
    assert seen["typed"] == seen["counts"]  # a name may hold a 1
    assert seen["done"] and seen["bar"] == "5" and seen["saved"] == "Saved 5 verdicts."
    assert seen["file"] == "verdicts-set-ada-ò.json"
    assert seen["active"] == 1 and seen["images"]
    (tmp_path / "ada.json").write_text(seen["content"], encoding="utf-8")
    capsys.readouterr()
    assert main(["review", str(folder), "--read", str(tmp_path / "ada.json")]) == 0
    said = capsys.readouterr().out
    assert "| all, each source by its rows | 5 | 3 | 0 |" in said
    assert "no manifest.json, so nothing is recorded" in said
