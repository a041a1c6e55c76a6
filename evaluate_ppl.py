"""Perplexity of a LLaVA-NeXT model on a set's answers: another name for ``ndino perplexity``.

python evaluate_ppl.py --model FOLDER --data answers.jsonl --images images
"""

import sys

from ndino.cli import main

if __name__ == "__main__":
    sys.exit(main(command="perplexity"))
