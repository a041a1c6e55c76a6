"""Machine translation with a memory and checks, as the data commands use it."""

from ndino.data.translation.arguments import (
    add_quality_arguments,
    add_translation_arguments,
    open_translation,
    quality_settings,
    translation_identity,
)
from ndino.data.translation.memory import merge_memories
from ndino.data.translation.translation import Translation
from ndino.data.translation.translator import Translated, Translator

__all__ = [
    "Translated",
    "Translation",
    "Translator",
    "add_quality_arguments",
    "add_translation_arguments",
    "merge_memories",
    "open_translation",
    "quality_settings",
    "translation_identity",
]
