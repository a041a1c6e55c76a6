"""Checks a converted model against its checkpoint: equal logits with upstream's code, if that is set up."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from ndino.common.errors import SHOWN_REASON, shown
from ndino.common.transformers_types import load_with_report, vision_sizes
from ndino.export.checkpoint import open_checkpoint
from ndino.export.errors import ConversionError
from ndino.export.sample_images import draw_images
from ndino.export.settings import require
from ndino.export.tower import read_tower
from ndino.formats.finite import non_finite_in_model, not_finite
from ndino.formats.prompts import IMAGE_TOKEN

ROOT = Path(__file__).resolve().parents[2]
# In the container image, upstream's tree and environment are not beside our code.
_UPSTREAM = Path(os.environ.get("NDINO_UPSTREAM", ROOT))
UPSTREAM_TREE = _UPSTREAM / "third_party" / "LLaVA-NeXT"
UPSTREAM_PYTHON = _UPSTREAM / ".venv-llava" / "bin" / "python"
UPSTREAM_IMAGE_ID = -200  # IMAGE_TOKEN_INDEX in upstream's llava/constants.py
# Of logits in fp32, in units of their standard deviation where that is above 1. Small models with random
# weights differ by about 4e-7. In trained LLaMAs one channel is a thousand times the others, and equal code
# differs by more: there, the model's own difference between two attention kernels counts, ten times it.
TOLERANCE, KERNELS, LARGEST_TOLERANCE = 1e-4, 10, 1e-2
_AGAIN = "remove it and convert again; if that does not help, report it"
QUESTION = "Che cosa si vede nell'immagine?"
ANSWER = "Un quadrato rosso e due cerchi blu."


@dataclass(frozen=True)
class Verdict:
    """The largest difference of logits for each image; empty if upstream's code is not set up.

    Attributes:
        tolerance: the largest difference that counts as equal (see ``TOLERANCE``).
    """

    differences: dict[str, float]
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        return all(value <= self.tolerance for value in self.differences.values())

    def lines(self) -> list[str]:
        """The verdict as lines of text."""
        if not self.differences:
            return [
                "Names, shapes, ties and a forward pass are right. This is less than comparing logits with "
                f"upstream's code, which needs {UPSTREAM_TREE.name} (make setup LLAVA_NEXT_URL=...)."
            ]
        largest = max(self.differences.values())
        verdict = "equal" if self.passed else "NOT equal"
        return [
            *(f"{name}: largest difference {value:.2e}" for name, value in self.differences.items()),
            f"{verdict}: largest difference of logits {largest:.2e}, tolerance {self.tolerance:.1e} in fp32",
        ]


def upstream_is_there() -> bool:
    """Whether upstream's code and its environment are set up."""
    return (UPSTREAM_TREE / "llava").is_dir() and UPSTREAM_PYTHON.exists()


