"""Computes the negative log-likelihood that a LLaVA-NeXT model gives to answers to questions about images.

The prompt is by the folder's template where training wrote it (``prompt: chat``); Listing 2 where the
tokenizer has LLaMA 3's markers; else by the model's own chat template.
Only the answer's tokens count, its end token included. Answers that share a prefix (`prefix_sharing.py`) are
packed behind it (`prefix_cache.py`); the others are scored in batches of similar length.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor

from ndino.common.errors import UserError
from ndino.common.images import ImageFaultError, image_size, read_image
from ndino.evaluation.inference.prefix_cache import encode_prefix, packed_attention
from ndino.evaluation.inference.prefix_sharing import PrefixSharing, common_length, prefix_key
from ndino.evaluation.inference.prompting import ImageTokenCounts, image_tensors
from ndino.evaluation.perplexity.answer_sets import AnswerItem
from ndino.formats.chat.foreign import encode_templated
from ndino.formats.chat.prompt import ChatPrompt
from ndino.formats.chat.published import is_published
from ndino.formats.context import context_of
from ndino.formats.image_tokens import widen_image_tokens
from ndino.formats.prompts import (
    IGNORE_INDEX,
    IMAGE_TOKEN,
    PromptError,
    Turn,
    control_tokens,
    encode_llama3,
    has_llama3_markers,
)
from ndino.formats.questions.faults import marker_fault

# exp() of more than this overflows, and JSON has no infinity.
LARGEST_EXPONENT = 700.0
# Suffix tokens behind one prefix at a time; the mask grows with their square.
PACKED_TOKENS = 4096
# Rows of logits at a time; 256 rows of LLaMA 3's vocabulary are 131 MB in float32.
LOGIT_ROWS = 256
# Part of the results' keys. Raise it when a change of this code changes them.
VERSION = 2


class PerplexityError(UserError):
    """A model cannot be used or nothing can be scored; the message says what to change."""


@dataclass(frozen=True)
class Score:
    """One row of the log.

    Attributes:
        nll: negative log-likelihood of the answer in nats, summed over its tokens; None for a skipped row.
        answer_tokens: their number, 0 for a skipped row.
        reason: why a row was skipped: the kind, then a colon and what concerns this row alone.
        content: the item's `content`, by which models' rows are joined; empty in rows of earlier versions.
        image: digest of the encoded image shown; empty where there is none.
        characters: of the answer.
    """

    id: str
    nll: float | None
    answer_tokens: int
    perplexity: float | None
    skipped: bool
    reason: str | None
    content: str = ""
    image: str = ""
    characters: int = 0


@dataclass(frozen=True)
class TokenizedAnswer:
    """An item as ids with one ``<image>``, to be widened to ``features`` tokens; the answer is at the end."""

    item: AnswerItem
    ids: tuple[int, ...]
    features: int
    answer_tokens: int

    @property
    def length(self) -> int:
        """Tokens that the model reads."""
        return len(self.ids) + self.features - 1

    @property
    def prompt(self) -> tuple[int, ...]:
        """The tokens before the answer."""
        return self.ids[: -self.answer_tokens]

    def widened(self, image_id: int) -> list[int]:
        return widen_image_tokens(self.ids, image_id, [self.features])


@dataclass(frozen=True)
class ScoringBatch:
    """Answers that are scored at once: each with its own image, or all behind one shared prefix."""

    answers: tuple[TokenizedAnswer, ...]
    shares_prefix: bool


@dataclass(frozen=True)
class Scorer:
    """A model ready to score answers."""

    model: LlavaNextForConditionalGeneration
    processor: LlavaNextProcessor

    @cached_property
    def context(self) -> int:
        """The most tokens that the model takes, image features included."""
        return context_of(self.model.config.get_text_config().to_dict())

    def __call__(self, items: Sequence[AnswerItem], *, batch: int | None = None) -> list[Score]:
        """Score items with unique ids; those that cannot be scored come back skipped, with the reason."""
        skipped, batches = self.plan(items, batch=batch)
        scores = {score.id: score for score in skipped}
        scores |= {score.id: score for part in batches for score in self.score(part)}
        return [scores[item.id] for item in items]

    def plan(
        self, items: Sequence[AnswerItem], *, batch: int | None = None
    ) -> tuple[list[Score], list[ScoringBatch]]:
        """Divide items into skipped ones and batches; the same items always give the same batches.

        Args:
            batch: how many answers with images of their own are scored at once; by default 8 on a GPU and 1
                on a CPU, where padding only costs time (``benchmarks/perplexity.py``).
        """
        batch = batch or (1 if self.model.device.type == "cpu" else 8)
        skipped, alike = [], defaultdict(list)
        sharing = PrefixSharing.of(self.model)
        for item in items:
            try:
                prepared = self._prepare(item)
            except _SkipError as skip:
                skipped.append(_skipped(item, str(skip)))
            else:
                alike[prefix_key(prepared.ids, [item.digest], sharing.image_token_id)].append(prepared)
        groups, singles = [], []
        for group in alike.values():
            if len(group) > 1 and sharing.blocker([prepared.prompt for prepared in group]) is None:
                groups.append(group)
            else:
                singles += group
        singles.sort(key=lambda prepared: -prepared.length)
        cuts = range(0, len(singles), batch)
        batches = [ScoringBatch(tuple(singles[start : start + batch]), shares_prefix=False) for start in cuts]
        return skipped, batches + [
            ScoringBatch(tuple(part), shares_prefix=True) for group in groups for part in _parts(group)
        ]

    def _prepare(self, item: AnswerItem) -> TokenizedAnswer:
        if item.fault:
            raise _SkipError(item.fault)
        try:
            size = image_size(item.image())
        except ImageFaultError as error:
            raise _SkipError(error.reason) from error
        tokenizer = self.processor.tokenizer
        for text, name in ((item.question, "the question"), (item.answer, "the answer")):
            if (found := marker_fault(text, self._markers, name)) is not None:
                raise _SkipError(f"cannot be asked: {found}")
        try:
            turns = [Turn("user", f"{IMAGE_TOKEN}\n{item.question}"), Turn("assistant", item.answer)]
            if self._chat is not None:
                encoded = self._chat.encode(turns).up_to_the_answer()
            elif has_llama3_markers(tokenizer):
                encoded = encode_llama3(tokenizer, turns, supervision="answer")
            else:
                template: Any = self.processor.chat_template or tokenizer.chat_template
                encoded = encode_templated(tokenizer, template, item.question, item.answer)
        except PromptError as error:
            raise _SkipError(f"cannot be asked: {error}") from error
        answer_tokens = sum(label != IGNORE_INDEX for label in encoded.labels)
        prepared = TokenizedAnswer(item, tuple(encoded.input_ids), self._image_tokens.of(size), answer_tokens)
        if prepared.length > self.context:
            raise _SkipError(
                f"longer than the context: {prepared.length} tokens, "
                f"but the model's context is {self.context}"
            )
        return prepared

    @cached_property
    def _chat(self) -> ChatPrompt | None:
        """The prompt of a model that was trained with ``prompt: chat``."""
        template: Any = self.processor.chat_template
        return ChatPrompt.of(self.processor) if is_published(template or "") else None

    @cached_property
    def _markers(self) -> tuple[str, ...]:
        return control_tokens(self.processor.tokenizer)

    @cached_property
    def _image_tokens(self) -> ImageTokenCounts:
        return ImageTokenCounts(self.processor)

    def score(self, batch: ScoringBatch) -> list[Score]:
        """Score one batch; answers whose image turns out to be truncated are skipped."""
        images, truncated = {}, []
        for prepared in batch.answers:
            if prepared.item.digest not in images:
                try:
                    images[prepared.item.digest] = self._image(prepared.item)
                except ImageFaultError as error:
                    truncated.append(_skipped(prepared.item, error.reason))
        whole = [prepared for prepared in batch.answers if prepared.item.digest in images]
        if not whole:
            return truncated
        if batch.shares_prefix:
            (image,) = images.values()
            losses = self._losses_behind_a_prefix(whole, image)
        else:
            losses = self._losses(whole, [images[prepared.item.digest] for prepared in whole])
        return truncated + [_scored(prepared, nll) for prepared, nll in zip(whole, losses, strict=True)]

    def _image(self, item: AnswerItem) -> dict[str, torch.Tensor]:
        return image_tensors(self.processor.image_processor, read_image(item.image()))

    @torch.inference_mode()
    def _losses(
        self, answers: Sequence[TokenizedAnswer], images: Sequence[dict[str, torch.Tensor]]
    ) -> list[float]:
        """Losses of answers with images of their own: one row each, padded on the right."""
        rows = [prepared.widened(self.model.config.image_token_id) for prepared in answers]
        lengths = torch.tensor([len(ids) for ids in rows])
        padding = rows[0][-1]  # masked, so any id will do except that of <image>
        ids = pad_sequence([torch.tensor(ids) for ids in rows], batch_first=True, padding_value=padding)
        position = torch.arange(ids.shape[1])
        present = position < lengths[:, None]
        starts = lengths - torch.tensor([prepared.answer_tokens for prepared in answers])
        answer = (position >= starts[:, None]) & present
        hidden = self.model.model(
            input_ids=ids.to(self.model.device),
            # Without a mask, attention takes its fast causal path.
            attention_mask=None if bool(present.all()) else present.long().to(self.model.device),
            **self._pixels(images),
            use_cache=False,
        ).last_hidden_state
        # The position before each answer token predicts it.
        nll = self.token_nll(hidden[:, :-1][answer[:, 1:].to(hidden.device)], ids[answer])
        return [float(part.sum()) for part in nll.split([prepared.answer_tokens for prepared in answers])]

    @torch.inference_mode()
    def _losses_behind_a_prefix(
        self, answers: Sequence[TokenizedAnswer], image: dict[str, torch.Tensor]
    ) -> list[float]:
        """Losses of answers that share a prefix, packed into one row behind it."""
        device = self.model.device
        rows = [prepared.widened(self.model.config.image_token_id) for prepared in answers]
        # The token that predicts an answer's first belongs to the suffix.
        shared = common_length(rows, [prepared.answer_tokens + 1 for prepared in answers])
        prefix = encode_prefix(
            self.model,
            {"input_ids": torch.tensor([rows[0][:shared]], device=device), **self._pixels([image])},
        )
        suffixes = [ids[shared:] for ids in rows]
        mask, positions = packed_attention(
            prefix.length, [len(suffix) for suffix in suffixes], self.model.dtype, device
        )
        hidden = self.model.model(
            input_ids=torch.tensor([[token for suffix in suffixes for token in suffix]], device=device),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=prefix.cache,
            use_cache=True,
        ).last_hidden_state[0]
        parts = hidden.split([len(suffix) for suffix in suffixes])
        before = [
            part[-prepared.answer_tokens - 1 : -1] for part, prepared in zip(parts, answers, strict=True)
        ]
        wanted = [
            token
            for suffix, prepared in zip(suffixes, answers, strict=True)
            for token in suffix[-prepared.answer_tokens :]
        ]
        nll = self.token_nll(torch.cat(before), torch.tensor(wanted))
        return [float(part.sum()) for part in nll.split([prepared.answer_tokens for prepared in answers])]

    def _pixels(self, images: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        # Images differ in their number of tiles. The model derives from image_sizes how many are real.
        pixels = pad_sequence([image["pixel_values"][0] for image in images], batch_first=True)
        sizes = torch.cat([image["image_sizes"] for image in images])
        device = self.model.device
        return {"pixel_values": pixels.to(device, self.model.dtype), "image_sizes": sizes.to(device)}

    def token_nll(self, hidden: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of each answer token, in nats.

        Logits of all positions would take most of the memory with a large vocabulary. So they are computed
        for these positions only, and `LOGIT_ROWS` at a time.

        Args:
            hidden: (answer tokens, width), the hidden states that predict them.
            wanted: (answer tokens,), their ids.

        Returns:
            (answer tokens,), float64, on the CPU.
        """
        losses = []
        for part, ids in zip(hidden.split(LOGIT_ROWS), wanted.split(LOGIT_ROWS), strict=True):
            # The head of a divided model may lie on another device.
            logits = self.model.lm_head(part).float()
            losses.append(torch.nn.functional.cross_entropy(logits, ids.to(logits.device), reduction="none"))
        return torch.cat(losses).double().cpu()


