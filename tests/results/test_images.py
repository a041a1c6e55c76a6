"""Questions that share an image: they are one draw, and models must have seen the same ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.cli import main
from ndino.results import statistics as s
from ndino.results.comparison import better_model, compare_pairs
from ndino.results.logs import ResultsError, read_model, read_run
from ndino.results.statistics.clusters import RESAMPLES
from ndino.results.summary import build_summary, summarise_models
from ndino.results.tables import build_tables
from tests.commands import refused
from tests.results.synthetic import sample, write_rows, write_task
from tests.work import calls_in


def rewrite(folder, task, change):
    for path in folder.glob(f"{task}*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        write_rows(path, [change(number, row) for number, row in enumerate(rows)])


def written(folder, right, images, questions=None, **fields):
    """A model's gqa-it with these scores about these images."""
    folder.mkdir(parents=True)
    write_task(folder, "gqa-it", right, **fields)
    rewrite(
        folder,
        "gqa-it",
        lambda n, row: (
            row
            | {"image_sha256": f"image {images[n]}"}
            | ({} if questions is None else {"question_sha256": f"question {questions[n]}"})
        ),
    )
    return read_model(folder)


def test_the_test_is_exact_over_images():
    # Six images of three questions: a is better on five, b on one, by 3, 3, 2, 1, 1 and 1 questions.
    a = [1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0]
    b = [0] * 15 + [1, 0, 0]
    images = s.Clusters.of([row // 3 for row in range(18)])
    patterns = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T @ np.array([3, 3, 2, 1, 1, 1])
    larger, equal = (np.abs(patterns) > 9).mean(), (np.abs(patterns) == 9).mean()
    test = s.image_test(a, b, images)
    assert test.p == pytest.approx(larger + equal / 2)
    assert (test.questions, test.images, test.difference) == (18, 6, 0.5)


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.3, 2.0, 3.0]), min_size=1, max_size=9))
def test_sign_patterns_are_counted_exactly(differences):
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(differences))).reshape(len(differences), -1).T
    totals = np.round(np.abs(signs @ np.abs(differences)), 6)
    observed = round(abs(sum(differences)), 6)
    assert s.sign_flip(np.array(differences)) == pytest.approx(
        ((totals > observed).mean(), (totals == observed).mean())
    )


def test_drawn_patterns_agree_with_exact_ones():
    differences = np.random.default_rng(3).integers(-4, 6, 80).astype(float)
    # In units of pi there is no grid, but the patterns rank alike.
    assert s.sign_flip(differences * math.pi) == pytest.approx(s.sign_flip(differences), abs=0.015)


def test_two_models_that_differ_by_whole_images_only_are_not_called_different():
    """500 images of 18 questions: on 30 images only a is right, on 14 only b; rows alone say p < 0.001."""
    images = np.repeat(np.arange(500), 18)
    a, b = (images < 30).astype(float), ((images >= 30) & (images < 44)).astype(float)
    assert s.paired_test(a.tolist(), b.tolist()).p < 1e-9
    test = s.image_test(a.tolist(), b.tolist(), s.Clusters.of(images.tolist()))
    assert test.p == pytest.approx(s.mcnemar_test(14, 30).p, abs=0.01) and test.p > 0.01
    assert test.error == pytest.approx(math.sqrt(44 / 500**2), rel=0.02)


def test_repeated_questions_count_once():
    """POPE asks every question with the answer yes three times."""
    a, b = [1.0] * 6 + [0.0] * 10, [0.0] * 16
    keys = s.Clusters.of([0, 0, 0, 1, 1, 1, *range(2, 12)])
    once = s.image_test([1.0, 1.0, *[0.0] * 10], [0.0] * 12)
    assert s.image_test(a, b, None, keys).p == once.p == 0.25
    assert s.image_test(a, b).p < 0.05


