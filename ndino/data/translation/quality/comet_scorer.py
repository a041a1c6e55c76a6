"""Score translations with a COMET model that needs no reference, such as COMETKiwi or XCOMET."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from ndino.common.files import fingerprint
from ndino.common.parsing import parse_json, parse_yaml
from ndino.data.errors import DataError
from ndino.data.translation.engines import environments
from ndino.data.translation.quality.scorer import DIGITS

# unbabel-comet wants older versions of these than the rest of the package.
PINS = (
    "unbabel-comet==2.2.7",
    "transformers==4.57.6",
    "tokenizers==0.22.2",
    "huggingface_hub==0.36.2",
    "numpy==1.26.4",
    "protobuf==4.25.9",
    "sentencepiece==0.2.0",  # the last that works with that protobuf
    "setuptools==80.9.0",  # the last with pkg_resources, which torchmetrics imports
    "pytorch-lightning==2.6.6",
    "jsonargparse==3.13.1",
)
SCRIPT = Path(__file__).with_name("comet_process.py")
HPARAMS, CHECKPOINT = "hparams.yaml", "checkpoints/model.ckpt"
# The kinds of models that score a translation by its source alone.
WITHOUT_REFERENCE = ("referenceless_regression_metric", "unified_metric", "xcomet_metric")


class Comet:
    """Scores with the model in ``folder``, by unbabel-comet in an environment of its own.

    The environment is made on the first use, the model loaded for the first text.

    Raises:
        DataError: ``folder`` holds no such model, or the environment cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        for name in (HPARAMS, CHECKPOINT):
            if not (folder / name).is_file():
                raise DataError(
                    f"{folder}: no {name}, so not a COMET model "
                    "(remedy: hf download Unbabel/wmt22-cometkiwi-da --local-dir FOLDER)"
                )
        kind = _kind(folder / HPARAMS)
        if kind not in WITHOUT_REFERENCE:
            raise DataError(
                f"{folder}: a COMET model of the kind {kind!r}, which needs reference translations "
                "(remedy: one without, such as Unbabel/wmt22-cometkiwi-da)"
            )
        self._folder = folder
        self._python = environments.make_environment("comet", PINS)
        self._process: subprocess.Popen[str] | None = None
        self.identity = f"{PINS[0]} {kind} {fingerprint(folder, (HPARAMS, CHECKPOINT))}"

    def score(self, sources: Sequence[str], translations: Sequence[str]) -> list[float]:
        """As `QualityScorer.score`.

        Raises:
            DataError: COMET fails; it has printed the reason.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                # -I: keeps the modules beside the script out of its import path.
                [str(self._python), "-I", str(SCRIPT), str(self._folder.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
            )
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None and received is not None
        try:
            sent.write(json.dumps(list(zip(sources, translations, strict=True))) + "\n")
            sent.flush()
            answer = received.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise DataError(
                f"{self._folder}: COMET failed, see above (remedy: check that memory suffices, and that the "
                "model that it was made from is in the hub's cache)"
            )
        return [round(score, DIGITS) for score in parse_json(answer)]


def _kind(hparams: Path) -> str:
    try:
        return str(parse_yaml(hparams.read_text(encoding="utf-8"))["class_identifier"])
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"{hparams}: names no class_identifier (remedy: download the model again)") from error
