"""Batched LLaVA-NeXT for lmms-eval, on CPU or GPU.

    python -m lmms_eval --model llava_next_it --model_args pretrained=FOLDER --tasks ndino-it --batch_size 64

lmms-eval's own ``llava_hf`` answers one question at a time and turns an error into an empty answer. This
wrapper gives the same greedy answers in fp32 (as there, ``until`` plays no part), in left-padded batches of
questions of similar length; what fails, fails.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.api.registry import register_model
from PIL.Image import Image
from tqdm import tqdm
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from ndino.evaluation.generation import generation_options
from ndino.prompts import END_OF_TURN, IMAGE_TOKEN, LLAMA3_CHAT_TEMPLATE, START_HEADER

# Processed pictures are kept for questions to come up to this many bytes.
PICTURE_CACHE_BYTES = 256 * 1024**2


class Picture(NamedTuple):
    """``pixels``: float (tiles, 3, side, side); ``size``: height, width; ``tokens``: features it becomes."""

    pixels: torch.Tensor
    size: tuple[int, int]
    tokens: int


class Question(NamedTuple):
    """One request: its place among the requests, the text, and what leads to its pictures."""

    place: int
    context: str
    doc_to_visual: Callable[[dict], Sequence[Image]]
    doc_id: int
    task: str
    split: str


@register_model("llava_next_it")
class LlavaNextIt(lmms):
    """Transformers' LLaVA-NeXT behind lmms-eval's interface.

    Args:
        pretrained: folder or hub id of a model in Hugging Face format.
        device: ``cpu``, ``cuda``, ``cuda:1``; by default a GPU where there is one.
        dtype: ``float32``, ``bfloat16``, ``float16``; ``auto`` is what the weights are saved in.
        batch_size: questions answered at once.
        attn_implementation: as in transformers.

    Raises:
        ValueError: weights are missing, or there is no chat template.
    """

    def __init__(
        self,
        pretrained: str,
        device: str | None = None,
        dtype: str = "auto",
        batch_size: int | str = 16,
        attn_implementation: str | None = None,
    ) -> None:
        super().__init__()
        self.accelerator = Accelerator(cpu=device == "cpu")
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self._device = torch.device(device) if device else self.accelerator.device
        self.batch_size = int(batch_size)
        self._model, loading = LlavaNextForConditionalGeneration.from_pretrained(
            pretrained,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            attn_implementation=attn_implementation,
            output_loading_info=True,
        )
        # Transformers draws missing weights at random and goes on.
        if missing := sorted(loading["missing_keys"]):
            raise ValueError(f"{pretrained}: {len(missing)} weights are missing, {missing[0]} among them")
        self._model.to(self._device).eval()
        self.processor = AutoProcessor.from_pretrained(pretrained)
        self.tokenizer = self.processor.tokenizer
        self.chat_template = self.tokenizer.chat_template or self._default_template(pretrained)
        self.image_token_id = self._model.config.image_token_id
        self.stop_ids = self._stop_ids()
        # Called with the number of questions just answered; without it a progress bar is shown.
        self.on_answered: Callable[[int], None] | None = None
        self._pictures: OrderedDict[bytes, Picture] = OrderedDict()
        self._picture_bytes = 0
        self._tokens_of_size: dict[tuple[int, int], int] = {}

    def _default_template(self, pretrained: str) -> str:
        known = self.tokenizer.get_vocab()
        if START_HEADER in known and END_OF_TURN in known:
            return LLAMA3_CHAT_TEMPLATE
        raise ValueError(f"{pretrained}: the tokenizer has no chat template (save the model with one)")

    def _stop_ids(self) -> list[int]:
        stated = self._model.generation_config.eos_token_id
        stated = stated if isinstance(stated, list) else [stated]
        return sorted({i for i in (*stated, self.tokenizer.eos_token_id) if i is not None})

    @property
    def model(self) -> LlavaNextForConditionalGeneration:
        return self._model

    @property
    def device(self) -> torch.device:
        return self._device

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answer all requests; the answers come in the requests' order.

        Raises:
            RuntimeError: a picture cannot be read; the message names task and document.
            ValueError: a question's ``<image>`` markers and its pictures are not equally many.
        """
        answers: list[str | None] = [None] * len(requests)
        bar = tqdm(
            total=len(requests), desc="Answering", disable=self.rank != 0 or self.on_answered is not None
        )
        for settings, batch in self._batches(requests):
            for question, answer in zip(batch, self._answer(batch, settings), strict=True):
                answers[question.place] = answer
            bar.update(len(batch))
            if self.on_answered is not None:
                self.on_answered(len(batch))
        bar.close()
        return answers

    def _batches(self, requests: list[Instance]) -> Iterator[tuple[dict[str, Any], list[Question]]]:
        """Questions with equal generation settings, long ones first: memory runs out at once or never."""
        groups: dict[str, list[Question]] = defaultdict(list)
        for place, request in enumerate(requests):
            context, settings, doc_to_visual, doc_id, task, split = request.args
            key = json.dumps(settings, sort_keys=True)
            groups[key].append(Question(place, context, doc_to_visual, doc_id, task, split))
        for key, questions in groups.items():
            questions.sort(key=lambda question: -len(question.context))
            for start in range(0, len(questions), self.batch_size):
                yield json.loads(key), questions[start : start + self.batch_size]

    @torch.inference_mode()
    def _answer(self, batch: Sequence[Question], settings: dict[str, Any]) -> list[str]:
        pictures = [self._load(question) for question in batch]
        inputs = self._inputs(batch, pictures)
        output = self._model.generate(
            **inputs,
            **generation_options(settings),
            pad_token_id=self.stop_ids[0],
            eos_token_id=self.stop_ids,
        )
        new = output[:, inputs["input_ids"].shape[1] :]
        return self.tokenizer.batch_decode(new, skip_special_tokens=True)

    def _load(self, question: Question) -> list[Picture]:
        try:
            visuals = question.doc_to_visual(self.task_dict[question.task][question.split][question.doc_id])
        except (OSError, SyntaxError) as error:
            where = f"{question.task} document {question.doc_id}"
            raise RuntimeError(f"{where}: its picture cannot be read ({error})") from error
        return [self._picture(image) for image in visuals]

    def _picture(self, image: Image) -> Picture:
        content = f"{image.mode}{image.size}".encode() + image.tobytes()
        key = hashlib.blake2b(content, digest_size=16).digest()
        if key in self._pictures:
            self._pictures.move_to_end(key)
            return self._pictures[key]
        size = (image.height, image.width)
        if size not in self._tokens_of_size:
            widened = self.processor(text=IMAGE_TOKEN, images=[image], return_tensors="pt")["input_ids"]
            self._tokens_of_size[size] = int((widened == self.image_token_id).sum())
        pixels = self.processor.image_processor([image], return_tensors="pt")["pixel_values"][0]
        picture = Picture(pixels, size, self._tokens_of_size[size])
        self._pictures[key] = picture
        self._picture_bytes += pixels.nbytes
        while self._picture_bytes > PICTURE_CACHE_BYTES:
            self._picture_bytes -= self._pictures.popitem(last=False)[1].pixels.nbytes
        return picture

    def _inputs(self, batch: Sequence[Question], pictures: list[list[Picture]]) -> dict[str, torch.Tensor]:
        texts = [self._prompt(q, len(shown)) for q, shown in zip(batch, pictures, strict=True)]
        bos = self.tokenizer.bos_token
        encoded = self.tokenizer(texts, add_special_tokens=not (bos and texts[0].startswith(bos)))[
            "input_ids"
        ]
        rows = [self._widen(ids, shown) for ids, shown in zip(encoded, pictures, strict=True)]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.stop_ids[0])
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, longest - len(row) :] = torch.tensor(row)
            mask[i, longest - len(row) :] = 1
        inputs = {"input_ids": ids, "attention_mask": mask}
        if shown := [picture for row in pictures for picture in row]:
            tiles = max(len(picture.pixels) for picture in shown)
            pixels = shown[0].pixels.new_zeros(len(shown), tiles, *shown[0].pixels.shape[1:])
            for i, picture in enumerate(shown):
                pixels[i, : len(picture.pixels)] = picture.pixels
            inputs["pixel_values"] = pixels.to(self._model.dtype)
            inputs["image_sizes"] = torch.tensor([picture.size for picture in shown])
        return {name: value.to(self._device) for name, value in inputs.items()}

    def _prompt(self, question: Question, pictures: int) -> str:
        context = question.context
        if IMAGE_TOKEN not in context and pictures:
            context = " ".join([IMAGE_TOKEN] * pictures) + "\n" + context
        if context.count(IMAGE_TOKEN) != pictures:
            where = f"{question.task} document {question.doc_id}"
            raise ValueError(f"{where}: {context.count(IMAGE_TOKEN)} {IMAGE_TOKEN} for {pictures} pictures")
        return self.tokenizer.apply_chat_template(
            [{"role": "user", "content": context}],
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=True,
        )

    def _widen(self, ids: list[int], pictures: list[Picture]) -> list[int]:
        remaining = iter(pictures)
        widened: list[int] = []
        for token in ids:
            widened += [token] * (next(remaining).tokens if token == self.image_token_id else 1)
        return widened

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("llava_next_it generates answers; for perplexity see evaluate_ppl.py")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("llava_next_it answers single questions")
