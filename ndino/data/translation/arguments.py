"""The options of every command that translates, and the translator they select."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser, need_folder, positive
from ndino.data.translation.quality.scorer import QualityScorer
from ndino.data.translation.rejection import TextChecks
from ndino.data.translation.translation import Translation, identity_of
from ndino.data.translation.translator import Translator
from ndino.languages.known.tool_codes import code_for
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
        metavar="N",
        help=f"for served: requests at a time (default: {REQUESTS})",
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
    parser.set_defaults(quality=None)


def add_quality_arguments(parser: CommandParser) -> None:
    """Add ``--quality`` and ``--quality-model``, for a command that also has the translation's options."""
    group = parser.add_argument_group("quality")
    group.add_argument(
        "--quality",
        choices=("back-translation", "comet"),
        help="score every translation and keep the lowest score of a row in it, for `ndino data mix "
        "--min-quality`. back-translation: chrF of the source against its way there and back, by the same "
        "translator; comet: a COMET model that needs no reference, such as COMETKiwi (default: no scores)",
    )
    group.add_argument(
        "--quality-model",
        type=Path,
        metavar="FOLDER",
        help="for comet: the folder with hparams.yaml and checkpoints/model.ckpt, as on the hub",
    )


def quality_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The scorer's identity as ``quality``, for a shard's settings; empty where nothing is scored.

    Raises:
        DataError: the scorer or its translator is missing.
    """
    scorer = _scorer(args)
    return {} if scorer is None else {"quality": scorer.identity}


def translation_identity(args: argparse.Namespace) -> str:
    """What translations depend on, for a shard's settings; loads no model.

    Raises:
        UsageError: an option is given that has no effect, or both languages are the same.
        DataError: as `open_translation`.
    """
    _refuse_unused(args)
    return identity_of(_translator(args, args.from_lang, args.lang), _checks(args))


def open_translation(args: argparse.Namespace, memory: Path) -> Translation:
    """The translation that the options select, with its memory in the file ``memory``.

    A model is loaded for the first text that is not in the memory.

    Raises:
        DataError: Apertium, the language pair or the model is missing.
    """
    return Translation(
        _translator(args, args.from_lang, args.lang),
        memory,
        _checks(args),
        batch_characters=BATCH_CHARACTERS[args.translator],
        scorer=_scorer(args),
        retry=getattr(args, "retry_rejects", False),
    )


def _refuse_unused(args: argparse.Namespace) -> None:
    """Raise UsageError for what would change nothing: whoever gives it expects something else."""
    if args.lang == args.from_lang:
        raise UsageError(
            f"--lang {args.lang}: the texts are in this language already "
            "(remedy: --lang with the language to translate to, --from-lang with theirs)"
        )
    used = {
        "--translator-model": (args.translator_model, args.translator != "apertium"),
        "--translator-url": (args.translator_url, args.translator == "served"),
        "--translator-requests": (args.translator_requests, args.translator == "served"),
    }
    for option, (given, is_used) in used.items():
        if given is not None and not is_used:
            raise UsageError(
                f"{option}: not used by --translator {args.translator} (remedy: leave it out, or another "
                "--translator)"
            )
    if getattr(args, "quality_model", None) is not None and args.quality != "comet":
        raise UsageError(
            "--quality-model: used by --quality comet only (remedy: leave it out, or add --quality comet)"
        )


def _scorer(args: argparse.Namespace) -> QualityScorer | None:
    if args.quality is None:
        return None
    if args.quality == "back-translation":
        from ndino.data.translation.quality.back_translation import BackTranslation

        return BackTranslation(_translator(args, args.lang, args.from_lang))
    from ndino.data.translation.quality.comet_scorer import Comet

    if args.quality_model is None:
        raise UsageError(
            "--quality comet needs its model (remedy: --quality-model FOLDER; "
            "docs/data/translation.md says how to get it)"
        )
    return Comet(need_folder(args.quality_model, "docs/data/translation.md says how to get the model"))


def _translator(args: argparse.Namespace, source: str, target: str) -> Translator:
    if args.translator == "apertium":
        from ndino.data.translation.engines.apertium import Apertium

        labels = TextChecks(language(source), language(target)).labels
        return Apertium(code_for("apertium", source), code_for("apertium", target), labels)
    if args.translator_model is None:
        raise UsageError(
            f"--translator {args.translator} needs its model (remedy: --translator-model MODEL; "
            "docs/data/translation.md says how to get it)"
        )
    if args.translator in ("llm", "served"):
        return _chat_translator(args, source, target)
    folder = need_folder(Path(args.translator_model), "docs/data/translation.md says how to get the model")
    if args.translator == "madlad":
        from ndino.data.translation.engines.madlad import Madlad

        return Madlad(folder, code_for("madlad", target))
    from ndino.data.translation.engines.transformers_madlad import TransformersMadlad

    return TransformersMadlad(folder, code_for("madlad", target))


def _chat_translator(args: argparse.Namespace, source: str, target: str) -> Translator:
    languages = language(source), language(target)
    if args.translator == "llm":
        from ndino.data.translation.engines.llm import LanguageModel

        return LanguageModel(args.translator_model, *languages)
    if args.translator_url is None:
        raise UsageError(
            "--translator served needs its server (remedy: --translator-url http://HOST:PORT/v1)"
        )
    from ndino.data.translation.engines.served import ServedModel

    return ServedModel(
        args.translator_url, args.translator_model, *languages, requests=args.translator_requests or REQUESTS
    )


def _checks(args: argparse.Namespace) -> TextChecks:
    return TextChecks(language(args.from_lang), language(args.lang))
