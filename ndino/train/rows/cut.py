"""How many rows the length limit cuts: of these no end is learned. For both engines."""

from __future__ import annotations

import numpy as np
from transformers import PreTrainedTokenizerBase

from ndino.formats.prompts import END_OF_TURN, IGNORE_INDEX, plain_markers
from ndino.train.rows.index import RowIndex
from ndino.train.stage import Stage, is_first_rank


def report_cut_rows(index: RowIndex, tokenizer: PreTrainedTokenizerBase, stage: Stage) -> int:
    """Count the usable rows that the recipe's ``max_length`` cuts; the first rank warns if there are any."""
    cut = cut_rows(index, tokenizer, stage)
    if cut and is_first_rank():
        print(
            f"warning: {stage.data}: {cut:,} of {len(index):,} rows are cut by max_length: "
            f"{stage.recipe.max_length}, so the end of their answers is not learned (remedy: raise "
            f"max_length in recipe {stage.recipe.name}, or shorten the rows)",
            flush=True,
        )
    return cut


def cut_rows(index: RowIndex, tokenizer: PreTrainedTokenizerBase, stage: Stage) -> int:
    """The number of usable rows that are as long as ``max_length`` allows and have no end.

    A conversation of several rounds that is cut exactly between two of them does not count.
    """
    prompt = stage.recipe.prompt
    full = np.flatnonzero(index.lengths == stage.recipe.max_length)
    if prompt == "chat":  # the template may write a newline behind the end
        labels = (np.asarray(index[int(place)].labels) for place in full)
        return sum(int(row[row != IGNORE_INDEX][-1]) != tokenizer.eos_token_id for row in labels)
    last = (int(index[int(place)].input_ids[-1]) for place in full)
    if prompt == "plain" and stage.recipe.plain_ending == "newline":  # it may be merged into the last token
        return sum(not str(tokenizer.decode([token])).endswith("\n") for token in last)
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN if prompt == "llama3" else plain_markers(tokenizer)[1])
    return sum(token != end for token in last)
