"""A backend's class in lmms-eval, and a model loaded with it."""

from __future__ import annotations

import difflib
import inspect
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ndino.common.errors import UsageError
from ndino.common.files import key_of
from ndino.evaluation.errors import SetupError
from ndino.evaluation.models import ENDPOINT, Backend, Model, batch_size

if TYPE_CHECKING:
    from lmms_eval.api.model import lmms

OUR_WRAPPER = "llava_next_it"


def model_class(backend: Backend) -> type[lmms]:
    """lmms-eval's class for a backend.

    Raises:
        UsageError: lmms-eval has no such model.
        SetupError: a package that it needs is not installed.
    """
    if backend.kind == ENDPOINT:
        from ndino.evaluation.lmms_eval_adapter.endpoint import EndpointModel

        return EndpointModel
    from lmms_eval.models import get_model, list_available_models

    known = list_available_models(include_aliases=True)
    name = OUR_WRAPPER if backend.kind == "hf" else backend.kind
    if name not in known:
        if backend.kind == "hf":
            raise SetupError("lmms-eval does not know our model wrapper (remedy: make setup)")
        close = difflib.get_close_matches(name, known, n=3) or ["llava_hf", "…"]
        raise UsageError(f"backend lmms:{name}: lmms-eval has no such model (remedy: {', '.join(close)})")
    if name == "vllm" and find_spec("vllm") is None:
        # Installed here, it would replace transformers by an older version.
        raise SetupError(
            "backend vllm: the package vllm is not installed, and needs an environment of its own (remedy: "
            "vllm serve MODEL there, and here --endpoint http://HOST:8000/v1; docs/serving.md)"
        )
    try:
        return get_model(name)
    except ImportError as error:
        raise SetupError(f"backend {backend}: {error} (remedy: install what it needs)") from error


def wrapper_identity(backend: Backend) -> str:
    """Identity of a wrapper's code: its name with the version that it states, or with a hash of its text.

    Raises what `model_class` raises.
    """
    cls = model_class(backend)
    if (stated := getattr(inspect.getmodule(cls), "VERSION", None)) is not None:
        return f"{cls.__name__} {stated}"
    return f"{cls.__name__} {key_of(inspect.getsource(cls))}"


def load_model(model: Model, backend: Backend, batch: int | None) -> lmms:
    """Load a model; on a CPU where there is no GPU, unless the backend's arguments name a device.

    Raises whatever the wrapper's reader of weights raises.
    """
    if backend.kind == ENDPOINT:
        from ndino.evaluation.lmms_eval_adapter.endpoint import EndpointModel

        return EndpointModel(backend.arguments, model.path, batch_size(backend, batch))
    import torch

    cls = model_class(backend)
    parameter = "model" if backend.kind == "vllm" else "pretrained"
    # By default our wrapper keeps all questions about an image together.
    size = "auto" if backend.kind == "hf" and batch is None else batch_size(backend, batch)
    given = {parameter: model.path, "batch_size": size}
    stated = {argument.partition("=")[0] for argument in backend.arguments.split(",")}
    if not torch.cuda.is_available():
        # lmms-eval's wrappers assume a GPU.
        taken = inspect.signature(cls).parameters
        given |= {name: "cpu" for name in ("device", "device_map") if name in taken and name not in stated}
    return cls.create_from_arg_string(backend.arguments, given)
