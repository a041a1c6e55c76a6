"""The options of every command that translates, and the translator they select."""

from __future__ import annotations

import argparse
from pathlib import Path

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser, need_folder
from ndino.data.translation.rejection import TextChecks
from ndino.data.translation.translation import Translation, identity_of
from ndino.data.translation.translator import Translator
from ndino.languages.language import language

TRANSLATORS = ("apertium", "madlad", "transformers")
# Characters in a batch, after which the memory is written. Apertium starts its programs for every batch, so
# its batches are large; a neural model on a CPU takes minutes for 20,000.
BATCH_CHARACTERS = {"apertium": 200_000, "madlad": 20_000, "transformers": 20_000}


def add_translation_arguments(parser: CommandParser) -> None:
    """Add ``--translator``, ``--translator-model``, ``--from-lang`` and ``--lang``.

    A parser that already has ``--lang`` keeps its own.
    """
    group = parser.add_argument_group("translation")
    group.add_argument(
        "--translator",
        choices=TRANSLATORS,
        default="apertium",
        help="madlad: converted MADLAD-400 through CTranslate2, for training data; transformers: the same "
        "model the paper's way, slow; apertium: Debian's rule-based translator, fast, for tests "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--translator-model",
        type=Path,
        metavar="FOLDER",
        help="folder of the model: for madlad what `ndino data convert-madlad` wrote, "
        "for transformers the model as published",
    )
    group.add_argument(
        "--from-lang",
        default="en",
        metavar="CODE",
        help="language of the source's texts (default: %(default)s)",
    )
    parser.keep_former_name("--from", "--from-lang")
    if "--lang" not in parser._option_string_actions:
        group.add_argument(
            "--lang", default="it", metavar="CODE", help="language to translate to (default: %(default)s)"
        )


def translation_identity(args: argparse.Namespace) -> str:
    """What translations depend on, for a shard's settings; loads no model.

    Raises:
        DataError: as `open_translation`.
    """
    return identity_of(_translator(args), _checks(args.lang))


def open_translation(args: argparse.Namespace, memory: Path) -> Translation:
    """The translation that the options select, with its memory in the file ``memory``.

    A model is loaded for the first text that is not in the memory.

    Raises:
        DataError: Apertium, the language pair or the model is missing.
    """
    return Translation(
        _translator(args),
        memory,
        _checks(args.lang),
        batch_characters=BATCH_CHARACTERS[args.translator],
    )


def _translator(args: argparse.Namespace) -> Translator:
    if args.translator == "apertium":
        from ndino.data.translation.engines.apertium import Apertium

        return Apertium(*(language(code).words.get("apertium", code) for code in (args.from_lang, args.lang)))
    if args.translator_model is None:
        raise UsageError(
            f"--translator {args.translator} needs its model (remedy: --translator-model FOLDER; "
            "docs/data/translation.md says how to get it)"
        )
    need_folder(args.translator_model, "docs/data/translation.md says how to get the model")
    if args.translator == "madlad":
        from ndino.data.translation.engines.madlad import Madlad

        return Madlad(args.translator_model, args.lang)
    from ndino.data.translation.engines.transformers_madlad import TransformersMadlad

    return TransformersMadlad(args.translator_model, args.lang)


def _checks(lang: str) -> TextChecks:
    return TextChecks(language(lang).words.get("number_words", {}))
