"""The sentences at the top of the page follow from the summary's numbers."""

from __future__ import annotations

from ndino.results.findings import findings
from ndino.results.verdicts import but_doubtful, verdict_of


def test_findings_tell_what_was_learned(summary):
    assert findings(summary) == [
        "2 of 5 scores measurably depend on the image; the other 3 show no measurable gain from it (blind).",
        "The image helps PT+IT on GQA-IT most: +42.5 points over shuffled images.",
        "PT+IT against IT on 3 tasks: better on 1 (MTVQA-IT).",
        "Lowest perplexity on the answers of LLAVA-BENCH-IT: PT+IT (31.75 over all answer tokens).",
        "Perplexity of IT against PT+IT on LLAVA-BENCH-IT (3 answers): over all answer tokens 97.9 times "
        "(1.5 to 1e+03; p = 0.172).",
    ]


def test_findings_name_losses_too(summary):
    for row in summary["tests"]:
        row |= {"p_holm": 0.01, "difference": 0.475} if row["task"] == "gqa-it" else {"p_holm": 1.0}
    summary["models"]["IT"]["gqa-it"]["exact_match"] = 0.9
    assert "PT+IT against IT on 3 tasks: worse on 1 (GQA-IT but blind)." in findings(summary)
    summary["models"]["IT"]["gqa-it"] |= {"majority": 0.9, "right_minus_shuffled_interval": [0.1, 0.2]}
    assert "PT+IT against IT on 3 tasks: worse on 1 (GQA-IT but not above majority)." in findings(summary)
    summary["models"]["IT"]["gqa-it"]["majority"] = 0.5
    assert "PT+IT against IT on 3 tasks: worse on 1 (GQA-IT)." in findings(summary)


def test_what_rows_and_different_questions_rank_differently_is_no_win(summary):
    for row in summary["tests"]:
        row |= {"p_holm": 0.01, "difference": 0.1}  # PT+IT has the higher scores
    assert "PT+IT against IT on 3 tasks: no difference shown." in findings(summary)


def test_a_share_of_languages_is_no_evidence_of_looking_or_not(summary):
    entry = summary["models"]["PT+IT"]["gqa-it"]
    assert verdict_of(entry) == "sees"
    blind = {**entry, "right_minus_shuffled_interval": [-0.1, 0.1]}
    assert (verdict_of(blind), but_doubtful(blind)) == ("blind", "but blind")
    entry |= {"metric": "in_language", "in_language": 0.98, "right_minus_shuffled_interval": [-0.1, 0.1]}
    assert (verdict_of(entry), but_doubtful(entry)) == ("", "")
    assert findings(summary)[0].startswith("1 of 4 scores measurably depend on the image; the other 3 ")


def test_nothing_is_said_about_images_without_a_control(summary):
    for entries in summary["models"].values():
        for entry in entries.values():
            entry |= {"right_minus_shuffled": None, "right_minus_shuffled_interval": None}
    assert not [sentence for sentence in findings(summary) if "image" in sentence]


def test_answers_in_another_language_than_asked_are_told(summary):
    shares = {"in_language": 0.93, "in_english": 0.04, "in_other_language": 0.0, "language_undecided": 0.03}
    summary["models"]["IT"]["ok-vqa-it"] |= shares
    summary["models"]["PT+IT"]["ok-vqa-it"] |= {**shares, "in_language": 0.9, "in_english": 0.07}
    assert [sentence for sentence in findings(summary) if "in English" in sentence] == [
        "PT+IT gives 7.0 % of its answers to OK-VQA-IT in English, and 0.0 % in another language that was "
        "not asked for."
    ]
