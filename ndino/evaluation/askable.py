"""Which questions a model or backend cannot be asked: found before any weights are loaded."""

from __future__ import annotations

from typing import Any

from ndino.common.errors import UsageError, reason_of
from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from ndino.evaluation.inference.letters import LETTERS
from ndino.evaluation.inference.prompting import ImageTokenCounts, chat_template, prompt_ids
from ndino.evaluation.lmms_eval_adapter.models import model_class
from ndino.evaluation.models import ENDPOINT, Backend, Model
from ndino.evaluation.tasks.framework.preparation import faulty_rows
from ndino.formats.context import context_of
from ndino.formats.prompts import control_tokens
from ndino.formats.questions.faults import marker_fault


def require_askable(model: Model, backend: Backend, benchmarks: Benchmarks) -> None:
    """Check every question of our tasks against a model: control tokens, also of its answer, and, for our
    backend, its length.

    Nothing is checked where the tokenizer cannot be loaded, as loading the model says, or is a server's.

    Raises:
        SetupError: a question or an answer holds a control token, or a question is longer than the
            context; names the rows.
    """
    ours = [name for name in benchmarks.names if benchmarks.task(name).is_ours]
    reader = _Reader.of(model, backend) if ours else None
    if reader is None:
        return
    for name in ours:
        task, sizes = benchmarks.task(name), benchmarks.image_sizes(name)
        faults = []
        for number in range(benchmarks.size(name)):
            reason = reader.fault(task.prompt(number), sizes[number])
            # Perplexity skips such an answer, and no model can give it.
            if reason := reason or task.answer_fault(number, reader.markers, "the answer"):
                faults.append((number, reason))
        if faults:
            named = faulty_rows(task.task.eval_docs, faults)
            raise SetupError(
                f"task {name}: {named} (remedy: correct or remove the row; {model.name} cannot be asked it)"
            )


def require_scoring(backend: Backend, benchmarks: Benchmarks) -> None:
    """Check that a backend can score the tasks as their YAMLs want it.

    Raises:
        SetupError: a YAML says ``scoring: likelihood`` without ``letters``, or has these without saying so.
        UsageError: a task is scored by likelihood, which this backend cannot do.
    """
    stated = {name: benchmarks.index.metadata(name).get("scoring") for name in benchmarks.names}
    scored = [name for name, scoring in stated.items() if scoring == "likelihood"]
    for name in benchmarks.names:
        if (name in scored) != bool(benchmarks.task(name).settings.get(LETTERS)):
            raise SetupError(
                f"task {name}: its YAML has only one of metadata scoring: likelihood and generation_kwargs "
                "letters (remedy: give both or neither)"
            )
    if scored and not getattr(model_class(backend), "scores_letters", False):
        raise UsageError(
            f"{', '.join(scored)}: scored by the likelihood of letters, which {backend.kind} does not report "
            "(remedy: --backend hf, or the task of that name without _likelihood)"
        )


class _Reader:
    """A model's tokenizer and processor."""

    def __init__(self, tokenizer: Any, processor: Any, context: int | None) -> None:
        self.tokenizer, self.context = tokenizer, context
        self.template = chat_template(tokenizer, processor)
        self.markers = control_tokens(tokenizer)
        self.image_tokens = ImageTokenCounts(processor)

    @classmethod
    def of(cls, model: Model, backend: Backend) -> _Reader | None:
        if backend.kind == ENDPOINT:
            return None
        from transformers import AutoConfig, AutoProcessor, AutoTokenizer

        try:
            if backend.kind != "hf":
                return cls(AutoTokenizer.from_pretrained(model.path), None, None)
            processor = AutoProcessor.from_pretrained(model.path)
            context = context_of(AutoConfig.from_pretrained(model.path).get_text_config().to_dict())
            return cls(processor.tokenizer, processor, context)
        except Exception:  # every reader has errors of its own, and loading the model reports them
            return None

    def fault(self, prompt: str, size: tuple[int, int]) -> str | None:
        """Why a question with an image of ``size`` (height, width) cannot be asked."""
        if (found := marker_fault(prompt, self.markers, "the question")) is not None:
            return found
        if self.context is None or self.template is None:
            return None
        try:
            ids = prompt_ids(self.tokenizer, self.template, prompt, 1)
        except ValueError as error:
            return reason_of(error)
        length = len(ids) - 1 + self.image_tokens.of(size)
        # The answer needs a token, too.
        if length >= self.context:
            return (
                f"the question has {length} tokens with its image, but the model's context is {self.context}"
            )
        return None
