"""Messages of libraries that say nothing to a user of this repository."""

from __future__ import annotations

import logging
import os
import re

from ndino.train.stage import is_first_rank

# Weights of a tower's folder that a stage does not use: the text encoder and what joins it to the tower,
# SigLIP's pooling head, and positions that earlier versions saved.
_UNUSED = re.compile(
    r"(text_model\.|text_projection\.|visual_projection\.|logit_(scale|bias)$|(vision_model\.)?head\.)"
    r"|.*\.position_ids$"
)
_OF_A_TOWER = re.compile(r"\w*VisionModel LOAD REPORT\b")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def is_news(record: logging.LogRecord) -> bool:
    """False for transformers' report on a tower in which every row is of weights that a stage does not use.

    It calls them UNEXPECTED and "not ok if you expect identical arch". What is missing or of another shape is
    refused when the model is loaded.
    """
    lines = _COLOUR.sub("", record.getMessage()).splitlines()
    if not lines or not _OF_A_TOWER.match(lines[0]):
        return True
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if "|" in line]
    found = [row for row in rows if row[0] != "Key"]
    return not all(row[1] == "UNEXPECTED" and _UNUSED.match(row[0]) for row in found)


def quiet_libraries() -> None:
    """Silence them in this process; call it before the libraries are imported.

    What stays are errors, and on the first rank the progress bars.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    if not torch.cuda.is_available():
        # DeepSpeed, which accelerate imports where it is installed, warns that it found no GPU.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # Without the package `kernels` it has code of its own.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    logging.getLogger("transformers.modeling_utils").addFilter(is_news)
    if not is_first_rank():
        disable_progress_bar()
