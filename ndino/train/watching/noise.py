"""Messages of libraries that say nothing to a user of this repository."""

from __future__ import annotations

import logging
import os

from ndino.train.stage import is_first_rank


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
    if not is_first_rank():
        disable_progress_bar()
