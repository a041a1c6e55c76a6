"""MADLAD-400 the paper's way, for comparison: transformers, batches of four in the order of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ndino.common.errors import reason_of
from ndino.common.files import fingerprint
from ndino.data.errors import DataError
from ndino.data.translation.engines.madlad import BEAM
from ndino.data.translation.engines.madlad_tokenizer import MadladTokenizer, limit_of

FILES = ("*.safetensors", "*.json", "spiece.model")
BATCH = 4  # the paper, section 3.2


class TransformersMadlad:
    """The model as published in ``folder``, translating to ``lang``; loaded with the first text.

    Raises DataError where ``folder`` holds no such model or the model does not know ``lang``.
    """

    def __init__(self, folder: Path, lang: str) -> None:
        if not (folder / "config.json").is_file() or (folder / "model.bin").is_file():
            raise DataError(
                f"{folder}: no model of transformers (remedy: give the folder that convert-madlad was given)"
            )
        self._folder = folder
        self._pieces = MadladTokenizer(folder, lang)
        self._model = None
        self.identity = f"madlad by transformers {fingerprint(folder, FILES)}, to {lang}, beam {BEAM}"

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translations in order."""
        import torch

        model = self._loaded()
        done: list[str] = []
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
                early_stopping=True,  # as CTranslate2 ends a beam search
                max_new_tokens=limit_of(longest),
            )
            # The first id is the one that starts the decoder.
            done += [self._pieces.decode_ids(row[1:]) for row in found.tolist()]
        return done

    def _loaded(self):
        if self._model is None:
            import torch
            from transformers import T5ForConditionalGeneration

            cuda = torch.cuda.is_available()
            try:
                model = T5ForConditionalGeneration.from_pretrained(
                    self._folder, dtype=torch.bfloat16 if cuda else torch.float32
                )
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{self._folder}: {reason_of(error)} (remedy: fetch the model again)"
                ) from error
            # Some versions before 5.23 put the output head into the encoder of a checkpoint that stores the
            # decoder's embeddings only (transformers issue #48154), and translate to noise.
            if not torch.equal(model.encoder.embed_tokens.weight, model.decoder.embed_tokens.weight):
                raise DataError(
                    f"{self._folder}: this version of transformers loads it wrongly "
                    "(remedy: pip install 'transformers>=5.23')"
                )
            self._model = model.eval().to("cuda" if cuda else "cpu")
        return self._model
