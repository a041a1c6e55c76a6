"""Translate with MADLAD-400 as the paper did, for comparison: transformers, batches of four in text order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.files import fingerprint
from ndino.data.errors import DataError
from ndino.data.translation.engines.madlad import BEAM
from ndino.data.translation.engines.madlad_tokenizer import MadladTokenizer, limit_of
from ndino.data.translation.translator import Draft

FILES = ("*.safetensors", "*.json", "spiece.model")
BATCH = 4  # the paper, section 3.2


class TransformersMadlad:
    """Translates to ``lang`` with the published model in ``folder``, which is loaded for the first text.

    Raises:
        DataError: ``folder`` holds no such model, or the model does not know ``lang``.
    """

    def __init__(self, folder: Path, lang: str) -> None:
        if not (folder / "config.json").is_file() or (folder / "model.bin").is_file():
            raise DataError(
                f"{folder}: not a model of transformers (remedy: the folder that convert-madlad read)"
            )
        self._folder = folder
        self._pieces = MadladTokenizer(folder, lang)
        self._model: Any = None
        self.identity = f"madlad by transformers {fingerprint(folder, FILES)}, to {lang}, beam {BEAM}"

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        """Translations in order; None for one that the limit on its length cut off."""
        return [draft.whole for draft in self.drafts(texts)]

    def drafts(self, texts: Sequence[str]) -> list[Draft]:
        """What the model writes for each text."""
        import torch

        model = self._loaded()
        done: list[Draft] = []
        for start in range(0, len(texts), BATCH):
            sources = [self._pieces.encode_ids(text) for text in texts[start : start + BATCH]]
            longest = max(map(len, sources))
            ids = torch.full((len(sources), longest), model.config.pad_token_id)
            for row, source in zip(ids, sources, strict=True):
                row[: len(source)] = torch.tensor(source)
            lengths = torch.tensor([[len(source)] for source in sources])
            found = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=(torch.arange(longest) < lengths).to(model.device),
                num_beams=BEAM,
                early_stopping=True,  # CTranslate2 ends a beam search in the same way
                max_new_tokens=limit_of(longest),
            )
            # The first id is the decoder's start token.
            end = model.config.eos_token_id
            done += [Draft(self._pieces.decode_ids(row[1:]), end in row[1:]) for row in found.tolist()]
        return done

    def _loaded(self) -> Any:
        if self._model is None:
            import torch
            from transformers import T5ForConditionalGeneration

            cuda = torch.cuda.is_available()
            try:
                model: Any = T5ForConditionalGeneration.from_pretrained(
                    self._folder, dtype=torch.bfloat16 if cuda else torch.float32
                )
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{self._folder}: {reason_of(error)} (remedy: download the model again)"
                ) from error
            # Some versions before 5.23 load the output head into the encoder if a checkpoint stores only the
            # decoder's embeddings (transformers issue #48154), and translate to noise.
            if not torch.equal(model.encoder.embed_tokens.weight, model.decoder.embed_tokens.weight):
                raise DataError(
                    f"{self._folder}: this version of transformers loads it wrongly "
                    "(remedy: pip install 'transformers>=5.23')"
                )
            self._model = model.eval().to("cuda" if cuda else "cpu")
        return self._model
