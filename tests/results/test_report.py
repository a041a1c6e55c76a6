"""The page: what it holds, that nothing from a log can act in it, and that a real browser lays it out."""

from __future__ import annotations

import html
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pypdfium2 as pdfium
import pytest

from ndino.results.logs import ResultsError, read_training
from ndino.results.report import format_duration, shared_facts, write_report
from tests.browser import CHROMIUM, needs_chromium, run_page
from tests.results.synthetic import FAMILY, write_rows, write_task, write_training

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00\x08\x1b[31m\x85\ud800\u202e</bdi></li>"
)


class Page(HTMLParser):
    """Tags with their attributes, and all text outside style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_endtag(self, tag):
        self._style = False

    def handle_data(self, data):
        if not self._style:
            self.text += data


def answer_with(run: Path, text: str, **fields: object) -> None:
    """Put a text into every free field of the first document of gqa-it, which has an example card."""
    for log in run.glob("eval/*/gqa-it*.jsonl"):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        rows[0] |= {"answer": text, "question": text, "target": text} | fields
        write_rows(log, rows)


@pytest.fixture(scope="module")
def family_report(family_run):
    return write_report(family_run, title="Family")


@pytest.fixture(scope="module")
def page(family_report):
    return Page(family_report.page.read_text(encoding="utf-8"))


def test_the_page_has_every_part(page, family_report):
    ids = [attributes["id"] for tag, attributes in page.tags if "id" in attributes and tag == "section"]
    assert ids == [
        *("scores", "table-5", "table-6", "table-7", "others-1"),
        *("gains", "pairs", "examples", "training", "time", "more", "notes"),
    ]
    tags = [tag for tag, _ in page.tags]
    assert (tags.count("table"), tags.count("article")) == (6, 27)
    told = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    kinds = ("Scores, ", "Right minus shuffled, ", "Training loss of ")
    assert [sum(label.startswith(kind) for label in told) for kind in kinds] == [9, 9, 8]
    assert all(sentence in page.text for sentence in family_report.findings)
    assert "0123456789abcdef" * 4 in page.text
    assert "4 min 10 s" in page.text


def test_the_page_loads_nothing(page, family_report):
    loading = {"script", "link", "iframe", "object", "embed", "base"}
    assert not loading & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert (attributes.get("src") or "data:").startswith(
            "data:image/webp;base64,"
        ) or "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    text = family_report.page.read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(", text)
    assert "default-src 'none'" in text


def test_summary_and_tables_are_written_beside_it(family_report):
    assert json.loads(family_report.summary_file.read_text()) == family_report.summary
    assert family_report.tables_files[0].read_text().startswith("# Family\n")
    names = {"index.html", "summary.json", "tables.md", "tables.csv", "tables.tex"}
    assert {path.name for path in family_report.page.parent.iterdir()} == names


def test_a_second_report_is_byte_equal(family_run, family_report):
    before = [path.read_bytes() for path in sorted(family_report.page.parent.iterdir())]
    write_report(family_run, title="Family")
    assert before == [path.read_bytes() for path in sorted(family_report.page.parent.iterdir())]


@pytest.fixture
def run_with_card(small_run, family_run):
    shutil.copytree(family_run / "eval" / "images" / "gqa-it", small_run / "eval" / "images" / "gqa-it")
    return small_run


def test_hostile_answers_are_text(run_with_card):
    answer_with(run_with_card, HOSTILE)
    write_training(run_with_card, "mlp-it", [1.0], note=HOSTILE)
    text = write_report(run_with_card, title=HOSTILE).page.read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script"} & {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if "onerror" in attributes]
    assert page.text.count("<script>alert(1)</script><img src=x onerror=alert(2)>\"'&") >= 5
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert html.escape("</bdi></li>") in text


def test_cards_can_be_chosen_by_task_and_by_who_is_right(run_with_card):
    text = write_report(run_with_card).page.read_text(encoding="utf-8")
    labels = re.findall(r'name="who" id="who-(\d)"[^>]*><span>([^<]*)', text)
    assert labels == [
        *(("0", "any"), ("1", "all are right"), ("2", "nobody is right"), ("3", "they differ")),
        *(("4", "IT is right"), ("5", "PT+IT is right")),
    ]
    # Only IT is right in documents 0 to 2 of gqa-it.
    assert re.findall(r'<article class="([^"]*)"', text) == ["who-3 who-4 "] * 3
    assert text.count(".task-1 .none { display: block; }") == 3
    assert "<script" not in text


def test_data_folders_fill_the_papers_tables(small_run, tmp_path):
    manifest = {"lang": "it", "files": {}, "rows": {"total": 1, "sources": {}}}
    counts = {
        "cauldron": {"aokvqa/rows": 10_000, "aokvqa/instances": 12_345, "aokvqa/translated": 12_000},
        "benchmarks": {"pope/original": 9000, "pope/translated": 8999},
    }
    for source, found in counts.items():
        (tmp_path / source).mkdir()
        text = json.dumps(manifest | {"source": source, "counts": found})
        (tmp_path / source / "manifest.json").write_text(text)
    report = write_report(small_run, data=[tmp_path / source for source in counts])
    assert [table.key for table in report.tables][:3] == ["table-1", "table-4", "table-5"]
    page = Page(report.page.read_text(encoding="utf-8"))
    assert "12,345" in page.text and "8,999" in page.text
    assert "Table 1: The Cauldron, by task" in page.text
    markdown, spreadsheet, latex = (path.read_text(encoding="utf-8") for path in report.tables_files)
    assert "| aokvqa | **10,000** | **12,345** | **12,000** |" in markdown
    assert "table-1,aokvqa,# Instances,12345,,," in spreadsheet
    assert "aokvqa & 10,000 & 12,345 & 12,000 \\\\" in latex


def test_an_endless_answer_is_cut_and_says_so(run_with_card):
    answer_with(run_with_card, "ah" * 5000)
    text = write_report(run_with_card).page.read_text(encoding="utf-8")
    assert "… (10,000 characters)" in text
    assert "ah" * 301 not in text


def test_an_empty_answer_is_shown_as_such(run_with_card):
    answer_with(run_with_card, "  ")
    assert "(no answer)" in write_report(run_with_card).page.read_text(encoding="utf-8")


def test_several_targets_are_counted(run_with_card):
    answer_with(run_with_card, "due", target=["due", "due", "2"])
    assert "due (×2) / 2" in write_report(run_with_card).page.read_text(encoding="utf-8")


def test_cards_mark_right_and_wrong(run_with_card):
    page = write_report(run_with_card).page.read_text(encoding="utf-8")
    first = page.split("<article")[1]
    # document 0 of gqa-it: only IT is right
    assert re.findall(r'aria-label="(right|wrong)"', first) == ["right", "wrong"]


def test_a_broken_image_is_refused(run_with_card):
    path = run_with_card / "eval" / "images" / "gqa-it" / "0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ResultsError, match=r"0\.png: not readable as an image"):
        write_report(run_with_card)


def test_a_refused_run_leaves_the_old_report(small_run):
    before = write_report(small_run).page.read_bytes()
    (small_run / "eval" / "IT" / "gqa-it.jsonl").write_text("{")
    with pytest.raises(ResultsError):
        write_report(small_run)
    assert (small_run / "report" / "index.html").read_bytes() == before


def test_a_run_without_training_perplexity_or_timings_still_has_a_page(small_run):
    for name in ("ppl", "mlp", "mlp-it"):
        shutil.rmtree(small_run / name)
    (small_run / "timings.json").unlink()
    page = Page(write_report(small_run).page.read_text(encoding="utf-8"))
    ids = [attributes["id"] for tag, attributes in page.tags if "id" in attributes and tag == "section"]
    assert ids == ["scores", "table-5", "table-6", "gains", "pairs", "notes"]


def test_facts_are_split_into_common_and_own(small_run):
    common, own = shared_facts(read_training(small_run))
    assert common["versions.torch"] == "2.13.0"
    assert common["started"] == "2026-09-21 14:13:20 UTC"
    assert own["mlp-it"]["data.path"] == "data/mlp-it.json"
    assert "versions.torch" not in own["mlp-it"]
    assert not [key for key in {**common, **own["mlp"]} if "loss_curve" in key]


def tiles(run: Path) -> list[str]:
    page = write_report(run).page.read_text(encoding="utf-8")
    tags = re.search(r'<ul class="tiles">(.*?)</ul>', page, re.DOTALL)[1]
    return re.findall(r"<li><b>(.*?)</b><span>(.*?)</span>", tags)


def test_the_key_figures_count_in_singular_and_plural(small_run, tmp_path):
    assert tiles(small_run)[:4] == [
        *(("2", "models"), ("3", "tasks"), ("172", "answers scored")),
        ("2 of 6", "scores depend on the image"),
    ]
    write_task(tmp_path / "one" / "eval" / "PT", "gqa-it", [1] * 30, [0] * 30)
    assert tiles(tmp_path / "one") == [
        *(("1", "model"), ("1", "task"), ("30", "answers scored")),
        ("1 of 1", "score depends on the image"),
    ]


def test_the_page_explains_the_control_and_the_asterisk(page):
    assert "In the shuffled control the model answers the same questions, but each with another" in page.text
    assert "* marks a model that is significantly better than another one, which the tables name" in page.text


@pytest.mark.parametrize(
    "seconds, text", [(3.24, "3.2 s"), (59.9, "59.9 s"), (80.4, "1 min 20 s"), (3725, "1 h 2 min 5 s")]
)
def test_duration(seconds, text):
    assert format_duration(seconds) == text


MEASURE = """<!doctype html>
<iframe id="f" style="border:0;width:{width}px;height:2000px" src="{page}"></iframe>
<pre id="out"></pre><script>
document.getElementById("f").onload = () => {{
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  const folded = [...page.querySelectorAll("details.part:not([open])")].map(e => e.parentElement.id);
  const broken = [...page.querySelectorAll("nav a")].map(e => e.hash.slice(1))
    .filter(e => !page.getElementById(e));
  page.querySelectorAll("details").forEach(e => e.open = true);
  const beyond = [...page.body.querySelectorAll("*")].filter(e => !e.closest("svg") && !e.closest(".scroll"))
    .filter(e => e.getBoundingClientRect().right > {width} + 0.5).map(e => e.tagName + "." + e.className);
  const scrolled = [...page.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth);
  const cards = () => [...page.querySelectorAll("article")].filter(e => e.getClientRects().length).length;
  const choose = (...ids) => {{ ids.forEach(id => page.getElementById(id).checked = true); return cards(); }};
  const filtered = {{ all: cards(), task: choose("task-1"), right: choose("task-1", "who-4"),
    none: choose("task-0", "who-1"), again: choose("who-0") }};
  const hidden = [...page.querySelectorAll("tbody td")].filter(e => e.getBoundingClientRect().height < 10);
  document.getElementById("out").textContent = JSON.stringify({{
    inner: page.defaultView.innerWidth, scroll: root.scrollWidth, beyond,
    hidden: hidden.length, folded, broken, scrolled: scrolled.length,
    tables: [...page.querySelectorAll("table")].map(t => t.closest("section").id),
    first: page.querySelector("#table-5 tbody tr").innerText, shown: root.innerText.includes("alert(1)"),
    filtered, active: page.querySelectorAll("script,[onerror],[onload]").length,
    images: [...page.images].every(i => i.complete && i.naturalWidth > 0), title: page.title,
  }});
}};</script>"""


def measure(report: Path, width: int, tmp_path: Path) -> dict:
    return run_page(MEASURE.format(width=width, page=report.resolve().as_uri()), tmp_path)


def all_right(run: Path) -> int:
    """How many of the first three documents of each task every model answered rightly."""
    logs: dict[str, list[Path]] = {}
    for path in run.glob("eval/*/*-it.jsonl"):
        logs.setdefault(path.name, []).append(path)
    rows = [
        [[json.loads(line)["metrics"] for line in path.read_text().splitlines()[:3]] for path in paths]
        for paths in logs.values()
    ]
    return sum(all(1.0 in metrics[i].values() for metrics in task) for task in rows for i in range(3))


@pytest.mark.system
@needs_chromium
def test_what_is_folded_on_the_screen_is_on_paper(family_run, tmp_path):
    page = write_report(family_run, title="Family").page
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={tmp_path / 'page.pdf'}"]
    subprocess.run([*command, page.as_uri()], capture_output=True, timeout=120, check=True)
    with pdfium.PdfDocument(tmp_path / "page.pdf") as printed:
        text = " ".join(sheet.get_textpage().get_text_bounded() for sheet in printed)
    assert "The first questions of each task" in text and "Training loss by optimizer step" in text


@pytest.mark.system
@needs_chromium
@pytest.mark.parametrize("width, pairs", [(400, None), (1280, [*itertools.combinations(FAMILY, 2)])])
def test_a_browser_shows_the_tables_and_nothing_overflows(family_run, tmp_path, width, pairs):
    run = tmp_path / "run"
    shutil.copytree(family_run, run)
    answer_with(run, HOSTILE + "a" * 10_000)
    seen = measure(write_report(run, title="x" * 300, pairs=pairs).page, width, tmp_path)
    assert seen["inner"] == width
    assert seen["scroll"] <= width
    assert seen["beyond"] == []
    assert seen["hidden"] == seen["scrolled"] == 0
    # Of seven models' 21 pairs, each task and answer set has a table.
    tested = ["pairs"] if pairs is None else [f"pairs-{number}" for number in range(1, 12)]
    assert seen["tables"] == ["table-5", "table-6", "table-7", "others-1", *tested, "more"]
    assert "sees" in seen["first"]
    many = [] if pairs is None else tested
    assert seen["folded"] == ["gains", *many, "examples", "training", "more"]
    assert seen["broken"] == []
    assert seen["shown"] and seen["images"] and seen["active"] == 0
    rows = (run / "eval" / "PT" / "gqa-it.jsonl").read_text().splitlines()[:3]
    right = sum(json.loads(row)["metrics"]["exact_match"] for row in rows)
    assert seen["filtered"] == {"all": 27, "task": 3, "right": right, "none": all_right(run), "again": 27}
    assert seen["title"] == "x" * 300
