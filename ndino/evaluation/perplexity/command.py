"""``ndino perplexity``: perplexity of a LLaVA-NeXT model on the answers of a set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ndino.common.errors import UsageError
from ndino.common.files import nearest_existing
from ndino.common.options import CommandParser, positive
from ndino.evaluation.controls import RIGHT, SHUFFLED, log_name

HELP = """
Measure the perplexity of a LLaVA-NeXT model on given answers, each conditioned on its image and question.

A row of a .jsonl: {"id": "7", "file_name": "bari.png", "question": "Dov'è?", "answer": "A Bari."}

Writes one row for each answer to --out and the summary beside it; rerun to resume. Consecutive answers about
one image share its encoding.
"""
EXAMPLES = (
    "ndino perplexity --model runs/demo/mlp-long/model --data answers.jsonl --images images",
    "ndino perplexity --model models/it --data swap-uniba/WILD_IT --split test",
)


def add_arguments(parser: CommandParser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="FOLDER_OR_HUB_ID", help="LLaVA-NeXT model in Hugging Face format")
    add("--data", required=True, metavar="DATA", help="a .jsonl, a .parquet, a dataset's folder, or a hub id")
    add("--images", type=Path, metavar="FOLDER", help="images of a .jsonl (default: the file's own folder)")
    add("--split", metavar="NAME", help="split of a dataset that has several")
    add(
        "--question-field",
        default="question",
        metavar="NAME",
        help="column of the questions (default: %(default)s)",
    )
    add("--answer-field", metavar="NAME", help="column of the answers (default: gpt_answer, else answer)")
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="the rows, a .jsonl (default: runs/ppl/MODEL/DATA.jsonl); with --shuffle FILE.shuffled.jsonl",
    )
    add(
        "--batch", type=positive, metavar="N", help="answers scored at once (default: 1 on a CPU, 8 on a GPU)"
    )
    add("--limit", type=positive, metavar="N", help="only the first N answers (default: all)")
    add(
        "--backend",
        default="hf",
        metavar="hf[,k=v…]",
        help="how the model is loaded, as for evaluate, such as hf,load_in_8bit=True (default: %(default)s)",
    )
    add("--shuffle", action="store_true", help="give every question the image of another one, as a control")
    parser.keep_former_name("--images-dir", "--images")


def default_out(model: str, data: str) -> Path:
    """``runs/ppl/MODEL/DATA.jsonl``."""
    from ndino.evaluation.models import name_of

    return Path("runs", "ppl", name_of(model), log_name(Path(data).stem, RIGHT))


def run(args: argparse.Namespace) -> int:
    out = args.out or default_out(args.model, args.data)
    if out.is_dir():
        inside = out / default_out(args.model, args.data).name
        raise UsageError(f"--out {out}: is a folder, not a file of rows (remedy: --out {inside})")
    above = nearest_existing(out.absolute().parent)
    if not above.is_dir():
        raise UsageError(f"--out {out}: {above} is no folder (remedy: choose another --out)")
    if out.suffix != ".jsonl":
        raise UsageError(f"--out {out}: does not end in .jsonl (remedy: --out {out.with_suffix('.jsonl')})")
    if args.shuffle and not out.stem.endswith(f".{SHUFFLED}"):
        out = out.with_name(log_name(out.stem, SHUFFLED))

    import huggingface_hub.utils.logging
    import transformers.utils.logging

    from ndino.evaluation.models import find_model, name_of
    from ndino.evaluation.perplexity.answer_sets import left_out, read_items, require_answers
    from ndino.evaluation.perplexity.loading import scoring_backend
    from ndino.evaluation.perplexity.score_set import OUTLIER, kind_of, score_set

    # Their warnings say at length what our error says in one line.
    huggingface_hub.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    backend = scoring_backend(args.backend)
    require_answers(args.data, images_dir=args.images, split=args.split)
    for note in left_out(args.data, args.split):
        print(f"ndino perplexity: {note}", file=sys.stderr)
    # The model first, since data of the hub may be a long download.
    model = find_model(name_of(args.model), args.model, other_backends=False)
    items = read_items(
        args.data,
        images_dir=args.images,
        split=args.split,
        question_field=args.question_field,
        answer_field=args.answer_field,
    )[: args.limit]
    for message in filter(None, (item.message for item in items)):
        print(f"ndino perplexity: left out: {message}", file=sys.stderr)
    summary, scores = score_set(model, items, out, batch=args.batch, shuffled=args.shuffle, backend=backend)
    low, high = summary["interval"]
    paper = "⋄" if summary["paper"] is None else f"{summary['paper']:.4g}"
    print(f"corpus perplexity  {summary['corpus']:.4g}  (95 % interval {low:.4g} to {high:.4g})")
    if summary["bits_per_character"] is not None:
        print(f"bits per character {summary['bits_per_character']:.4g}")
    print(f"paper's mean       {paper}  ({summary['outliers']} above {OUTLIER:,.0f} left out)")
    print(f"answers            {summary['n']} scored, {summary['skipped']} skipped")
    for kind, count in summary["reasons"].items():
        first = [score for score in scores if score.reason and kind_of(score.reason) == kind][:3]
        ids = ", ".join(score.id for score in first) + (", …" if count > len(first) else "")
        detail = (first[0].reason or "").removeprefix(kind)
        print(f"  skipped {count}: {kind} (id {ids}{f'; the first{detail}' if detail else ''})")
    print(f"rows               {out}")
    return 0
