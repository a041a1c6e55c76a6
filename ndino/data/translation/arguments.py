"""The options of every command that translates, and the translator they select."""

from __future__ import annotations

import argparse
from pathlib import Path

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser, need_folder, positive
from ndino.data.translation.rejection import TextChecks
from ndino.data.translation.translation import Translation, identity_of
from ndino.data.translation.translator import Translator
from ndino.languages.language import language

# The translators, with the characters in a batch, after which the memory is written. Apertium starts its
# programs for every batch, and a server works on many requests at once, so their batches are large; a neural
# model on a CPU takes minutes for 20,000.
BATCH_CHARACTERS = {
    "apertium": 200_000,
    "madlad": 20_000,
    "transformers": 20_000,
    "llm": 20_000,
    "served": 200_000,
}
REQUESTS = 64  # at a time


def add_translation_arguments(parser: CommandParser) -> None:
    """Add ``--translator`` and its settings, ``--from-lang`` and ``--lang``.

    A parser that already has ``--lang`` keeps its own.
    """
    group = parser.add_argument_group("translation")
    group.add_argument(
        "--translator",
        choices=tuple(BATCH_CHARACTERS),
        default="apertium",
        help="madlad: converted MADLAD-400 through CTranslate2, for training data; transformers: the same "
        "model the paper's way, slow; llm: an instruction-tuned language model, for training data; "
        "served: such a model behind an OpenAI-compatible endpoint (vLLM, llama.cpp); apertium: Debian's "
        "rule-based translator, fast, for tests (default: %(default)s)",
    )
    group.add_argument(
        "--translator-model",
        metavar="MODEL",
        help="for madlad the folder that `ndino data convert-madlad` wrote, for transformers that of the "
        "model as published, for llm a folder or a name on the hub, for served the name that the server has",
    )
    group.add_argument(
        "--translator-url", metavar="URL", help="for served: the endpoint, such as http://localhost:8000/v1"
    )
    group.add_argument(
        "--translator-requests",
        type=positive,
        default=REQUESTS,
        metavar="N",
        help="for served: requests at a time (default: %(default)s)",
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
    return identity_of(_translator(args), _checks(args))


def open_translation(args: argparse.Namespace, memory: Path) -> Translation:
    """The translation that the options select, with its memory in the file ``memory``.

    A model is loaded for the first text that is not in the memory.

    Raises:
        DataError: Apertium, the language pair or the model is missing.
    """
    return Translation(
        _translator(args),
        memory,
        _checks(args),
        batch_characters=BATCH_CHARACTERS[args.translator],
    )


def _translator(args: argparse.Namespace) -> Translator:
    if args.translator == "apertium":
        from ndino.data.translation.engines.apertium import Apertium

        return Apertium(*(language(code).words.get("apertium", code) for code in (args.from_lang, args.lang)))
    if args.translator_model is None:
        raise UsageError(
            f"--translator {args.translator} needs its model (remedy: --translator-model MODEL; "
            "docs/data/translation.md says how to get it)"
        )
    if args.translator in ("llm", "served"):
        return _chat_translator(args)
    folder = need_folder(Path(args.translator_model), "docs/data/translation.md says how to get the model")
    if args.translator == "madlad":
        from ndino.data.translation.engines.madlad import Madlad

        return Madlad(folder, args.lang)
    from ndino.data.translation.engines.transformers_madlad import TransformersMadlad

    return TransformersMadlad(folder, args.lang)


def _chat_translator(args: argparse.Namespace) -> Translator:
    languages = language(args.from_lang), language(args.lang)
    if args.translator == "llm":
        from ndino.data.translation.engines.llm import LanguageModel

        return LanguageModel(args.translator_model, *languages)
    if args.translator_url is None:
        raise UsageError(
            "--translator served needs its server (remedy: --translator-url http://HOST:PORT/v1)"
        )
    from ndino.data.translation.engines.served import ServedModel

    return ServedModel(
        args.translator_url, args.translator_model, *languages, requests=args.translator_requests
    )


def _checks(args: argparse.Namespace) -> TextChecks:
    return TextChecks(language(args.from_lang), language(args.lang))
