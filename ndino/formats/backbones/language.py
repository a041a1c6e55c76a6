"""What a language model's class says: its parts, and whether LLaVA-NeXT can put them together again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ndino.common.errors import reason_of, remedy_for
from ndino.formats.model_kinds import ModelFolderError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PROBE = 8  # tokens on which two models are compared
GENERATED = 2  # tokens: the second is the first one that depends on the cache
_ANOTHER = "start from another language model"


@dataclass(frozen=True)
class LanguageParts:
    """A causal language model's decoder and head.

    LLaVA-NeXT computes logits as ``head(decoder(…))`` and nothing else.
    """

    decoder: PreTrainedModel
    head: torch.nn.Linear


def parts_of(model: PreTrainedModel, folder: Path) -> LanguageParts:
    """Take a causal language model apart.

    Raises:
        ModelFolderError: its decoder is not what transformers builds for its configuration, it has no
            ``embed_tokens``, or its head is not a linear layer without a bias.
    """
    import torch
    from transformers import MODEL_MAPPING

    decoder: Any = model.base_model
    head: Any = model.get_output_embeddings()
    if type(decoder) is not MODEL_MAPPING.get(type(model.config), None):
        problem = f"its decoder is a {type(decoder).__name__}, which its config.json does not lead to"
    elif decoder.get_input_embeddings() is not getattr(decoder, "embed_tokens", None):
        problem = "its embeddings are not where LLaVA-NeXT looks for them"
    elif not isinstance(head, torch.nn.Linear) or head.bias is not None:
        problem = "its head is not a linear layer without a bias, the only one that LLaVA-NeXT has"
    else:
        return LanguageParts(decoder, head)
    raise ModelFolderError(f"{folder}: {problem} (remedy: {_ANOTHER})")


def probe_ids(model: PreTrainedModel) -> torch.Tensor:
    """Some ids of the vocabulary, int64 ``(1, PROBE)``."""
    import torch

    rows = len(cast("torch.nn.Embedding", model.get_input_embeddings()).weight)
    return torch.linspace(0, rows - 1, PROBE).long()[None]


def logits_of(model: PreTrainedModel, ids: torch.Tensor, folder: Path) -> torch.Tensor:
    """A model's logits, ``(1, tokens, vocabulary)``, without its cache.

    Raises:
        ModelFolderError: the model that its config.json describes cannot be run.
    """
    import torch

    training = model.training
    try:
        with torch.no_grad():
            return model.eval()(input_ids=ids, use_cache=False).logits
    except Exception as error:  # heads that do not divide the width, for instance: each class has its own
        remedy = remedy_for(error, f"correct its config.json, or {_ANOTHER}")
        raise ModelFolderError(f"{folder}: cannot be run: {reason_of(error)} (remedy: {remedy})") from error
    finally:
        model.train(training)


def require_generation(model: PreTrainedModel, ids: torch.Tensor, folder: Path) -> None:
    """Check that a LLaVA-NeXT can generate with the language model that was put into it.

    Generation keeps earlier tokens in a cache. LLaVA-NeXT makes the usual one, and some classes want their
    own: they would train, and what they trained could not answer.

    Args:
        ids: of a prompt, int64 ``(1, tokens)``.

    Raises:
        ModelFolderError: generating fails, or gives other logits than the whole text without a cache.
    """
    import torch

    training, generating = model.training, cast("Any", model.eval())
    try:
        made = generating.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            min_new_tokens=GENERATED,
            max_new_tokens=GENERATED,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
    except Exception as error:  # each class fails in its own way
        raise ModelFolderError(
            f"{folder}: in LLaVA-NeXT it cannot generate: {reason_of(error)} "
            f"(remedy: {remedy_for(error, _ANOTHER)})"
        ) from error
    finally:
        model.train(training)
    cached = torch.stack(made.logits, dim=1)
    whole = logits_of(model, made.sequences[:, :-1], folder)[:, -GENERATED:]
    # Sums of other lengths round otherwise, so less strictly than `same_up_to_rounding`.
    tolerance = 1e-3 if whole.dtype == torch.float32 else 1e-1
    if not float((cached.float() - whole.float()).abs().max()) <= tolerance * float(
        whole.float().abs().max()
    ):
        raise ModelFolderError(
            f"{folder}: in LLaVA-NeXT it cannot generate: its logits are others with a cache of earlier "
            f"tokens than without (remedy: {_ANOTHER})"
        )


def require_same_logits(before: torch.Tensor, after: torch.Tensor, folder: Path) -> None:
    """Check that a language model says in LLaVA-NeXT what it says alone.

    A class that scales or caps logits behind its head, as those of Gemma 2, Cohere and Granite do, would be
    another model there, without any error.

    Args:
        before, after: logits of the same ids, ``(1, tokens, vocabulary)``, of the model alone and inside.

    Raises:
        ModelFolderError: they differ by more than rounding.
    """
    if not same_up_to_rounding(before, after[..., : before.shape[-1]]):
        raise ModelFolderError(
            f"{folder}: in LLaVA-NeXT its logits would be others: its class does more behind the "
            f"decoder than its linear head (remedy: {_ANOTHER})"
        )


def same_up_to_rounding(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two results of the same weights, of one shape, differ by rounding alone."""
    import torch

    largest = float(one.float().abs().max())
    tolerance = 1e-5 if one.dtype == torch.float32 else 3e-2
    return float((one.float() - other.float()).abs().max()) <= tolerance * largest
