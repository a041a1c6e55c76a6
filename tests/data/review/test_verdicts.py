"""Verdicts of reviewers: what is read and refused, acceptance, intervals, agreement, what is recorded."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from statsmodels.stats.inter_rater import cohens_kappa as reference_kappa
from statsmodels.stats.proportion import proportion_confint

from ndino.common.files import sha256_of
from ndino.data.framework.folders import open_folder
from ndino.data.review.sample import sample_rows
from ndino.data.review.verdicts import cohens_kappa, wilson_interval
from tests.commands import data as main


def refused(capsys, *arguments: object, code: int = 1) -> str:
    """The one line, with a remedy, in which the command is refused."""
    assert main(["review", *map(str, arguments)]) == code
    said = capsys.readouterr().err
    assert said.startswith("ndino data review: ") and "(remedy: " in said and said.count("\n") == 1
    return said


def save(folder: Path, reviewer: str, verdict, /, **changes) -> Path:
    """Write what the page saves, with ``verdict(row)`` for each row of the sample."""
    rows = sample_rows(open_folder(folder), 40, 42)
    content = {
        "review": "a",
        "data": sha256_of(folder / "data.jsonl"),
        "reviewer": reviewer,
        "of": len(rows),
        "rows": [
            {"id": row["id"], "source": row["source"], "verdict": said}
            for row in rows
            if (said := verdict(row)) is not None
        ],
    }
    file = folder.parent / f"{reviewer}.json"
    file.write_text(json.dumps(content | changes))
    return file


GHOST = [{"id": "nope", "source": "toy/text", "verdict": "good"}]


def pictures_are_good(row: dict) -> str:
    return "good" if row["source"] == "toy/images" else "bad"


def test_acceptance_is_printed_and_recorded_by_source(finished, capsys):
    ada = save(finished, "Ada", pictures_are_good)
    assert main(["review", str(finished), "--read", str(ada)]) == 0
    said = capsys.readouterr().out
    assert "| toy/images | 20 | 20 | 0 | 100.0% | 83.9% to 100.0% |" in said
    assert "| toy/text | 20 | 0 | 0 | 0.0% | 0.0% to 16.1% |" in said
    review = json.loads((finished / "manifest.json").read_text())["review"]
    assert review["sources"]["toy/images"] == {
        "judged": 20, "accepted": 20, "unsure": 0, "acceptance": 1.0, "interval": [0.8389, 1.0],
    }  # fmt: skip
    # Both sources have 30 rows: half of the whole is accepted.
    assert review["total"]["acceptance"] == 0.5
    low, high = review["total"]["interval"]
    assert 0.4 < low < 0.45 and 0.55 < high < 0.6
    assert "| toy/images | 20 | 20 |" in (finished / "README.md").read_text()
    assert main(["check", str(finished), "--workers", "1"]) == 0


def test_two_reviewers_agree_as_far_as_kappa_says(finished, capsys):
    rng = random.Random(1)
    ada = save(finished, "Ada", pictures_are_good)
    bruno = save(finished, "Bruno", lambda row: rng.choice(["good", "good", "bad", "unsure", None]))
    assert main(["review", str(finished), "--read", str(ada), str(bruno)]) == 0
    first, second = (
        {row["id"]: row["verdict"] for row in json.loads(file.read_text())["rows"]} for file in (ada, bruno)
    )
    # "Cannot say" is no verdict, so there is nothing to agree on.
    both = [(first[row], second[row]) for row in first if second.get(row, "unsure") != "unsure"]
    (two,) = json.loads((finished / "manifest.json").read_text())["review"]["agreement"]
    names = ["good", "bad"]
    counts = [[both.count((one, other)) for other in names] for one in names]
    assert two["kappa"] == pytest.approx(reference_kappa(counts).kappa, abs=1e-4)
    assert (two["rows"], two["same"]) == (len(both), sum(one == other for one, other in both))
    assert (
        f"Ada and Bruno: the same verdict on {two['same']} of {two['rows']} rows" in capsys.readouterr().out
    )
    # A row that one of them calls bad is not accepted, and "cannot say" is no verdict.
    good = [row for row, said in first.items() if said == "good" and second.get(row, "good") != "bad"]
    accepted = json.loads((finished / "manifest.json").read_text())["review"]["sources"]["toy/images"]
    assert accepted["accepted"] == len(good) and accepted["judged"] == 20


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (3, 7), (199, 200), (0, 50)])
def test_intervals_are_wilsons(successes, n):
    expected = proportion_confint(successes, n, alpha=0.05, method="wilson")
    assert wilson_interval(successes, n) == pytest.approx(expected, abs=1e-9)


def test_nothing_judged_says_nothing():
    assert wilson_interval(0, 0) == (0, 1)
    assert cohens_kappa([]) is None and cohens_kappa([("good", "good")] * 9) is None


def test_control_characters_in_a_name_are_not_printed(finished, capsys):
    file = save(finished, "Eva", pictures_are_good, reviewer=" E\x1b[2Jva\n\u202e ")
    assert main(["review", str(finished), "--read", str(file)]) == 0
    assert list(json.loads((finished / "manifest.json").read_text())["review"]["reviewers"]) == ["E[2Jva"]


def test_verdicts_that_cannot_be_used_are_refused(finished, tmp_path, capsys):
    ada = save(finished, "Ada", pictures_are_good)
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    other = save(finished, "Bruno", pictures_are_good, data="0" * 64)
    for files, said, code in (
        ([other], "verdicts are of other rows", 1),
        ([ada, ada], "a second file of the reviewer Ada", 1),
        ([finished / "manifest.json"], "not a verdict file of the review page: no list of rows", 1),
        ([ada, save(finished, "ADA", pictures_are_good)], "a second file of the reviewer ADA", 1),
        ([save(finished, "Dora", pictures_are_good, reviewer="\x1b \u200b")], "no name of a reviewer", 1),
        ([save(finished, "Elio", pictures_are_good, reviewer=5)], "reviewer is 5, not a name", 1),
        (
            [save(finished, "Fosco", pictures_are_good, rows=[*GHOST, *GHOST])],
            "two verdicts on the row 'nope'",
            1,
        ),
        (
            [save(finished, "Gina", pictures_are_good, rows=GHOST)],
            "'nope' of 'toy/text', a row that is not in",
            1,
        ),
        (
            [save(finished, "Ida", pictures_are_good, rows=[*GHOST, {"id": "a", "source": "b"}])],
            "row 2 has no verdict",
            1,
        ),
        ([save(finished, "Lia", pictures_are_good, rows=["x"])], "row 1 is 'x', not a verdict", 1),
        ([save(finished, "Mia", pictures_are_good, rows=[])], "no verdicts in it (remedy: leave it out", 1),
        ([save(finished, "Noa", pictures_are_good, of="many")], "of is 'many', not a number of rows", 1),
        ([deep], "not a verdict file of the review page: ", 1),
        ([save(finished, "Carla", lambda row: "great")], "unknown verdict 'great'", 1),
        ([tmp_path / "none.json"], "no such file", 2),
    ):
        assert said in refused(capsys, finished, "--read", *files, code=code)
    assert "review" not in json.loads((finished / "manifest.json").read_text())