def verify(src: Path, dst: Path, *, vision_tower: Path | None = None) -> Verdict:
    """Compare the converted model ``dst`` with the checkpoint ``src``, both in fp32 on the CPU.

    If upstream's code is set up, compares the logits at all positions, for a question and its answer about a
    wide, a tall, a square and a small image. Otherwise checks names, shapes, ties and a forward pass.

    Raises:
        ConversionError: weights are missing or unexpected, numbers of tokens differ, or upstream's code
        fails.
    """
    model = _load(dst)
    processor = AutoProcessor.from_pretrained(dst)
    vision, pinpoints = vision_sizes(model.config.vision_config), model.config.image_grid_pinpoints
    assert pinpoints is not None  # the configuration replaces None by its default
    images = draw_images(vision.image_size, pinpoints, vision.patch_size)
    text = processor.apply_chat_template(
        [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]},
            {"role": "assistant", "content": ANSWER},
        ],
        tokenize=False,
    )
    ours = {
        name: processor(images=Image.fromarray(image), text=text, return_tensors="pt")
        for name, image in images.items()
    }
    if not upstream_is_there():
        for name, batch in ours.items():
            if not torch.isfinite(_logits(model, batch)).all():
                raise ConversionError(
                    f"{dst}: the logits of the {name} image are not finite (remedy: train {src} again)"
                )
        return Verdict({})
    ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    image_id = processor.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    ids = torch.tensor([UPSTREAM_IMAGE_ID if token == image_id else token for token in ids])
    tower = read_tower(require(open_checkpoint(src), "mm_vision_tower"), src, vision_tower).source
    # Beside the model, not in /tmp: the logits of long inputs take gigabytes.
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=dst.resolve().parent) as temporary:
        folder = Path(temporary)
        inputs = {f"{name}.image": torch.from_numpy(image) for name, image in images.items()}
        inputs |= {f"{name}.ids": ids.clone() for name in images}
        save_file(inputs, folder / "inputs.safetensors")
        _run_upstream(src, tower, folder)
        found = {
            name: _difference(
                name, load_file(folder / f"{name}.safetensors")["logits"], _logits(model, batch)
            )
            for name, batch in ours.items()
        }
    differences = {name: difference for name, (difference, _) in found.items()}
    scale = max(1.0, *(spread for _, spread in found.values()))
    verdict = Verdict(differences, TOLERANCE * scale)
    if verdict.passed:
        return verdict
    kernels = KERNELS * max(_difference_of_kernels(model, batch) for batch in ours.values())
    return Verdict(differences, min(max(TOLERANCE * scale, kernels), LARGEST_TOLERANCE * scale))


def _load(folder: Path) -> LlavaNextForConditionalGeneration:
    model, report = load_with_report(LlavaNextForConditionalGeneration, folder, dtype=torch.float32)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[what]:
            raise ConversionError(
                f"{folder}: {what.replace('_', ' ')} {sorted(report[what])[:5]} (remedy: {_AGAIN})"
            )
    if ruined := non_finite_in_model(model, folder):
        message = not_finite(ruined)
        raise ConversionError(message)
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    if tied != model.config.tie_word_embeddings:
        raise ConversionError(
            f"{folder}: input and output embeddings are {'' if tied else 'not '}tied, the configuration says "
            f"otherwise (remedy: {_AGAIN})"
        )
    return model.eval()


def _logits(model: LlavaNextForConditionalGeneration, batch) -> torch.Tensor:
    with torch.no_grad():
        return model(**batch).logits[0].float()


def _run_upstream(src: Path, tower: str, folder: Path, attention: str = "sdpa") -> None:
    command = [str(UPSTREAM_PYTHON), "-m", "ndino.llava_next.upstream_logits"]
    command += [str(src.resolve()), str(folder), "--vision-tower", tower, "--attention", attention]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (UPSTREAM_TREE, ROOT))),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(command, cwd=UPSTREAM_TREE, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ConversionError(
            f"{src}: upstream's code fails: {_last_line(done.stderr)} "
            "(remedy: make setup, or without --verify)"
        )


def _last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return shown(lines[-1].strip(), SHOWN_REASON) if lines else "without a message"


def _difference_of_kernels(model: LlavaNextForConditionalGeneration, batch) -> float:
    """The largest difference of logits between two exact ways to compute the same attention."""
    model.set_attn_implementation("sdpa")
    with_sdpa = _logits(model, batch)
    model.set_attn_implementation("eager")
    return (_logits(model, batch) - with_sdpa).abs().max().item()


def _difference(name: str, theirs: torch.Tensor, ours: torch.Tensor) -> tuple[float, float]:
    """The largest difference, and the standard deviation of upstream's logits."""
    if len(theirs) != len(ours):
        raise ConversionError(
            f"the {name} image: {len(ours)} positions here, but {len(theirs)} in upstream "
            "(remedy: give the tower that it was trained with)"
        )
    vocabulary = min(theirs.shape[1], ours.shape[1])
    theirs = theirs[:, :vocabulary]
    return (theirs - ours[:, :vocabulary]).abs().max().item(), theirs.std().item()
