"""LLaVA-NeXT for lmms-eval, on CPU or GPU: questions about one image share a prefix and its KV cache.

    python -m lmms_eval --model llava_next_it --model_args pretrained=FOLDER --tasks ndino-it --batch_size 64

lmms-eval's own ``llava_hf`` answers one question at a time and turns errors into empty answers. This wrapper
gives the same greedy answers in fp32, many at a time, and raises errors. Given a folder for ``answers``, it
stores each batch as soon as it is answered. Like ``llava_hf`` it ignores the ``until`` that lmms-eval fills
in, but obeys one that a task states. Where a task's ``generation_kwargs`` name ``letters``, the answer is the
likeliest of them, in one pass for all letters of all questions of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.api.registry import register_model
from loguru import logger
from PIL import Image
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from ndino.common.files import key_of
from ndino.common.images import to_rgb
from ndino.common.parsing import parse_json
from ndino.evaluation.answer_store import AnswerStore, answer_key, is_repeatable
from ndino.evaluation.inference.batches import (
    Group,
    PromptedQuestion,
    PromptImage,
    batches_of,
    groups_of,
    share_out,
)
from ndino.evaluation.inference.generation import cut, ends_of, generation_options, stop_ids
from ndino.evaluation.inference.greedy import decode, on_model, padded_inputs
from ndino.evaluation.inference.letters import LETTERS, Letter, letters_of, likeliest, written
from ndino.evaluation.inference.likelihood import Choice, log_probabilities
from ndino.evaluation.inference.loading import load_llava_next
from ndino.evaluation.inference.memory import MemoryLimit
from ndino.evaluation.inference.prefix_sharing import PrefixSharing
from ndino.evaluation.inference.prompting import (
    ChatTemplate,
    ImageTokenCounts,
    before_answer,
    chat_template,
    image_tensors,
    prompt_text,
    text_ids,
)
from ndino.evaluation.lmms_eval_adapter.answering import note_images
from ndino.evaluation.models import HF, Backend, find_model
from ndino.evaluation.progress import reading
from ndino.evaluation.provenance import answers_depend_on
from ndino.formats.chat.published import is_published
from ndino.formats.image_tokens import widen_image_tokens

# Part of the keys of stored answers. Raise it when a change of this code changes answers.
VERSION = 3

# Questions at once, by default.
DEFAULT_BATCH = 16

Visuals = Callable[[dict], Sequence[Image.Image]]
Pixels = dict[str, torch.Tensor]


@register_model("llava_next_it")
class LlavaNextIt(lmms):
    """Transformers' LLaVA-NeXT behind lmms-eval's interface.

    Args:
        pretrained: folder or hub id of a model in Hugging Face format.
        device: ``cpu``, ``cuda``, ``cuda:1``; by default a GPU if there is one.
        dtype, attn_implementation, device_map, load_in_8bit, load_in_4bit: see `load_llava_next`. With any
            attention but sdpa and eager, questions are in ordinary batches (see `prefix_sharing.py`).
        batch_size: at most so many questions are answered at once; ``auto`` is 16, or all about one image.
            After running out of memory it is halved.
        answers: folder where answers are stored and looked up; none by default.

    Raises:
        ValueError: see `load_llava_next`; also when there is no chat template.
    """

    # That it answers tasks with ``letters`` by these.
    scores_letters = True

    def __init__(
        self,
        pretrained: str,
        device: str | None = None,
        dtype: str = "auto",
        batch_size: int | str = "auto",
        attn_implementation: str | None = None,
        answers: str | None = None,
        device_map: str | None = None,
        load_in_8bit: bool = False,
        load_in_4bit: bool = False,
    ) -> None:
        super().__init__()
        self.accelerator = Accelerator(cpu=device == "cpu" or not torch.accelerator.is_available())
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self._device = torch.device(device) if device else self.accelerator.device
        self.divides_groups = batch_size != "auto"
        self.batch_size = int(batch_size) if self.divides_groups else DEFAULT_BATCH
        self.memory = MemoryLimit()
        self._model = load_llava_next(
            pretrained,
            self._device,
            dtype=dtype,
            attn_implementation=attn_implementation,
            device_map=device_map,
            load_in_8bit=load_in_8bit,
            load_in_4bit=load_in_4bit,
        )
        self.processor = AutoProcessor.from_pretrained(pretrained)
        self.tokenizer = self.processor.tokenizer
        self.chat_template = self._template(pretrained)
        self.image_token_id = self._model.config.image_token_id
        self.stop_ids = stop_ids(self._model, self.tokenizer)
        self.prefix_sharing = PrefixSharing.of(self._model)
        if blocker := self.prefix_sharing.model_blocker:
            logger.warning(f"{pretrained}: questions about one image share no prefix: {blocker}")
        self.store: AnswerStore | None = None
        self.identity = ""
        # The digests of the images that each question showed, by task and row (`note_images`).
        self.shown_images: dict[str, dict[int, list[str]]] = {}
        # Likewise the log-probabilities of the letters, of questions that are answered by them.
        self.letters: dict[str, dict[int, dict[str, float]]] = {}
        if answers:
            given = (
                f"device={self._device},dtype={dtype},attn_implementation={attn_implementation},"
                f"load_in_8bit={load_in_8bit},load_in_4bit={load_in_4bit}"
            )
            depends = answers_depend_on(
                find_model("", pretrained, HF), Backend("hf", given), f"{type(self).__name__} {VERSION}"
            )
            self.remember(AnswerStore(Path(answers), self._rank), key_of(depends))
        # Called with the number of questions just answered; without it a progress bar is shown.
        self.on_answered: Callable[[int], object] | None = None
        self._warned: set[str] = set()
        self._image_tokens = ImageTokenCounts(self.processor)

    def _template(self, pretrained: str) -> ChatTemplate:
        if (template := chat_template(self.tokenizer, self.processor)) is None:
            raise ValueError(
                f"{pretrained}: has no chat template (remedy: put a chat_template.jinja into its folder)"
            )
        return template

    def remember(self, store: AnswerStore, identity: str) -> None:
        """Store answers in ``store`` from now on.

        Args:
            identity: of all that answers depend on besides the questions.
        """
        self.store = store
        attention = self._model.config.text_config._attn_implementation
        # As loaded, whatever was asked for.
        self.identity = " ".join(map(str, (identity, self._model.dtype, attention, self._device.type)))

    @property
    def model(self) -> LlavaNextForConditionalGeneration:
        return self._model

    @property
    def device(self) -> torch.device:
        return self._device

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answer all requests, in their order.

        lmms-eval gives each of several processes requests of its own. The processes pool these and divide
        them again, so that all questions about an image are answered by the same process.

        Raises:
            RuntimeError: an image cannot be read; names task and document.
            ValueError: a question has more or fewer ``<image>`` markers than images.
        """
        shown = enumerate(reading(requests, silent=self.rank != 0))
        questions = [self._question(f"{self.rank} {place}", request) for place, request in shown]
        visuals = {request.args[4]: request.args[2] for request in requests}
        keys = [question.key for question in questions]
        answers = self.store.find(keys) if self.store else {}
        if answers:
            self._report(sum(key in answers for key in keys))
        missing = {question.key: question for question in questions if question.key not in answers}
        groups = self._own_groups(missing, able=bool(requests))
        with tqdm(total=sum(len(g.questions) for g in groups), desc="Answering", disable=self._silent) as bar:
            batches = batches_of(groups, self.batch_size, divide=self.divides_groups)
            for batch, pixels in self._with_pixels(batches, visuals):
                pairs = zip(batch, pixels, strict=True)
                asked = [(question, shown) for group, shown in pairs for question in group.questions]
                texts = self.memory.run(asked, self._answer_in_order)
                new = {question.key: text for (question, _), text in zip(asked, texts, strict=True)}
                if self.store:
                    self.store.keep({k: text for k, text in new.items() if is_repeatable(batch[0].settings)})
                answers |= new
                self._report(sum(key in new for key in keys))
                bar.update(len(new))
        # The rows that were answered by letters.
        lettered = [(asked.task, asked.doc_id, asked.key) for asked in questions if asked.letters]
        if self._world_size > 1:
            parts = self._gather((answers, self.shown_images, lettered))
            answers = {key: text for part, _, _ in parts for key, text in part.items()}
            for noted in (noted for _, noted, _ in parts):
                for task, rows in noted.items():
                    self.shown_images.setdefault(task, {}).update(rows)
            lettered = [row for _, _, part in parts for row in part]
        for task, doc_id, key in lettered:
            self.letters.setdefault(task, {})[doc_id] = parse_json(answers[key])
        return [
            likeliest(self.letters[question.task][question.doc_id])
            if question.letters
            else answers[question.key]
            for question in questions
        ]

    @property
    def _silent(self) -> bool:
        return self.rank != 0 or self.on_answered is not None

    def _report(self, answered: int) -> None:
        if self.on_answered is not None:
            self.on_answered(answered)

    def _question(self, name: str, request: Instance) -> PromptedQuestion:
        context, settings, doc_to_visual, doc_id, task, split = request.args
        visuals = self._visuals(task, split, doc_id, doc_to_visual)
        digests = note_images(self, task, doc_id, visuals) or []
        images = tuple(map(self._image, visuals, digests))
        trained_so = is_published(self.chat_template.text)
        if len(images) > 1 and not trained_so and task not in self._warned:
            self._warned.add(task)
            logger.warning(
                f"{task}: questions with several images. Training saw each as one square tile, transformers' "
                "processor divides each into tiles: answers may be worse (docs/evaluation.md)"
            )
        try:
            prompt = prompt_text(self.tokenizer, self.chat_template, context, len(images))
            ids = text_ids(self.tokenizer, prompt)
            letters: tuple[Letter, ...] = ()
            if settings.get(LETTERS):
                document = self.task_dict[task][split][doc_id]
                letters = letters_of(self.tokenizer, prompt, ids, self._before_answer, settings, document)
        except ValueError as error:
            raise ValueError(f"{task} document {doc_id}: {error}") from error
        key = name
        if is_repeatable(settings):
            asked = {**settings, LETTERS: [letter for letter, _ in letters]} if letters else settings
            key = answer_key(self.identity, context, [image.digest for image in images], asked)
        return PromptedQuestion(key, task, split, doc_id, tuple(ids), images, settings, letters)

    @cached_property
    def _before_answer(self) -> str:
        return before_answer(self.tokenizer, self.chat_template)

    def _visuals(self, task: str, split: str, doc_id: int, doc_to_visual: Visuals) -> Sequence[Image.Image]:
        try:
            # Ours are in RGB. Those of other people's tasks may be transparent.
            return [to_rgb(image) for image in doc_to_visual(self.task_dict[task][split][doc_id])]
        except (OSError, SyntaxError) as error:
            raise RuntimeError(f"{task} document {doc_id}: its image cannot be read ({error})") from error

    def _image(self, image: Image.Image, digest: str) -> PromptImage:
        size = (image.height, image.width)
        return PromptImage(digest, size, self._image_tokens.of(size))

    def _own_groups(self, missing: dict[str, PromptedQuestion], *, able: bool) -> list[Group]:
        """The groups that this process answers; it is not ``able`` to read documents without any request."""
        if self._world_size == 1:
            return groups_of(missing.values(), self.image_token_id)
        shown = self._gather((missing, able))
        everyone = {key: question for part, _ in shown for key, question in part.items()}
        workers = [rank for rank, (_, reads) in enumerate(shown) if reads]
        shares = share_out(groups_of(everyone.values(), self.image_token_id), len(workers))
        return dict(zip(workers, shares, strict=True)).get(self._rank, [])

    def _gather(self, part: Any) -> list[Any]:
        parts = [None] * self._world_size
        torch.distributed.all_gather_object(parts, part)
        return parts

    def _with_pixels(
        self, batches: Iterable[list[Group]], visuals: dict[str, Visuals]
    ) -> Iterator[tuple[list[Group], list[Pixels]]]:
        """Batches with the pixels of their groups; a thread prepares the next while one is answered."""
        with ThreadPoolExecutor(max_workers=1) as worker:
            before: tuple[list[Group], Future] | None = None
            for batch in batches:
                made = worker.submit(lambda groups: [self._pixels(g, visuals) for g in groups], batch)
                if before:
                    yield before[0], before[1].result()
                before = batch, made
            if before:
                yield before[0], before[1].result()

    def _pixels(self, group: Group, visuals: dict[str, Visuals]) -> Pixels:
        first = group.questions[0]
        if not first.images:
            return {}
        images = self._visuals(first.task, first.split, first.doc_id, visuals[first.task])
        process = self.processor.image_processor
        tiles = [image_tensors(process, image)["pixel_values"][0] for image in images]
        sizes = torch.tensor([image.size for image in first.images])
        return {"pixel_values": pad_sequence(tiles, batch_first=True), "image_sizes": sizes}

    def _answer_in_order(self, asked: Sequence[tuple[PromptedQuestion, Pixels]]) -> list[str]:
        """The answers to questions with the pixels of their groups, in order; a group may be incomplete."""
        parts = [list(part) for _, part in groupby(asked, key=lambda item: id(item[1]))]
        groups = [Group(tuple(question for question, _ in part)) for part in parts]
        answers = self._answer(groups, [part[0][1] for part in parts])
        return [answers[question.key] for question, _ in asked]

    def _answer(self, batch: Sequence[Group], pixels: Sequence[Pixels]) -> dict[str, str]:
        settings = batch[0].settings
        questions = [question for group in batch for question in group.questions]
        if questions[0].letters:
            return self._choose(batch, pixels)
        ends = ends_of(settings)
        if self.prefix_sharing.blocker([question.ids for question in questions], settings) is None:
            answers = decode(
                self._model,
                [[self._widen(question) for question in group.questions] for group in batch],
                pixels,
                stop_ids=self.stop_ids,
                max_new_tokens=generation_options(settings)["max_new_tokens"],
                stops=lambda ids: bool(ends) and cut(text := self._text(ids), ends) != cut(text, ()),
            )
            new = [ids for row in answers for ids in row]
        else:
            repeated = [shown for group, shown in zip(batch, pixels, strict=True) for _ in group.questions]
            new = self._generate(questions, repeated, settings)
        return {q.key: cut(self._text(ids), ends) for q, ids in zip(questions, new, strict=True)}

    def _choose(self, batch: Sequence[Group], pixels: Sequence[Pixels]) -> dict[str, str]:
        """The log-probabilities of the letters, written as the texts that the store of answers takes."""
        questions = [question for group in batch for question in group.questions]
        values = log_probabilities(
            self._model,
            [
                [
                    Choice(self._widen(question), [ids for _, ids in question.letters])
                    for question in group.questions
                ]
                for group in batch
            ],
            pixels,
            filler=self.stop_ids[0],
            shares=self.prefix_sharing.blocker([question.ids for question in questions]) is None,
        )
        found = (own for row in values for own in row)
        return {q.key: written(q.letters, own) for q, own in zip(questions, found, strict=True)}

    def _text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    @torch.inference_mode()
    def _generate(
        self, questions: Sequence[PromptedQuestion], pixels: Sequence[Pixels], settings: dict[str, Any]
    ) -> list[list[int]]:
        inputs = padded_inputs([self._widen(question) for question in questions], pixels, self.stop_ids[0])
        output = self._model.generate(
            **on_model(inputs, self._model),
            **generation_options(settings),
            pad_token_id=self.stop_ids[0],
            eos_token_id=self.stop_ids,
        )
        return output[:, inputs["input_ids"].shape[1] :].tolist()

    def _widen(self, question: PromptedQuestion) -> list[int]:
        counts = (image.tokens for image in question.images)
        return widen_image_tokens(question.ids, self.image_token_id, counts)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("llava_next_it generates answers; for perplexity use `ndino perplexity`")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("llava_next_it answers single questions")
