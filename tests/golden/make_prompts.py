"""Record what the released training script makes of some conversations: ``prompts.json`` beside this.

    python -m tests.golden.make_prompts --train-script llava_train_modified.py --upstream LLaVA-NeXT

``--train-script`` is the paper's training script (LLaVA-NDiNO ab381fe), which is upstream's with an empty
system message; ``--upstream`` is a LLaVA-NeXT checkout (c121c20), for ``tokenizer_image_token``. Their
functions are read from those files and run with the real LLaMA 3 tokenizer; nothing but ids and labels is
kept.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import re
import typing
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers

from fixtures.llama3 import llama3_tokenizer

GOLDEN = Path(__file__).with_name("prompts.json")
UPSTREAM_IMAGE_ID = -200

QUESTION = "Di che colore è il gatto?\nRispondi utilizzando una sola parola o frase."
CONVERSATIONS: list[dict] = [
    {"turns": [f"<image>\n{QUESTION}", "Rosso!"], "images": 1},
    {"turns": [f"{QUESTION}\n<image>", "  rosso  \n"], "images": 1},
    {"turns": [f"Prima <image> dopo. {QUESTION}", "Così è, perché «sì»."], "images": 1},
    {"turns": [f"<image>{QUESTION}", "!"], "images": 1},
    {"turns": ["<image>\nCiao", "Ciao!", "E poi?", "Poi\n\nbasta.", "Bene.", "Bene 123456."], "images": 1},
    {"turns": ["Chi ha scritto la Divina Commedia?", "Dante Alighieri."], "images": 0},
    {"turns": ["<image> e <image>: che cosa cambia?", "La seconda è più scura."], "images": 2},
]
CAPTIONS = ["Una veduta di Bari.", "  Spazi ai lati  ", "Fine riga\n", "Perché «così» è: l’orso, 3 € 🐻"]


def functions(path: Path, *names: str) -> dict[str, typing.Any]:
    """The named functions of a Python file, without running the rest of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    scope: dict[str, typing.Any] = dict(
        vars(typing),
        copy=copy,
        re=re,
        torch=torch,
        transformers=transformers,
        DataArguments=SimpleNamespace,
        IGNORE_INDEX=-100,
        IMAGE_TOKEN_INDEX=UPSTREAM_IMAGE_ID,
        DEFAULT_IMAGE_TOKEN="<image>",
        conversation_lib=SimpleNamespace(
            default_conversation=SimpleNamespace(sep="\n", version="llava_llama_3")
        ),
    )
    exec(compile(tree, str(path), "exec"), scope)
    return scope


class ListTemplateTokenizer(transformers.PreTrainedTokenizerFast):
    """``apply_chat_template`` returning a list of ids, as the versions that upstream pins did."""

    def apply_chat_template(self, *arguments, **options):
        return super().apply_chat_template(*arguments, return_dict=False, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train-script", type=Path, required=True)
    parser.add_argument("--upstream", type=Path, required=True)
    options = parser.parse_args()

    tokenizer = ListTemplateTokenizer(
        tokenizer_object=add_begin_of_text(llama3_tokenizer()),
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
    )
    scope = functions(
        options.train_script, "preprocess_llama3", "preprocess_plain", "preprocess_multimodal"
    ) | functions(options.upstream / "llava" / "mm_utils.py", "tokenizer_image_token")
    for name in ("preprocess_llama3", "preprocess_plain", "preprocess_multimodal"):
        scope[name].__globals__["tokenizer_image_token"] = scope["tokenizer_image_token"]

    data_args = SimpleNamespace(is_multimodal=True, mm_use_im_start_end=False)
    llama3 = []
    for conversation in CONVERSATIONS:
        source = [
            {"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(conversation["turns"])
        ]
        sources = scope["preprocess_multimodal"]([source], data_args) if conversation["images"] else [source]
        result = scope["preprocess_llama3"](sources, tokenizer, has_image=conversation["images"] > 0)
        llama3.append(conversation | as_lists(result))
    plain = []
    for text in CAPTIONS:
        source = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": text}]
        plain.append({"text": text} | as_lists(scope["preprocess_plain"]([source], tokenizer)))
    GOLDEN.write_text(json.dumps({"llama3": llama3, "plain": plain}, ensure_ascii=False) + "\n", "utf-8")
    print(f"{len(llama3)} conversations and {len(plain)} captions in {GOLDEN}")


def add_begin_of_text(tokenizer: transformers.PreTrainedTokenizerFast):
    """The backend tokenizer as the hub's LLaMA 3 has it: BOS put in front of every text."""
    from tokenizers.processors import TemplateProcessing

    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.post_processor = TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 128000)]
    )
    return backend


def as_lists(result: dict) -> dict[str, list[int]]:
    return {name: torch.as_tensor(result[name][0]).tolist() for name in ("input_ids", "labels")}


if __name__ == "__main__":
    main()