def test_intervals_are_over_images():
    images = s.Clusters.of([row // 20 for row in range(800)])
    alike = [float(row // 20 % 4 == 0) for row in range(800)]  # 40 images, each wholly right or wrong
    low, high = s.score_interval(alike, images)
    assert high - low > 3 * np.subtract(*s.score_interval(alike)[::-1])
    # As wide as for 40 questions.
    assert (low, high) == pytest.approx(s.score_interval(alike[::20]), abs=0.03)
    low, high = s.difference_interval(alike, [0.0] * 800, images)
    assert (low, high) == pytest.approx(s.difference_interval(alike[::20], [0.0] * 40), abs=0.04)
    gold = [row % 2 == 0 for row in range(800)]
    wide = s.bootstrap_f1_interval(gold, [bool(x) for x in alike], images)
    narrow = s.bootstrap_f1_interval(gold, [bool(x) for x in alike])
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_an_interval_over_images_never_claims_more_than_over_rows():
    images = s.Clusters.of([row // 2 for row in range(100)])
    balanced = [0.0, 1.0] * 50  # half right on every image: a bootstrap over images has no width
    assert s.score_interval(balanced, images) == s.score_interval(balanced)
    assert s.score_interval([0.0] * 100, images)[1] > 0.03


class CountedDraws(np.random.Generator):
    """Counts the random numbers that are drawn."""

    drawn = 0

    def integers(self, *arguments, **options):
        return self._counted(super().integers(*arguments, **options))

    def multinomial(self, *arguments, **options):
        return self._counted(super().multinomial(*arguments, **options))

    def _counted(self, numbers):
        CountedDraws.drawn += numbers.size
        return numbers


def test_the_work_for_a_comparison_of_9000_rows_is_bounded(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    images = [row // 18 for row in range(9000)]
    a, b = (written(tmp_path / name, draw.integers(0, 2, 9000).tolist(), images) for name in "AB")
    monkeypatch.setattr(np.random, "default_rng", lambda seed: CountedDraws(np.random.PCG64(seed)))
    monkeypatch.setattr(CountedDraws, "drawn", 0)
    assert calls_in(lambda: (summarise_models([a, b]), compare_pairs([(a, b)]))) < 600_000
    # Two intervals of a score: fewer than an image's number in each resample, let alone a row's.
    assert 0 < CountedDraws.drawn < RESAMPLES * 500


def test_logs_cluster_by_the_digest_of_the_image(tmp_path):
    images = [row // 10 for row in range(200)]
    right = [float(image < 6) for image in images]
    a, b = written(tmp_path / "A", right, images), written(tmp_path / "B", [0.0] * 200, images)
    (row,) = compare_pairs([(a, b)])
    assert (row["images"], row["questions"], row["n"]) == (20, 200, 200)
    assert row["p"] == 1 / 64 and row["paper"]["p"] < 1e-10
    entry = summarise_models([a, b])["A"]["gqa-it"]
    assert entry["images"] == 20 and entry["interval"][1] - entry["interval"][0] > 0.35


def test_one_correction_over_all_tests_of_a_call(tmp_path):
    """Three pairs and two tasks are six tests, not three times two."""
    models = []
    for name, wins in (("A", 0), ("B", 9), ("C", 5)):
        folder = tmp_path / name
        folder.mkdir()
        for task in ("gqa-it", "pope-it"):
            write_task(folder, task, [1] * wins + [0] * (40 - wins))
        models.append(read_model(folder))
    a, b, c = models
    rows = compare_pairs([(a, b), (a, c), (b, c)])
    smallest = min(row["p"] for row in rows)
    assert min(row["p_holm"] for row in rows) == pytest.approx(6 * smallest, rel=1e-5)
    assert [row["p_holm"] for row in rows] == pytest.approx(s.holm([row["p"] for row in rows]), rel=1e-4)


def test_the_detectable_difference_is_what_80_percent_of_tests_find():
    found, draw = 0, np.random.default_rng(1)
    for _ in range(300):
        shift = 0.1
        kinds = draw.choice([-1, 0, 1], p=[0.1 - shift / 2, 0.8, 0.1 + shift / 2], size=200)
        found += s.image_test((kinds > 0).tolist(), (kinds < 0).tolist()).p < 0.05
    test = s.image_test(([1.0] * 20 + [0.0] * 180), ([0.0] * 20 + [1.0] * 20 + [0.0] * 160))
    alone, among_twenty = s.detectable_difference(test), s.detectable_difference(test, tests=20)
    assert alone is not None and among_twenty is not None
    assert alone == pytest.approx(0.1038, abs=0.001)
    assert 0.8 < found / 300 < 0.97  # more than 0.8, since here no more questions differ than if equal
    assert among_twenty > 1.3 * alone
    alike = s.detectable_difference(s.image_test([1.0] * 50, [1.0] * 50))
    assert alike is not None and alike > 0


def found_share(rows: int, differing: int, shift: float, level: float, questions: int = 1) -> float:
    """Share of simulated comparisons that are significant in favour of the better model.

    A share ``shift`` of the images differs in one direction, and of the others as many as were seen to, in
    either; all ``questions`` of an image go together.
    """
    draw, found = np.random.default_rng(7), 0
    images = s.Clusters.of([row // questions for row in range(rows * questions)])
    for _ in range(400):
        chance = draw.choice(
            [-1, 0, 1], p=[differing / rows / 2, 1 - differing / rows, differing / rows / 2], size=rows
        )
        kinds = np.repeat(np.where(draw.random(rows) < shift, 1, chance), questions)
        test = s.image_test((kinds > 0).tolist(), (kinds < 0).tolist(), images)
        found += test.p < level and test.difference > 0
    return found / 400


@pytest.mark.parametrize("tests", [1, 6])
@pytest.mark.parametrize("differing", [0, 1, 2, 5, 10, 26, 40])
@pytest.mark.parametrize("rows", [48, 500])
def test_the_detectable_difference_holds_however_many_rows_differ(rows, differing, tests):
    a = [float(row < differing and row % 2 == 0) for row in range(rows)]
    b = [float(row < differing and row % 2 == 1) for row in range(rows)]
    test = s.image_test(a, b)
    assert calls_in(lambda: s.detectable_difference(test, tests=tests)) < 40_000
    shift = s.detectable_difference(test, tests=tests)
    assert shift is not None
    assert found_share(rows, differing, shift, s.ALPHA / tests) >= 0.75
    assert found_share(rows, differing, shift * 0.6, s.ALPHA / tests) < 0.7  # and it is not far too large


def test_the_detectable_difference_counts_images_not_questions():
    images = s.Clusters.of([row // 10 for row in range(480)])
    alike = s.detectable_difference(s.image_test([1.0] * 480, [1.0] * 480, images))
    assert alike == pytest.approx(s.detectable_difference(s.image_test([1.0] * 48, [1.0] * 48)))
    assert alike is not None and found_share(48, 0, alike, s.ALPHA, questions=10) >= 0.75
    # Whole images differ, in either direction: each by ten questions.
    a, b = ([float(row // 10 in kind) for row in range(480)] for kind in ((0, 2, 4), (1, 3, 5)))
    shift = s.detectable_difference(s.image_test(a, b, images))
    assert shift is not None and found_share(48, 6, shift, s.ALPHA, questions=10) >= 0.75


def test_no_detectable_difference_where_no_answers_would_show_one(tmp_path):
    same = [1.0] * 5
    assert s.image_test(same, [0.0] * 5).p < s.ALPHA  # five of five just show
    assert s.detectable_difference(s.image_test(same, same)) is not None
    assert s.detectable_difference(s.image_test(same[:4], same[:4])) is None
    assert s.detectable_difference(s.image_test(same, same), tests=2) is None
    models = []
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        write_task(tmp_path / name, "gqa-it", [1, 0, 1])
        models.append(read_model(tmp_path / name))
    tests = compare_pairs([(models[0], models[1])])
    assert tests[0]["detectable"] is None
    summary = {"models": summarise_models(models), "perplexity": {}, "tests": tests, "notes": []}
    pairs = next(table for table in build_tables(summary) if table.key == "pairs")
    cell = pairs.rows[0][1][0]
    assert cell is not None
    assert cell.details[0] == "no difference shown (too few differing questions to say)"
    assert "Holm-corrected over 1 test;" in pairs.legend[0]


@pytest.mark.parametrize("field, word", [("image_sha256", "image"), ("question_sha256", "question")])
def test_runs_on_other_images_are_refused_and_named(small_run, capsys, field, word):
    folder = small_run / "eval" / "IT"
    rewrite(folder, "gqa-it", lambda n, row: row | {field: f"other {n}" if n >= 20 else row[field]})
    message = refused(capsys, "compare", small_run, "--models", "PT+IT", "IT")
    assert f"20 documents have a different {word} than in PT+IT: 20, 21, 22, 23" in message
    assert "(remedy: " in message
    with pytest.raises(ResultsError, match=f"different {word}"):
        read_run(small_run)


def test_a_control_on_other_images_is_no_fault(small_run):
    for model in ("IT", "PT+IT"):
        path = small_run / "eval" / model / "gqa-it.shuffled.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        write_rows(path, [row | {"image_sha256": f"image-{(n + 1) % 40}"} for n, row in enumerate(rows)])
    assert read_run(small_run).notes == ()


def without_images(n, row):
    return {key: value for key, value in row.items() if not key.endswith("_sha256")}


def test_older_logs_are_compared_and_the_output_says_what_is_not_known(small_run, capsys, wide_terminal):
    for model in ("IT", "PT+IT"):
        rewrite(small_run / "eval" / model, "", without_images)
    assert main(["compare", str(small_run), "--models", "IT", "PT+IT"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "Note: The logs of IT, PT+IT do not name their images (gqa-it, mtvqa-it, ok-vqa-it). Whether all "
        "models saw the same ones is not checked, and every question counts as one about an image of its own"
        in shown
    )
    summary = build_summary(read_run(small_run))
    assert summary["tests"][0]["images"] is summary["models"]["IT"]["gqa-it"]["images"] is None
    assert len(summary["notes"]) == 1


def test_an_older_log_takes_its_images_from_the_newer_one(tmp_path):
    images = [row // 10 for row in range(200)]
    a = written(tmp_path / "A", [float(image < 6) for image in images], images)
    written(tmp_path / "B", [0.0] * 200, images)
    rewrite(tmp_path / "B", "gqa-it", without_images)
    (row,) = compare_pairs([(a, read_model(tmp_path / "B"))])
    assert (row["images"], row["p"]) == (20, 1 / 64)


def test_a_log_may_name_images_and_no_questions(tmp_path):
    """As the miniature's captions, which have no question."""
    written(tmp_path / "A", [1, 0, 1], [0, 0, 1])
    rewrite(tmp_path / "A", "gqa-it", lambda n, row: {k: v for k, v in row.items() if k != "question_sha256"})
    log = read_model(tmp_path / "A").tasks["gqa-it"]
    assert log.images is not None and log.images.count == 2 and log.questions is None


def test_some_rows_without_a_digest_are_refused(tmp_path):
    written(tmp_path / "A", [1, 0, 1], [0, 1, 2])
    rewrite(tmp_path / "A", "gqa-it", lambda n, row: without_images(n, row) if n == 1 else row)
    with pytest.raises(ResultsError, match="row 2: image_sha256 or question_sha256 is in some rows only"):
        read_model(tmp_path / "A")


def test_questions_without_an_image_are_by_themselves_and_several_images_are_one_set(tmp_path):
    folder = tmp_path / "A"
    write_rows(
        folder / "gqa-it.jsonl",
        [
            {k: v for k, v in sample(0, 1).items() if k != "image_sha256"},
            {k: v for k, v in sample(1, 1).items() if k != "image_sha256"},
            sample(2, 1, image_sha256=["x", "y"]),
            sample(3, 1, image_sha256=["x", "y"]),
        ],
    )
    entry = {"version": 1, "n": 4, "metrics": {"exact_match": 1.0}, "shuffled": {}}
    (folder / "results.json").write_text(json.dumps({"tasks": {"gqa-it": entry}}))
    images = read_model(folder).tasks["gqa-it"].images
    assert images is not None and images.codes.tolist() == [0, 1, 2, 2]


def test_similarities_that_are_all_equal_have_an_interval(tmp_path):
    run = tmp_path / "run"
    for name, scores in (("IT", [0.0] * 24), ("LONG-IT", [0.5, 0.75] * 12)):
        (run / "eval" / name).mkdir(parents=True)
        write_task(run / "eval" / name, "llava-bench-it", scores, [0.0] * 24, metric="chrf")
        write_task(run / "eval" / name, "ok-vqa-it", [round(2 * x) / 2 for x in scores])
    summary = build_summary(read_run(run))
    for task in ("llava-bench-it", "ok-vqa-it"):  # the other model shows that its scores are fractions
        assert summary["models"]["IT"][task]["interval"] == [0, pytest.approx(0.138, abs=1e-4)]
        assert summary["models"]["IT"][task]["fractional"]
    (table,) = (t for t in build_tables(summary) if "LLAVA-BENCH-IT ↑" in [c.name for c in t.columns])
    cell = dict(table.rows)["IT"][0]
    # The differences of two such scores may be negative, too.
    assert cell is not None and cell.details == ("[0.0, 13.8]", "shuffled 0.0", "+0.0 [−13.8, 13.8]")


def test_better_but_blind_is_said_wherever_better_is(tmp_path, capsys, wide_terminal):
    run = tmp_path / "run"
    for name, right in (("IT", [0] * 40), ("PT+IT", [1] * 12 + [0] * 28)):
        (run / "eval" / name).mkdir(parents=True)
        write_task(run / "eval" / name, "gqa-it", right, right, majority=0.4)
    assert main(["compare", str(run), "--models", "IT", "PT+IT"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "* better than IT" in shown and "* PT+IT is better" in shown
    assert shown.count("but blind, not above majority") == 2


def test_no_model_is_better_when_rows_and_questions_rank_them_differently():
    row = {"a": "A", "b": "B", "p_holm": 0.01, "difference": 0.1, "lower_is_better": False}
    assert better_model(row, {"A": 0.5, "B": 0.4}) == "A"
    assert better_model(row, {"A": 0.4, "B": 0.5}) is None
    assert better_model(row | {"difference": -0.1}, {"A": 0.4, "B": 0.5}) == "B"
    assert better_model(row | {"p_holm": 0.06}, {"A": 0.5, "B": 0.4}) is None


def test_parts_of_a_benchmark_stand_next_to_it(small_run):
    def part(n, row):
        return row | {"parts": {"question_type": "colour" if n < 20 else "count", "subject": "one for all"}}

    for model in ("IT", "PT+IT"):
        rewrite(small_run / "eval" / model, "gqa-it", part)
    summary = build_summary(read_run(small_run))
    keys = [table.key for table in build_tables(summary)]
    assert keys[:3] == ["table-5", "gqa-it-question_type", "table-6"]
    parts = summary["models"]["PT+IT"]["gqa-it"]["parts"]
    assert list(parts) == ["question_type"]  # the other has one part, which is the whole
    assert parts["question_type"]["colour"] == {
        "n": 20,
        "score": 0.85,
        "interval": [round(bound, 6) for bound in s.wilson_interval(17, 20)],
        "shuffled": 0.0,
        "right_minus_shuffled": 0.85,
    }
    rows = dict(build_tables(summary)[1].rows)
    assert [cell.score for cell in rows["colour (n = 20)"] if cell] == ["50.0", "85.0"]
    assert [cell.score for cell in rows["count (n = 20)"] if cell] == ["0.0", "0.0"]


def test_several_shuffles_and_blank_images_are_read(small_run):
    folder = small_run / "eval" / "PT+IT"
    rows = [json.loads(line) for line in (folder / "gqa-it.shuffled.jsonl").read_text().splitlines()]
    half = [row | {"metrics": {"exact_match": float(n < 20)}} for n, row in enumerate(rows)]
    write_rows(folder / "gqa-it.shuffled-2.jsonl", half)
    write_rows(folder / "gqa-it.blank.jsonl", half)
    results = json.loads((folder / "results.json").read_text())
    results["tasks"]["gqa-it"]["controls"] = {
        "shuffled-2": {"exact_match": 0.5},
        "blank": {"exact_match": 0.5},
    }
    (folder / "results.json").write_text(json.dumps(results))
    summary = build_summary(read_run(small_run))
    entry = summary["models"]["PT+IT"]["gqa-it"]
    assert (entry["shuffles"], entry["shuffled"], entry["blank"]) == (2, 0.25, 0.5)
    assert entry["right_minus_shuffled"] == 0.175
    (table,) = (table for table in build_tables(summary) if table.key == "table-5")
    details = dict(table.rows)["PT+IT"][0].details  # pyright: ignore[reportOptionalMemberAccess]
    assert "shuffled 25.0 (mean of 2)" in details and "blank 50.0" in details
    assert any("blank: the score with a grey image" in line for line in table.legend)
    assert not any(
        "all alike" in line for line in next(t for t in build_tables(summary) if t.key == "table-6").legend
    )
    results["tasks"]["gqa-it"]["controls"].pop("blank")
    (folder / "results.json").write_text(json.dumps(results))
    assert any("gqa-it.blank.jsonl is unfinished" in note for note in read_run(small_run).notes)
