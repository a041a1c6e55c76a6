"""A random T5 of MADLAD's shape, laid out as the hub has it, with a sentencepiece model of its own."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import ctranslate2
import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

CORPUS = [
    "How many dogs are in the picture? Two dogs are in the picture.",
    "What is the colour of the car? The car is red and the sky is blue.",
    "Quanti cani ci sono nella foto? Ci sono due cani nella foto.",
    "Di che colore è la macchina? La macchina è rossa e il cielo è blu.",
    "Options: A. a man B. a woman C. a child. Answer: B. 0 1 2 3 4 5 6 7 8 9",
]
# MADLAD's: the decoder starts with <unk>, and what pads is <s>.
UNKNOWN, PAD, END = 0, 1, 2


def write_sentencepiece(path: Path, *, size: int = 400, corpus: list[str] | None = None) -> int:
    """Train a model with the tags <2it> and <2es>; returns the number of its pieces."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus or CORPUS * 4),
        model_writer=made,
        vocab_size=size,
        hard_vocab_limit=False,
        unk_id=UNKNOWN,
        bos_id=PAD,
        eos_id=END,
        user_defined_symbols=["<2it>", "<2es>"],
        byte_fallback=True,
        minloglevel=2,
    )
    path.write_bytes(made.getvalue())
    return sentencepiece.SentencePieceProcessor(model_file=str(path)).vocab_size()


def write_madlad(
    folder: Path,
    *,
    seed: int = 0,
    pieces: int = 400,
    padding: int = 8,
    corpus: list[str] | None = None,
    **shape: int,
) -> Path:
    """Write a model folder as google/madlad400-3b-mt is laid out, float32; weights follow from ``seed``.

    Like there, the embeddings are stored as the decoder's and the head is its own; they are padded, here by
    ``padding`` rows above the number of pieces.
    """
    folder.mkdir(parents=True)
    size = write_sentencepiece(folder / "spiece.model", size=pieces, corpus=corpus)
    settings = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 2} | shape
    config = T5Config(
        vocab_size=size + padding,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=UNKNOWN,
        pad_token_id=PAD,
        eos_token_id=END,
        **settings,
    )
    torch.manual_seed(seed)
    made = T5ForConditionalGeneration(config)
    weights = {name: value for name, value in made.state_dict().items() if "embed_tokens" not in name}
    weights["decoder.embed_tokens.weight"] = weights.pop("shared.weight")
    # Drawn again: transformers 5 ties it in a new model. Logits spread by about 3, as a trained model's.
    weights["lm_head.weight"] = torch.randn_like(weights["lm_head.weight"]) * 3 / config.d_model**0.5
    save_file(
        {name: value.contiguous().clone() for name, value in weights.items()}, folder / "model.safetensors"
    )
    written = config.to_dict() | {
        "tie_word_embeddings": False,
        "architectures": ["T5ForConditionalGeneration"],
    }
    for left in ("scale_decoder_outputs", "transformers_version", "dtype"):
        written.pop(left, None)
    (folder / "config.json").write_text(json.dumps(written | {"torch_dtype": "float32"}, indent=2))
    tokenizer = {
        "tokenizer_class": "T5Tokenizer",
        "extra_ids": 0,
        "additional_special_tokens": [],
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2))
    return folder


class Converter(ctranslate2.converters.TransformersConverter):
    """Converts under the transformers of this environment, as the command does under an older one."""

    untied = True

    def load_model(self, model_class, folder, **settings):
        model = super().load_model(model_class, folder, **settings)
        # Where transformers 5 says that these weights are tied, CTranslate2 scales the scores.
        model.config.tie_word_embeddings = not self.untied
        return model

    def load_tokenizer(self, tokenizer_class, folder, **settings):
        pieces = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/spiece.model")
        names = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
        return SimpleNamespace(
            get_vocab=lambda: names,
            convert_ids_to_tokens=pieces.id_to_piece,
            pad_token="<s>",
            bos_token="<s>",
            eos_token="</s>",
            unk_token="<unk>",
        )


class WrongConverter(Converter):
    """As CTranslate2's own does it under transformers 5."""

    untied = False


def convert(folder: Path, out: Path, *, quantization: str = "float32", converter: type = Converter) -> Path:
    """``folder`` for CTranslate2, in ``out``."""
    converter(str(folder), copy_files=["spiece.model"]).convert(str(out), quantization=quantization)
    return out
