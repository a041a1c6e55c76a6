"""The figures' marks stay on the canvas and tell the figures' values; read back from the SVG."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.results import figures
from ndino.results.logs import TrainingRun, read_run
from ndino.results.summary import build_summary
from tests.properties import examples
from tests.results.synthetic import write_task

HREF = "{http://www.w3.org/1999/xlink}href"
COLOURS = {"green": "sees", "amber": "blind", "blue": "no control"}


def parse(chart: figures.Chart) -> ElementTree.Element:
    """The drawing, without the text alternative, which may hold what no XML can."""
    opening = '<svg xmlns:xlink="http://www.w3.org/1999/xlink">'
    return ElementTree.fromstring(re.sub("^<svg[^>]*>", opening, str(chart.svg)))


def points(path: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path.get("d"))]


def texts(chart: figures.Chart) -> list[str]:
    return [text.text for text in parse(chart).iter("text")]


@dataclass
class Row:
    """What a row of a bar chart shows; positions are in the units of its axis."""

    name: str = ""
    text: str = ""
    verdict: str = ""
    band: list[float] = field(default_factory=list)
    interval: list[float] = field(default_factory=list)
    value: float | None = None
    shuffled: float | None = None
    majority: float | None = None


def rows_of(chart: figures.Chart, span: tuple[float, float] = (0.0, 1.0)) -> list[Row]:
    root = parse(chart)
    found: dict[int, Row] = {}

    def row(y: float) -> Row:
        return found.setdefault(int((y - figures.TOP) // figures.ROW_HEIGHT), Row())

    def value(x: float) -> float:
        return round(span[0] + (span[1] - span[0]) * (x - figures.NAME_WIDTH) / figures.BAR_WIDTH, 3)

    for text in root.iter("text"):
        if "anchor: middle" not in text.get("style"):
            setattr(row(float(text.get("y"))), "name" if float(text.get("x")) < 1 else "text", text.text)
    for path in root.iter("path"):
        style, places = path.get("style", ""), points(path)
        if "stroke-opacity" in style:
            row(places[0][1]).band = [value(x) for x, _ in places]
        elif "stroke-dasharray" in style:
            row((places[0][1] + places[1][1]) / 2).majority = value(places[0][0])
        elif "fill: none; stroke: var(--ink)" in style:
            row(places[0][1]).interval = [value(x) for x, _ in places]
    for mark in root.iter("use"):
        at, fill = (
            row(float(mark.get("y"))),
            re.search(r"fill: (?:var\(--(\w+)\)|none)", mark.get("style"))[1],
        )
        if fill == "card":
            at.shuffled = value(float(mark.get("x")))
        elif fill in COLOURS:
            at.value, at.verdict = value(float(mark.get("x"))), COLOURS[fill]
    return [found[number] for number in sorted(found)]


def curve_of(chart: figures.Chart) -> list[tuple[float, float]]:
    (curve,) = [path for path in parse(chart).iter("path") if "var(--blue)" in path.get("style", "")]
    return points(curve)


def test_a_loss_curve_runs_from_left_to_right_and_down():
    chart = figures.loss_chart(TrainingRun("mlp", {}, ((10, 4.0), (20, 2.0), (40, 1.0))))
    width = figures.WIDTH - figures.LOSS_LEFT - figures.LOSS_RIGHT
    height = figures.LOSS_HEIGHT - figures.TOP - figures.BOTTOM
    assert curve_of(chart) == [
        (figures.LOSS_LEFT + width * step / 40, figures.TOP + height * (1 - loss / 4))
        for step, loss in ((10, 4), (20, 2), (40, 1))
    ]
    assert (chart.title, chart.note) == ("mlp", "last 1")
    assert 'aria-label="Training loss of mlp, last 1"' in chart.svg
    assert texts(chart) == ["0", "20", "40", "0", "1", "2", "3", "4"]


def test_a_run_without_logged_loss_has_no_chart():
    assert figures.loss_chart(TrainingRun("mlp", {}, ())) is None


@examples(30)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2000))
def test_any_loss_curve_stays_on_its_canvas(losses):
    places = curve_of(figures.loss_chart(TrainingRun("mlp", {}, tuple(enumerate(losses, start=1)))))
    assert 0 < len(places) <= figures.MAX_POINTS
    for x, y in places:
        assert figures.LOSS_LEFT <= x <= figures.WIDTH - figures.LOSS_RIGHT + 0.1
        assert figures.TOP - 0.1 <= y <= figures.LOSS_HEIGHT - figures.BOTTOM + 0.1


def test_gain_bars_start_at_zero_and_share_one_scale(small_run):
    summary = build_summary(read_run(small_run))
    charts = {chart.title: chart for chart in figures.gain_charts(summary)}
    assert list(charts) == ["GQA-IT", "OK-VQA-IT", "MTVQA-IT"]
    entries = {name: tasks["gqa-it"] for name, tasks in summary["models"].items()}
    bounds = [
        bound
        for tasks in summary["models"].values()
        for entry in tasks.values()
        for bound in entry["right_minus_shuffled_interval"] or ()
    ]
    span = min(-0.1, *bounds), max(0.1, *bounds)
    plain, pretrained = rows_of(charts["GQA-IT"], span)
    assert (plain.name, plain.band, plain.text, plain.verdict) == ("IT", [0, 0], "+0.0", "blind")
    assert pretrained.band == [0, pytest.approx(0.425, abs=0.002)]
    assert pretrained.interval == pytest.approx(entries["PT+IT"]["right_minus_shuffled_interval"], abs=0.002)
    assert pretrained.value == pretrained.band[1]
    assert [row.name for row in rows_of(charts["OK-VQA-IT"], span)] == ["IT"]


def test_score_bars_reach_from_shuffled_to_right_images_with_the_interval(small_run):
    summary = build_summary(read_run(small_run))
    charts = {chart.title: chart for chart in figures.score_charts(summary)}
    assert list(charts) == ["GQA-IT", "OK-VQA-IT", "MTVQA-IT"]
    plain, pretrained = rows_of(charts["GQA-IT"])
    assert (plain.value, plain.shuffled, plain.verdict, plain.majority) == (0.25, 0.25, "blind", 0.25)
    assert (pretrained.value, pretrained.shuffled, pretrained.verdict) == (0.425, 0, "sees")
    assert pretrained.band == [0, 0.425]
    wanted = summary["models"]["PT+IT"]["gqa-it"]["interval"]
    assert pretrained.interval == pytest.approx(wanted, abs=0.002)
    assert [row.text for row in rows_of(charts["MTVQA-IT"])] == ["0.0", "30.0*"]
    without = rows_of(charts["OK-VQA-IT"])[1]
    assert (without.shuffled, without.verdict, without.band) == (None, "no control", [without.value] * 2)
    assert "PT+IT 42.5 (shuffled 0.0, sees)" in charts["GQA-IT"].svg


def test_a_share_of_languages_has_a_bar_without_a_verdict(summary):
    summary["models"]["IT"]["gqa-it"] |= {"metric": "in_language", "in_language": 0.25}
    chart = next(chart for chart in figures.score_charts(summary) if chart.title == "GQA-IT")
    assert "; ".join(chart.svg.split("Scores, GQA-IT: ")[1].split("; ")[:1]) == "IT 25.0 (shuffled 25.0)"


def test_one_model_has_one_chart_of_all_its_tasks(tmp_path):
    for task, right in (("mtvqa-it", [1] * 30 + [0] * 10), ("gqa-it", [1] * 10 + [0] * 30)):
        write_task(tmp_path / "eval" / "PT", task, right, [0] * 40)
    (chart,) = figures.score_charts(build_summary(read_run(tmp_path)))
    assert chart.title == "PT"
    assert [(row.name, row.value) for row in rows_of(chart)] == [("GQA-IT", 0.25), ("MTVQA-IT", 0.75)]


def test_without_controls_there_is_no_gain_chart(small_run):
    for path in small_run.glob("eval/*/*.shuffled.jsonl"):
        path.unlink()
    assert figures.gain_charts(build_summary(read_run(small_run))) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a$b$_^{c}", "a$b$_^{c}"),
        ("<i>&\"'-->", "<i>&\"'-->"),
        ("#000001 id=", "#000001 id="),
        ("一\x00\x08\n\ud800\u202e", "一" + "\N{REPLACEMENT CHARACTER}" * 5),
        ("long-" * 9, "long-long-long-lo…"),
    ],
)
def test_a_name_is_text_whatever_it_holds(tmp_path, name, shown):
    entry = {
        "exact_match": 0.5, "metric": "exact_match", "interval": [0.4, 0.6], "shuffled": None,
        "right_minus_shuffled": None, "right_minus_shuffled_interval": None, "majority": None,
        "fractional": False,
    }  # fmt: skip
    summary = {"models": {name: {"gqa-it": entry}, "other": {"gqa-it": entry}}, "tests": []}
    (chart,) = figures.score_charts(summary)
    assert [row.name for row in rows_of(chart)] == [shown, "other"]


def test_a_chart_loads_nothing_and_has_no_id_twice(small_run):
    charts = [*figures.score_charts(build_summary(read_run(small_run)))]
    charts += figures.gain_charts(build_summary(read_run(small_run)))
    roots = [parse(chart) for chart in charts]
    ids = [element.get("id") for root in roots for element in root.iter() if element.get("id")]
    assert ids and len(ids) == len(set(ids))
    assert {use.get(HREF)[1:] for root in roots for use in root.iter("use")} <= set(ids)
    everything = "".join(chart.svg for chart in charts)
    assert not re.search(r"url\(|<style|<metadata|http|#0000|font-family", everything)


def test_the_users_matplotlibrc_and_the_day_change_nothing(small_run, monkeypatch):
    import matplotlib

    summary = build_summary(read_run(small_run))
    before = [chart.svg for chart in figures.score_charts(summary)]
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30)
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "path")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert [chart.svg for chart in figures.score_charts(summary)] == before
    assert matplotlib.rcParams["font.size"] == 30
