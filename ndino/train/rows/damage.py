"""Images that turn out to be damaged while training: recorded by all ranks together, and limited."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from ndino.common.errors import reason_of
from ndino.common.files import write_json
from ndino.common.parsing import read_json
from ndino.train.dataset import ConversationDataset
from ndino.train.health.ranks import from_first_rank, of_every_rank
from ndino.train.images import ImageError
from ndino.train.rows.encoding import EncodedRow
from ndino.train.rows.index import RowIndex
from ndino.train.stage import Stage, StageError, append_rejects, is_first_rank, require_few_rejects

NOT_WRITTEN = "its content is not what was written"
DAMAGED = "damaged.json"  # in the run folder: {row number: reason}


class RecordDamage(TrainerCallback):
    """Records after each step the rows that any rank could not read; stops all ranks if they are too many.

    A rank replaces such a row by the next one (`ConversationDataset`), so no rank waits for another. The rows
    are in ``damaged.json`` and ``rejects.txt`` of the run folder, and a resumed run leaves them out from the
    start. A start that finds more of them than the recipe allows reads their images again: repaired ones are
    trained on again, and if too many are left it is refused.
    """

    def __init__(self, dataset: ConversationDataset, stage: Stage) -> None:
        self.dataset = dataset
        self.stage = stage
        self.path = stage.out / DAMAGED
        self.reasons: dict[int, str] = from_first_rank(self._recorded)
        for place in _places(dataset.index, self.reasons):
            dataset.damaged[place] = 1
        if is_first_rank() and self.reasons:  # the file was written anew with what the index rejects
            self._append(self.reasons)
        self.seen = self._seen_here()
        self._require_few(self.reasons)

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
        self._require_few(self.reasons)

    def _recorded(self) -> dict[int, str]:
        """The rows to leave out; for the first rank."""
        reasons = read_damaged(self.stage.out)
        try:
            self._require_few(reasons)
        except StageError:
            rows = (self.dataset.index[place] for place in _places(self.dataset.index, reasons))
            still = {row.row: fault for row in rows if (fault := self._fault_of(row)) is not None}
            now = len(reasons) - len(still)
            print(f"{self.path}: {len(reasons)} row(s) were damaged, {now} can be read now", flush=True)
            write_json(self.path, {str(row): reason for row, reason in sorted(still.items())})
            return still
        return reasons

    def _require_few(self, reasons: Mapping[int, str]) -> None:
        index = self.dataset.index
        lines = index.lines(self.stage.data) + self._lines(reasons)
        rejected, usable = len(index.rejects) + len(reasons), len(index) - len(reasons)
        require_few_rejects(rejected, usable, self.stage, lines=lines)

    def _append(self, reasons: dict[int, str]) -> None:
        append_rejects(self._lines(reasons), self.stage)

    def _lines(self, reasons: Mapping[int, str]) -> list[str]:
        return [f"{self.stage.data} row {row}: {why}" for row, why in reasons.items()]

    def _seen_here(self) -> int:
        return int(self.dataset.damaged.sum())

    def _reasons_here(self) -> dict[int, str]:
        # A worker process met the image and cannot say why it failed, except in the log: it is read again.
        found = {}
        for place in self.dataset.damaged.nonzero().flatten().tolist():
            row = self.dataset.index[place]
            if row.row in self.reasons:
                continue
            found[row.row] = self._fault_of(row) or "an image could not be read; later it could"
        return found

    def _fault_of(self, row: EncodedRow) -> str | None:
        try:
            self.dataset.tiles_of(row)
        except ImageError as error:
            return str(error)
        return None


def read_damaged(out: Path) -> dict[int, str]:
    """The reasons by row number in a run's ``damaged.json``; empty if there is none.

    For the first rank. A broken file is renamed, with a line that says so: its rows will be found again.
    """
    path = out / DAMAGED
    try:
        recorded = read_json(path)
        return {int(row): str(reason) for row, reason in recorded.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        reason = reason_of(error) if isinstance(error, json.JSONDecodeError) else NOT_WRITTEN
        os.replace(path, path.with_name(f"broken-{DAMAGED}"))
        print(
            f"{path}: broken, renamed to broken-{DAMAGED}: {reason}; rows with damaged images will "
            "be found again",
            flush=True,
        )
        return {}


def damaged_rows(index: RowIndex, out: Path) -> list[int]:
    """Positions in ``index`` of the rows in a run's ``damaged.json``."""
    return _places(index, read_damaged(out))


def _places(index: RowIndex, rows: Container[int]) -> list[int]:
    return [place for place, row in enumerate(index.row_numbers.tolist()) if row in rows] if rows else []
