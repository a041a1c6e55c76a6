"""Services that draw a run's curves, by the Trainer's own callbacks."""

from __future__ import annotations

from importlib.util import find_spec

from ndino.formats.recipes import Recipe
from ndino.train.stage import StageError


def require_service(recipe: Recipe) -> None:
    """Check that the service which the recipe reports to is installed.

    Raises:
        StageError: it is not.
    """
    if recipe.report_to != "none" and find_spec(recipe.report_to) is None:
        raise StageError(
            f"report_to: {recipe.report_to}: the package {recipe.report_to} is not installed (remedy: "
            f".venv/bin/python -m pip install {recipe.report_to}, or report_to: none)"
        )
