"""The weights of a published model folder, read one tensor at a time."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from ndino.formats.model_folder import saved_name
from ndino.serving.errors import ExportError
from ndino.serving.folders import safetensors_files

# Between these and a name of the tower's, depending on the version of transformers that saved it.
_TOWER, _NESTED = "vision_tower.", "vision_model."


class Weights:
    """The tensors of a model folder by the names that we save, the tower's without ``vision_model.``

    Raises:
        ExportError: the weights are no safetensors.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, tuple[Path, str]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for path in safetensors_files(folder):
            with safe_open(path, framework="pt") as file:
                for stored in file.keys():  # noqa: SIM118 - the file is no dictionary
                    name = _name(stored)
                    self._places[name] = (path, stored)
                    self._shapes[name] = tuple(file.get_slice(stored).get_shape())

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
