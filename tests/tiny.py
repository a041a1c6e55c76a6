"""A random LLaVA-NeXT with real parts, small enough to be written and run in a second."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from ndino.formats import model_folder
from ndino.formats.prompts import BEGIN_OF_TEXT, END_OF_TURN, IMAGE_TOKEN, MARKERS

SIDE, PATCH = 56, 28
PINPOINTS = [[112, 112], [56, 112], [112, 56]]
CORPUS = [
    "user assistant",
    "Di che colore è il quadrato? Rispondi utilizzando una sola parola o frase.",
    "Quanti cerchi ci sono? C'è un triangolo rosso nell'immagine? Sì. No. tre blu verde giallo",
    "Rispondi utilizzando la lettera dell'opzione corretta. A. un cane B. un gatto C. una stella D. l'orso",
]


def tiny_tokenizer(*, base: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 400 tokens with LLaMA 3's markers, ``<image>`` and a pad token; it adds no BOS.

    ``base``: as that of a language model, without ``<image>`` and pad token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[*MARKERS, *(() if base else (IMAGE_TOKEN, model_folder.PAD_TOKEN))],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN_OF_TEXT,
        eos_token=END_OF_TURN,
        **({} if base else {"pad_token": model_folder.PAD_TOKEN, "additional_special_tokens": [IMAGE_TOKEN]}),
    )


def write_tiny_model(folder: Path, *, seed: int) -> Path:
    """Write model, tokenizer and processor to ``folder`` and return it; weights follow from ``seed``."""
    tokenizer = tiny_tokenizer()
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
            projection_dim=32,
        ),
        text_config=LlamaConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            vocab_size=448,
            max_position_embeddings=4096,
            tie_word_embeddings=False,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            # Transformers' 0.02 makes so small a model blind: images would not move a single answer.
            initializer_range=0.5,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = LlavaNextForConditionalGeneration(config)
    model.generation_config = model_folder.settle_ending(tokenizer, "llama3")
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=PINPOINTS,
    )
    processor = model_folder.build_processor(tokenizer, image_processor, patch_size=PATCH)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
