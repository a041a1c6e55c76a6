"""The weights of a published model folder, read one tensor at a time."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ndino.common.errors import reason_of
from ndino.formats.model_folder import saved_name
from ndino.formats.model_kinds import weight_files
from ndino.serving.errors import ExportError

# Between these and a name of the tower's, depending on the version of transformers that saved it.
_TOWER, _NESTED = "vision_tower.", "vision_model."


class Weights:
    """The tensors of a model folder by the names that we save, the tower's without ``vision_model.``

    Raises:
        ExportError: the weights are no safetensors, or a file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, tuple[Path, str]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for path in weight_files(folder):
            if path.suffix != ".safetensors":
                raise ExportError(
                    f"{path}: weights in this format are not exported (remedy: load the model with "
                    "transformers and save it again, which writes safetensors)"
                )
            try:
                with safe_open(path, framework="pt") as file:
                    for stored in file.keys():  # noqa: SIM118 - the file is no dictionary
                        name = _name(stored)
                        self._places[name] = (path, stored)
                        self._shapes[name] = tuple(file.get_slice(stored).get_shape())
            except SafetensorError as error:
                raise ExportError(
                    f"{path}: damaged: {reason_of(error)} (remedy: copy the model again)"
                ) from error

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def below(self, prefix: str) -> list[str]:
        """The names that begin with ``prefix``, without it."""
        return sorted(name.removeprefix(prefix) for name in self._places if name.startswith(prefix))

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape.

        Raises:
            ExportError: the folder has no such weight.
        """
        if name not in self._shapes:
            raise ExportError(f"{self.folder}: has no weight {name} (remedy: copy the model again)")
        return self._shapes[name]

    def read(self, name: str) -> torch.Tensor:
        """A tensor as it is stored."""
        path, stored = self._places[name]
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(stored)


def _name(stored: str) -> str:
    name = saved_name(stored)
    return _TOWER + name.removeprefix(_TOWER).replace(_NESTED, "") if name.startswith(_TOWER) else name
