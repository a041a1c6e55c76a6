"""mBLIP, the paper's multilingual baseline, for lmms-eval: batched, on CPU or GPU.

    python -m lmms_eval --model mblip --model_args pretrained=Gregor/mblip-mt0-xl --tasks ndino-it

A BLIP-2 prompt must hold one ``<image>`` for each query token; otherwise the model silently answers without
the image. mBLIP's published folder has no such token, so it is added here, and the processor is given the
number of query tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.api.registry import register_model
from PIL.Image import Image
from tqdm import tqdm
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    Blip2ForConditionalGeneration,
    Blip2Processor,
)

from ndino.common.files import key_of
from ndino.common.images import to_rgb
from ndino.evaluation.answer_store import AnswerStore
from ndino.evaluation.inference.generation import cut, ends_of, generation_options
from ndino.evaluation.lmms_eval_adapter.answering import answer_requests, settings_of
from ndino.evaluation.models import Backend, find_model
from ndino.evaluation.provenance import answers_depend_on
from ndino.formats.model_folder import missing_weights
from ndino.formats.prompts import IMAGE_TOKEN

# Part of the keys of stored answers. Raise it when a change of this code changes answers.
VERSION = 2


@register_model("mblip")
class MBlip(lmms):
    """BLIP-2 with an encoder-decoder language model (mBLIP's mT0, or any T5) behind lmms-eval's interface.

    Args:
        pretrained: folder or hub id of a model in Hugging Face format.
        device: ``cpu``, ``cuda``, ``cuda:1``; by default a GPU if there is one.
        dtype: ``float32``, ``bfloat16``; ``auto`` is the weights' own.
        batch_size: questions answered at once.
        answers: folder where answers are stored and looked up; none by default.

    Raises:
        ValueError: the language model has no encoder, weights are missing, or the vocabulary is full.
    """

    def __init__(
        self,
        pretrained: str = "Gregor/mblip-mt0-xl",
        device: str | None = None,
        dtype: str = "auto",
        batch_size: int | str = 1,
        answers: str | None = None,
    ) -> None:
        super().__init__()
        self.accelerator = Accelerator(cpu=device == "cpu" or not torch.accelerator.is_available())
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self._device = torch.device(device) if device else self.accelerator.device
        self.batch_size = int(batch_size)
        config = AutoConfig.from_pretrained(pretrained)
        if not config.text_config.is_encoder_decoder:
            raise ValueError(f"{pretrained}: its language model is decoder-only (use an mT0 mBLIP)")
        self._model, loading = Blip2ForConditionalGeneration.from_pretrained(
            pretrained,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        if missing := missing_weights(loading):
            raise ValueError(f"{pretrained}: {missing} (save the model again)")
        self.processor = Blip2Processor(
            AutoImageProcessor.from_pretrained(pretrained),
            AutoTokenizer.from_pretrained(pretrained, padding_side="right"),
            num_query_tokens=config.num_query_tokens,
        )
        self.tokenizer = self.processor.tokenizer
        image_token_id = self.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if image_token_id >= (rows := self._model.get_input_embeddings().num_embeddings):
            # Resizing the embeddings would tie the head to them again, and mT0's head is a matrix of its own.
            raise ValueError(f"{pretrained}: no room for {IMAGE_TOKEN} in its {rows} embeddings")
        self._model.config.image_token_index = self._model.config.image_token_id = image_token_id
        self._model.to(self._device).eval()
        # Called with the number of questions just answered; without it a progress bar is shown.
        self.on_answered: Callable[[int], object] | None = None
        self.store: AnswerStore | None = None
        self.identity = ""
        if answers:
            backend = Backend("mblip", f"device={self._device},dtype={dtype}")
            found = find_model("", pretrained, backend)
            depends = answers_depend_on(found, backend, f"{type(self).__name__} {VERSION}")
            self.remember(AnswerStore(Path(answers), self._rank), key_of(depends))

    def remember(self, store: AnswerStore, identity: str) -> None:
        """Store answers in ``store`` from now on.

        Args:
            identity: of all that answers depend on besides the questions.
        """
        self.store = store
        self.identity = " ".join(map(str, (identity, self._model.dtype, self._device.type)))

    @property
    def model(self) -> Blip2ForConditionalGeneration:
        return self._model

    @property
    def device(self) -> torch.device:
        return self._device

    def inputs(self, questions: list[str], images: list[Image]) -> dict[str, torch.Tensor]:
        """Ids, mask and pixels of a batch; each row starts with one ``<image>`` for each query token."""
        made = self.processor(
            images=images,
            text=[question.replace(IMAGE_TOKEN, "").strip() for question in questions],
            padding=True,
            return_tensors="pt",
        )
        return made.to(self._device, self._model.dtype)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answer all requests with their generation settings, in their order.

        Raises:
            ValueError: a question does not have exactly one image.
        """
        silent = self.rank != 0 or self.on_answered is not None
        with tqdm(total=len(requests), desc="Answering", disable=silent) as bar:
            return answer_requests(
                self,
                requests,
                self._answer,
                store=self.store,
                identity=self.identity,
                size=self.batch_size,
                on_answered=self.on_answered or bar.update,
            )

    @torch.inference_mode()
    def _answer(self, requests: list[Instance]) -> list[str]:
        settings = settings_of(requests[0])
        questions, images = [], []
        for request in requests:
            context, _, doc_to_visual, doc_id, task, split = request.args
            visuals = doc_to_visual(self.task_dict[task][split][doc_id])
            if len(visuals) != 1:
                raise ValueError(f"{task} document {doc_id}: {len(visuals)} images, mBLIP takes one")
            questions.append(context)
            images.append(to_rgb(visuals[0]))
        output = self._model.generate(**self.inputs(questions, images), **generation_options(settings))
        texts = self.tokenizer.batch_decode(output, skip_special_tokens=True)
        return [cut(text.strip(), ends_of(settings)) for text in texts]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("mblip generates answers")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("mblip answers single questions")
