"""The scores by which a conversion is compared with the original.

test_convert_madlad.py runs the whole script, in the environment whose transformers converts correctly.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import T5ForConditionalGeneration

from ndino.data.translation.engines.conversion import scores


def test_a_score_is_the_log_probability_of_a_token_after_those_before(madlad_folder: Path) -> None:
    model = T5ForConditionalGeneration.from_pretrained(madlad_folder).eval()
    source, target = [5, 9, 2], [7, 30, 2]
    found = scores(model, source, target)
    inputs = torch.tensor([source])
    for place, token in enumerate(target):
        start = [model.config.decoder_start_token_id, *target[:place]]
        with torch.no_grad():
            logits = model(input_ids=inputs, decoder_input_ids=torch.tensor([start])).logits[0, -1]
        assert found[place] == pytest.approx(logits.log_softmax(-1)[token].item(), abs=1e-4)
