"""A scored model's bits, dtype and devices: the arguments of evaluate's backend hf, part of the key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ndino.common.errors import UsageError
from ndino.evaluation.perplexity.loading import load_scorer, scoring_backend
from ndino.evaluation.perplexity.score_set import score_set
from ndino.evaluation.perplexity.scorer import PerplexityError, Scorer
from tests.commands import perplexity
from tests.evaluation.answer_files import find


@pytest.fixture(scope="module")
def scorer(tiny_model_folder: Path) -> Scorer:
    return load_scorer(find(tiny_model_folder))


def test_a_model_in_eight_bits_scores_nearly_the_same_and_keeps_what_sees_whole(
    tiny_model_folder, answer_items, scorer
):
    pytest.importorskip("bitsandbytes")
    small = load_scorer(find(tiny_model_folder), scoring_backend("hf,load_in_8bit=true"))
    parts = {name.split(".")[1] for name, w in small.model.named_parameters() if w.dtype == torch.int8}
    assert parts == {"language_model"}
    whole, in_bits = ([score.nll for score in each(answer_items)] for each in (scorer, small))
    assert in_bits != whole and in_bits == pytest.approx(whole, rel=0.05)


def test_a_divided_model_scores_the_same(tiny_model_folder, answer_items, scorer):
    divided = load_scorer(find(tiny_model_folder), scoring_backend("hf,device_map=auto,device=cpu"))
    assert divided(answer_items) == scorer(answer_items)


def test_fewer_bits_are_part_of_the_key_and_stated_beside_the_scores(
    tmp_path, tiny_model_folder, answers_file, capsys
):
    pytest.importorskip("bitsandbytes")
    out = tmp_path / "out.jsonl"
    command = ["--model", str(tiny_model_folder), "--data", str(answers_file), "--out", str(out)]
    command += ["--images", str(answers_file.parent / "images")]
    assert perplexity(command) == 0
    whole = json.loads(out.with_suffix(".json").read_text())
    assert perplexity([*command, "--backend", "hf,load_in_8bit=True"]) == 0
    assert "arguments none → load_in_8bit=True" in capsys.readouterr().err
    small = json.loads(out.with_suffix(".json").read_text())
    assert small["corpus"] != whole["corpus"]
    assert small["depends"]["answers"]["arguments"] == {"load_in_8bit": "True"}
    assert "bitsandbytes" in small["depends"]["answers"] and "bitsandbytes" not in whole["depends"]["answers"]


def test_what_makes_no_difference_is_no_other_key(tmp_path, tiny_model_folder, answer_items):
    score_set(find(tiny_model_folder), answer_items, tmp_path / "out.jsonl")
    before = (tmp_path / "out.jsonl.fingerprint").read_bytes()
    for text in ("hf,device_map=auto", "hf,load_in_4bit=False", "hf,dtype=float32,device=cpu"):
        backend = scoring_backend(text)
        score_set(find(tiny_model_folder), answer_items, tmp_path / "out.jsonl", backend=backend)
        assert (tmp_path / "out.jsonl.fingerprint").read_bytes() == before, text


@pytest.mark.parametrize(
    ("backend", "said"),
    {
        "vllm": "--backend vllm: cannot score answers (remedy: hf with any of ",
        "lmms:llava_hf": "--backend lmms:llava_hf: cannot score answers",
        "hf,batch_size=4": "--backend hf,batch_size=4: cannot score answers",
        "hf,load_in_8bit=8": "load_in_8bit is '8' (remedy: True or False)",
        "hf,dtype=load": "no such dtype (remedy: auto, float32, bfloat16, float16)",
        "xx": "unknown backend 'xx'",
    }.items(),
)
def test_what_cannot_score_is_refused(backend, said):
    with pytest.raises(UsageError) as caught:
        scoring_backend(backend)
    assert said in str(caught.value)


def test_both_numbers_of_bits_are_refused(tiny_model_folder):
    backend = scoring_backend("hf,load_in_8bit=True,load_in_4bit=True")
    with pytest.raises(PerplexityError, match=r"asked for in 8 bits and in 4 \(remedy: "):
        load_scorer(find(tiny_model_folder), backend)
