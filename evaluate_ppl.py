"""Perplexity of a LLaVA-NeXT model on a set's answers.

    python evaluate_ppl.py --model FOLDER --data answers.jsonl --images-dir images
    python evaluate_ppl.py --model FOLDER --data swap-uniba/WILD_IT --split test

A row of the .jsonl: {"id": "7", "file_name": "bari.png", "question": "Dov'è?", "answer": "A Bari."}
Writes a row an answer to --out and the summary beside it; a run that was cut off goes on where it stopped.
Answers about one image that come in one run share its encoding.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import huggingface_hub.utils.logging
import transformers.utils.logging

from ndino.common.errors import reason_of, remedy_for
from ndino.common.startup import prepare_process
from ndino.evaluation.errors import SetupError
from ndino.evaluation.models import find_model, name_of
from ndino.evaluation.perplexity.answer_sets import AnswerSetError, read_items
from ndino.evaluation.perplexity.score_set import OUTLIER, kind_of, score_set
from ndino.evaluation.perplexity.scorer import PerplexityError


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--model", required=True, help="LLaVA-NeXT folder in Hugging Face format, or a hub id"
    )
    options.add_argument("--data", required=True, help=".jsonl, .parquet, a dataset's folder, or a hub id")
    options.add_argument("--images-dir", type=Path, help="of a .jsonl; without it, the file's own folder")
    options.add_argument("--split", help="of a dataset that has several")
    options.add_argument(
        "--question-field", default="question", help="column of the questions (default: question)"
    )
    options.add_argument("--answer-field", help="column of the answers; without it, gpt_answer or answer")
    options.add_argument("--out", type=Path, help="rows (.jsonl); without it, runs/ppl/MODEL/DATA.jsonl")
    options.add_argument("--batch", type=int, help="answers at a time; without it, 1 on a CPU and 8 on a GPU")
    options.add_argument("--limit", type=int, help="score only the first so many")
    options.add_argument(
        "--shuffle", action="store_true", help="control: give every question another one's image"
    )
    return options


def default_out(model: str, data: str, shuffled: bool) -> Path:
    """``runs/ppl/MODEL/DATA.jsonl``."""
    return Path("runs", "ppl", name_of(model), f"{Path(data).stem}{'.shuffled' if shuffled else ''}.jsonl")


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    for name in ("batch", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser().error(f"--{name} must be 1 or more")
    # An error says it in one line.
    huggingface_hub.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    out = options.out or default_out(options.model, options.data, options.shuffle)
    if out.suffix != ".jsonl":
        parser().error("--out must end in .jsonl")
    try:
        # First, since data of the hub may be a long download.
        model = find_model(name_of(options.model), options.model)
        items = read_items(
            options.data,
            images_dir=options.images_dir,
            split=options.split,
            question_field=options.question_field,
            answer_field=options.answer_field,
        )[: options.limit]
        summary, scores = score_set(model, items, out, batch=options.batch, shuffled=options.shuffle)
    except (SetupError, AnswerSetError, PerplexityError) as error:
        print(f"evaluate_ppl: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        remedy = remedy_for(error, "rerun to resume, or choose another --out")
        print(f"evaluate_ppl: {out}: {reason_of(error)} (remedy: {remedy})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nevaluate_ppl: stopped; the same command goes on from {out}", file=sys.stderr)
        return 130
    low, high = summary["interval"]
    paper = "⋄" if summary["paper"] is None else f"{summary['paper']:.4g}"
    print(f"corpus perplexity  {summary['corpus']:.4g}  (95 % interval {low:.4g} to {high:.4g})")
    print(f"paper's mean       {paper}  ({summary['outliers']} above {OUTLIER:,.0f} left out)")
    print(f"answers            {summary['n']} scored, {summary['skipped']} skipped")
    for kind, count in summary["reasons"].items():
        first = [score for score in scores if score.reason and kind_of(score.reason) == kind][:3]
        ids = ", ".join(score.id for score in first) + (", …" if count > len(first) else "")
        detail = first[0].reason.removeprefix(kind)
        print(f"  skipped {count}: {kind} (id {ids}{f'; the first{detail}' if detail else ''})")
    print(f"rows               {out}")
    return 0


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
