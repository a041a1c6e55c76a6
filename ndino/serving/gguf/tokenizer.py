"""The tokenizer's fields: vocabulary, kinds of tokens, merges, and the name of its way to split text.

llama.cpp does not read a tokenizer's regular expression: it has its own for each name that it knows
(``src/llama-vocab.cpp`` there). A tokenizer that splits in another way is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from ndino.common.errors import shown
from ndino.formats.model_kinds import read_json_object
from ndino.serving.errors import ExportError

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN = _LLAMA3.replace("{1,3}", "")
# By pattern and ignore_merges, whether a word that is in the vocabulary is taken whole. smaug-bpe splits as
# llama-bpe does, and always merges.
_NAMES = {
    (_LLAMA3, True): "llama-bpe",
    (_LLAMA3, False): "smaug-bpe",
    (_QWEN, False): "qwen2",
}
_KNOWN = "a byte-level BPE that splits text as LLaMA 3's, Qwen's or GPT-2's does"


def add_tokenizer(writer: GGUFWriter, folder: Path, rows: int, template: str) -> None:
    """Add the fields of the tokenizer in ``folder``.

    Args:
        rows: of the embedding; those without a token get the name of a token that is never used.
        template: the chat template. Where it writes BOS, llama.cpp is told to add it to other texts too, and
            leaves the second one out.

    Raises:
        ExportError: llama.cpp has no tokenizer of its kind.
        ModelFolderError: a file is missing or broken.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ExportError(
            f"{folder}: has no tokenizer.json (remedy: export a model whose tokenizer is {_KNOWN})"
        )
    settings = read_json_object(path)
    special = special_tokens_of(folder)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(path, settings))
    vocabulary: dict[str, int] = settings["model"]["vocab"]
    tokens = [f"[UNUSED{number}]" for number in range(rows)]
    kinds = [TokenType.UNUSED] * rows
    added = {token["content"]: token for token in settings.get("added_tokens", ())}
    ids = vocabulary | {content: token["id"] for content, token in added.items()}
    for content, number in ids.items():
        if number >= rows:
            raise ExportError(
                f"{path}: token {shown(content)} has the id {number}, and the model {rows} rows (remedy: "
                "copy the model again)"
            )
        tokens[number] = content
        kinds[number] = TokenType.NORMAL
        if content in added:
            kinds[number] = TokenType.CONTROL if added[content]["special"] else TokenType.USER_DEFINED
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    pairs = settings["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in pairs])
    for name, add in (
        ("bos_token", writer.add_bos_token_id),
        ("eos_token", writer.add_eos_token_id),
        ("pad_token", writer.add_pad_token_id),
    ):
        if special[name] in ids:
            add(ids[special[name]])
    begin = special["bos_token"]
    writer.add_add_bos_token(bool(begin) and (begin in template or "bos_token" in template))
    writer.add_add_eos_token(False)


def special_tokens_of(folder: Path) -> dict[str, str]:
    """The texts of the tokenizer's BOS, EOS and pad token, empty where it has none."""
    settings = read_json_object(folder / "tokenizer_config.json")
    found = {}
    for name in ("bos_token", "eos_token", "pad_token"):
        token = settings.get(name) or ""
        found[name] = token["content"] if isinstance(token, dict) else token
    return found


def _pre_tokenizer(path: Path, settings: Mapping[str, Any]) -> str:
    """llama.cpp's name for the way in which a tokenizer splits text into words."""
    model, outer = settings["model"], settings.get("pre_tokenizer") or {}
    if (kind := model.get("type")) != "BPE" or model.get("byte_fallback"):
        raise _unknown(path, f"is a {shown(kind)}{' with byte fallback' if kind == 'BPE' else ''}")
    # llama.cpp changes no text. Qwen's tokenizer composes letters and accents, as almost all texts have them.
    if (normalizer := settings.get("normalizer")) is not None and normalizer.get("type") != "NFC":
        raise _unknown(path, f"changes the text first ({shown(normalizer.get('type'))})")
    parts = outer.get("pretokenizers", [outer])
    *splits, last = parts
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        raise _unknown(path, "is not byte-level, or puts a space in front of a text")
    if not splits and last.get("use_regex", True):
        return "gpt-2"
    if len(splits) == 1 and splits[0].get("type") == "Split" and not last.get("use_regex", True):
        pattern = splits[0]["pattern"].get("Regex")
        name = _NAMES.get((pattern, bool(model.get("ignore_merges"))))
        if name is not None and splits[0].get("behavior") == "Isolated" and not splits[0].get("invert"):
            return name
    raise _unknown(path, "splits text in a way that llama.cpp does not have")


def _unknown(path: Path, what: str) -> ExportError:
    return ExportError(f"{path}: {what} (remedy: export a model whose tokenizer is {_KNOWN})")