class _SkipError(Exception):
    """Why one item cannot be scored."""


def _parts(group: Sequence[TokenizedAnswer]) -> Iterator[list[TokenizedAnswer]]:
    """Parts of a group whose suffixes fit into `PACKED_TOKENS`."""
    part: list[TokenizedAnswer] = []
    tokens = 0
    for prepared in group:
        own = len(prepared.ids)
        if part and tokens + own > PACKED_TOKENS:
            yield part
            part, tokens = [], 0
        part.append(prepared)
        tokens += own
    yield part


def _scored(prepared: TokenizedAnswer, nll: float) -> Score:
    if not math.isfinite(nll):
        return _skipped(prepared.item, "the model's loss is no finite number")
    tokens = prepared.answer_tokens
    perplexity = exponential(nll / tokens)
    return Score(prepared.item.id, nll, tokens, perplexity, False, None, **_of_item(prepared.item))


def _skipped(item: AnswerItem, reason: str) -> Score:
    return Score(item.id, None, 0, None, True, reason, **_of_item(item))


def _of_item(item: AnswerItem) -> dict[str, Any]:
    return {"content": item.content, "image": item.digest, "characters": len(item.answer)}


def exponential(value: float) -> float:
    """exp(), limited to what JSON can hold."""
    return math.exp(min(value, LARGEST_EXPONENT))
