"""Translate with MADLAD-400 through CTranslate2, on CPU or GPU: the translator for training data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ndino.common.files import fingerprint
from ndino.data.errors import DataError
from ndino.data.translation.engines.madlad_tokenizer import END, MadladTokenizer, limit_of
from ndino.data.translation.translator import Draft
from ndino.formats.token_batches import batches

FILES = ("model.bin", "*.json", "spiece.model")
BEAM = 4  # ours; the paper does not say
# Tokens in a device batch, padding included: enough to use the hardware well, and CUDA_TOKENS fit on a 16 GB
# GPU with a 3B model in bf16 and beam search.
CPU_TOKENS, CUDA_TOKENS = 2048, 8192
# For rejected texts, repetition is suppressed. Not for the first attempt: correct translations may repeat
# themselves too.
AGAIN = {"no_repeat_ngram_size": 4, "repetition_penalty": 1.2}


class Madlad:
    """Translates to ``lang`` with the converted model in ``folder`` (`ndino data convert-madlad`).

    Texts are sorted by length and split into batches of a bounded number of tokens, so that there is little
    padding and no batch waits long for its longest text. On a CPU, as many batches run in parallel as there
    are threads (``OMP_NUM_THREADS``, by default the cores of the process), with one thread each: that costs
    less CPU time than one batch in many threads. The model is loaded for the first text.

    Raises:
        DataError: ``folder`` holds no converted model, or the model does not know ``lang``.
    """

    def __init__(self, folder: Path, lang: str) -> None:
        if not (folder / "model.bin").is_file():
            raise DataError(
                f"{folder}: no model.bin, so not a model for CTranslate2 "
                f"(remedy: ndino data convert-madlad --model {folder} --out FOLDER)"
            )
        self._folder = folder
        self._pieces = MadladTokenizer(folder, lang)
        self._model: tuple[Any, int] | None = None
        self.identity = f"madlad {fingerprint(folder, FILES)}, to {lang}, beam {BEAM}"

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        """Translations in order; None for one that the limit on its length cut off."""
        return [draft.whole for draft in self.drafts(texts)]

    def translate_again(self, texts: Sequence[str]) -> list[str | None]:
        """As ``translate``, with repetition suppressed."""
        return [draft.whole for draft in self.drafts(texts, **AGAIN)]

    def drafts(self, texts: Sequence[str], **settings: float) -> list[Draft]:
        """What the model writes for each text, with these settings of CTranslate2's ``translate_batch``."""
        model, budget = self._loaded()
        sources = [self._pieces.encode(text) for text in texts]
        running = []
        for batch in batches([len(source) for source in sources], budget):
            waiting = model.translate_batch(
                [sources[i] for i in batch],
                beam_size=BEAM,
                max_input_length=0,  # by default, sources are silently cut at 1,024 tokens
                max_decoding_length=limit_of(max(len(sources[i]) for i in batch)),
                return_end_token=True,
                asynchronous=True,
                **settings,
            )
            running += zip(batch, waiting, strict=True)
        tokens = {i: result.result().hypotheses[0] for i, result in running}
        return [self._draft(tokens[i]) for i in range(len(texts))]

    def _draft(self, tokens: list[str]) -> Draft:
        ended = tokens[-1:] == [END]
        return Draft(self._pieces.decode(tokens[:-1] if ended else tokens), ended)

    def _loaded(self) -> tuple[Any, int]:
        if self._model is None:
            import ctranslate2

            cuda = ctranslate2.get_cuda_device_count() > 0
            threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
            kind = {"device": "cuda"} if cuda else {"inter_threads": threads, "intra_threads": 1}
            try:
                model = ctranslate2.Translator(str(self._folder), **kind)
            except (RuntimeError, ValueError) as error:
                raise DataError(
                    f"{self._folder}: {error} (remedy: convert the model again: ndino data convert-madlad)"
                ) from error
            self._model = model, CUDA_TOKENS if cuda else CPU_TOKENS
        return self._model
