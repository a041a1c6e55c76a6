"""Score translations with COMET; ``comet_scorer.py`` runs this script in an environment that has it.

    python comet_process.py FOLDER

Reads lines of JSON, each a list of [source, translation], and answers each with a line: their scores. Imports
nothing of ndino, which its environment lacks.
"""

from __future__ import annotations

import json
import os
import sys

BATCH = 16


def main() -> None:
    # Lightning writes to the standard output, which the answers need for themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import torch
    from comet import load_from_checkpoint

    folder = sys.argv[1]
    model = load_from_checkpoint(os.path.join(folder, "checkpoints", "model.ckpt"))
    gpus = int(torch.cuda.is_available())
    for line in sys.stdin:
        samples = [{"src": source, "mt": translation} for source, translation in json.loads(line)]
        # Without worker processes: to start them takes longer than what they would do.
        done = model.predict(samples, batch_size=BATCH, gpus=gpus, progress_bar=False, num_workers=0)
        answers.write(json.dumps([float(score) for score in done.scores]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
