"""The figures' coordinates stay on the canvas and tell the figures' values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.results import figures
from ndino.results.logs import TrainingRun, read_run
from ndino.results.summary import build_summary


def coordinates(chart):
    return [tuple(map(float, point.split(","))) for point in chart.points.split()]


def test_a_loss_curve_runs_from_left_to_right_and_down():
    chart = figures.loss_chart(TrainingRun("mlp", {}, ((10, 4.0), (20, 2.0), (40, 1.0))))
    assert coordinates(chart) == [(101.5, 10.0), (169.0, 75.0), (304.0, 107.5)]
    assert chart.last == "1"
    assert [tick.label for tick in chart.y_ticks] == ["0", "1", "2", "3", "4"]
    assert [tick.label for tick in chart.x_ticks] == ["0", "20", "40"]


def test_a_run_without_logged_loss_has_no_chart():
    assert figures.loss_chart(TrainingRun("mlp", {}, ())) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2000))
def test_any_loss_curve_stays_on_its_canvas(losses):
    curve = tuple(enumerate(losses, start=1))
    points = coordinates(figures.loss_chart(TrainingRun("mlp", {}, curve)))
    assert 0 < len(points) <= figures.POINTS
    for x, y in points:
        assert figures.LOSS_LEFT <= x <= figures.LOSS_LEFT + figures.LOSS_WIDTH
        assert figures.LOSS_TOP - 0.1 <= y <= figures.LOSS_TOP + figures.LOSS_HEIGHT


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e4))
def test_ticks_are_few_and_inside(low, width):
    values = figures.tick_values(low, low + width)
    assert len(values) <= 6
    assert all(low - width * 0.01 <= value <= low + width * 1.01 for value in values)


def test_gain_bars_start_at_zero_and_share_one_scale(small_run):
    charts = {chart.title: chart for chart in figures.gain_charts(build_summary(read_run(small_run)))}
    assert list(charts) == ["GQA-IT", "OK-VQA-IT", "MTVQA-IT"]
    assert len({chart.zero for chart in charts.values()}) == 1
    plain, pretrained = charts["GQA-IT"].bars
    assert (plain.name, plain.width, plain.label, plain.verdict) == ("IT", 0, "+0.0", "blind")
    assert pretrained.start == charts["GQA-IT"].zero
    assert pretrained.low < pretrained.start + pretrained.width < pretrained.high
    assert [bar.name for bar in charts["OK-VQA-IT"].bars] == ["IT"]


def test_score_bars_reach_from_nothing_to_the_score_with_its_interval(small_run):
    summary = build_summary(read_run(small_run))
    charts = {chart.title: chart for chart in figures.score_charts(summary)}
    assert list(charts) == ["GQA-IT", "OK-VQA-IT", "MTVQA-IT"]
    chart = charts["GQA-IT"]
    plain, pretrained = chart.bars
    unit = figures.BAR_WIDTH / 100
    assert plain.start == pretrained.start == chart.zero == figures.BAR_LEFT
    assert (plain.width, pretrained.width) == (
        pytest.approx(25 * unit, abs=0.1),
        pytest.approx(42.5 * unit, abs=0.1),
    )
    assert pretrained.low < chart.zero + pretrained.width < pretrained.high
    assert (pretrained.mark, chart.line) == (chart.zero, pytest.approx(chart.zero + 25 * unit, abs=0.1))
    assert [bar.label for bar in charts["MTVQA-IT"].bars] == ["0.0", "30.0*"]
    assert charts["OK-VQA-IT"].bars[1].mark is None


def test_without_controls_there_is_no_chart(small_run):
    for path in small_run.glob("eval/*/*.shuffled.jsonl"):
        path.unlink()
    assert figures.gain_charts(build_summary(read_run(small_run))) == []
