"""Images that turn out to be damaged while training: recorded by all ranks together, and limited."""

from __future__ import annotations

import json
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from ndino.common.files import write_json
from ndino.train.dataset import ConversationDataset
from ndino.train.health.ranks import of_every_rank
from ndino.train.images import ImageError
from ndino.train.stage import Stage, append_rejects, is_first_rank, require_few_rejects

DAMAGED = "damaged.json"  # in the run folder: {row number: reason}


class RecordDamage(TrainerCallback):
    """Records after each step the rows that any rank could not read; stops all ranks if they are too many.

    A rank replaces such a row by the next one (`ConversationDataset`), so no rank waits for another. The rows
    are in ``damaged.json`` and ``rejects.txt`` of the run folder, and a resumed run leaves them out from the
    start.
    """

    def __init__(self, dataset: ConversationDataset, stage: Stage) -> None:
        self.dataset = dataset
        self.stage = stage
        self.path = stage.out / DAMAGED
        self.reasons: dict[int, str] = {}
        if self.path.exists():
            recorded = json.loads(self.path.read_text(encoding="utf-8"))
            self.reasons = {int(row): reason for row, reason in recorded.items()}
            numbers = {int(row): place for place, row in enumerate(dataset.index.row_numbers)}
            for row in self.reasons.keys() & numbers.keys():
                dataset.damaged[numbers[row]] = 1
            if is_first_rank():  # the file was written anew with what the index rejects
                self._append(self.reasons)
        self.seen = self._seen_here()

    def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        # A sum over ranks: they all find out at the same step whether there is anything to exchange.
        new = torch.tensor(self._seen_here() - self.seen, device=args.device)
        if dist.is_initialized():
            dist.all_reduce(new)
        if not new:
            return
        gathered = of_every_rank(self._reasons_here())
        found = {row: reason for each in gathered for row, reason in each.items()}
        added = {row: found[row] for row in sorted(found.keys() - self.reasons.keys())}
        self.reasons |= added
        self.seen = self._seen_here()
        if is_first_rank() and added:
            write_json(self.path, {str(row): reason for row, reason in sorted(self.reasons.items())})
            self._append(added)
        index = self.dataset.index
        require_few_rejects(
            len(index.rejects) + len(self.reasons), len(index) - len(self.reasons), self.stage
        )

    def _append(self, reasons: dict[int, str]) -> None:
        append_rejects([f"{self.stage.data} row {row}: {why}" for row, why in reasons.items()], self.stage)

    def _seen_here(self) -> int:
        return int(self.dataset.damaged.sum())

    def _reasons_here(self) -> dict[int, str]:
        # A worker process met the image and cannot say why it failed, except in the log: it is read again.
        found = {}
        for place in self.dataset.damaged.nonzero().flatten().tolist():
            row = self.dataset.index[place]
            if row.row in self.reasons:
                continue
            try:
                self.dataset.tiles_of(row)
                found[row.row] = "an image could not be read; later it could"
            except ImageError as error:
                found[row.row] = str(error)
        return found
