from __future__ import annotations

import pytest
from lmms_eval.models.chat.llava_hf import LlavaHf
from lmms_eval.models.simple.llava_next_it import LlavaNextIt

from ndino.common.errors import UsageError
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.models import load_model, model_class
from ndino.evaluation.models import HF, Backend, find_model


def test_a_backend_is_a_class_of_lmms_eval():
    assert model_class(HF) is LlavaNextIt
    # lmms-eval prefers a wrapper's chat form, which `Benchmarks` is told by `task_type`.
    assert model_class(Backend("llava_hf")) is LlavaHf and not LlavaHf.is_simple


def test_unknown_and_missing_backends_are_errors():
    with pytest.raises(UsageError, match=r"lmms:lava_hf: lmms-eval has no such model \(remedy: llava_hf"):
        model_class(Backend("lava_hf"))
    with pytest.raises(SetupError, match=r"vllm is not installed, .*own .remedy: vllm serve .* --endpoint"):
        model_class(Backend("vllm"))


def test_a_model_is_loaded_on_the_cpu_with_the_backends_arguments(tiny_model_folder):
    model = load_model(find_model("it", str(tiny_model_folder)), Backend("hf", "dtype=bfloat16"), 3)
    assert isinstance(model, LlavaNextIt)
    assert (model.batch_size, model.device.type, str(model.model.dtype)) == (3, "cpu", "torch.bfloat16")
