from __future__ import annotations

import pytest
import torch
from transformers import LlavaNextForConditionalGeneration

TEXTS = [[70, 71, 72], [70, 80], [90, 91, 92, 93]]


@pytest.fixture(scope="module")
def model(tiny_model_folder) -> LlavaNextForConditionalGeneration:
    return LlavaNextForConditionalGeneration.from_pretrained(tiny_model_folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def rows(model) -> list[tuple[list[list[int]], dict[str, torch.Tensor]]]:
    """Two images of 24 and 12 features with two and three prompts, and one prompt without an image."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for number, size in enumerate([(112, 112), (56, 112)]):
        pixels = torch.randn(1, 5 - 2 * number, 3, 56, 56, generator=generator)
        image = {"pixel_values": pixels, "image_sizes": torch.tensor([size])}
        with torch.no_grad():
            (features,) = model.get_image_features(**image, return_dict=True).pooler_output
        start = [60, *[model.config.image_token_id] * len(features), 61]
        made.append(([start + text for text in TEXTS[: 2 + number]], image))
    return [*made, ([[60, 75, 76, 77]], {})]
