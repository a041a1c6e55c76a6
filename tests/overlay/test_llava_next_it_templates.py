"""The chat template in which our LLaVA-NeXT's wrapper asks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from lmms_eval.models.simple.llava_next_it import LlavaNextIt

from ndino.evaluation.inference.prompting import ChatTemplate, prompt_text
from tests.overlay.asking import DOCUMENTS, ask


def test_a_model_without_chat_template_is_asked_in_llama_3s_form(one_stop_folder, tmp_path, reference):
    folder = tmp_path / "bare"
    shutil.copytree(one_stop_folder, folder)
    (folder / "chat_template.jinja").unlink()
    ours = LlavaNextIt(str(folder), device="cpu", batch_size=8)
    assert ours.tokenizer.chat_template is None
    assert ask(ours, DOCUMENTS) == reference


# As llava-hf's processors have it: it reads parts with types, and makes nothing of a plain text.
TYPED = (
    "{% for m in messages %}[{{ m['role'] }}] "
    "{% for p in m['content'] | selectattr('type', 'equalto', 'image') %}<image>\n{% endfor %}"
    "{% for p in m['content'] | selectattr('type', 'equalto', 'text') %}{{ p['text'] }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %} [answer]{% endif %}"
)


@pytest.mark.parametrize("of_tokenizer", [None, "{{ messages[0]['content'] }} TOKENIZER", TYPED])
def test_the_processors_template_is_taken_as_for_perplexity(one_stop_folder, tmp_path, of_tokenizer):
    folder = Path(shutil.copytree(one_stop_folder, tmp_path / "foreign"))
    (folder / "chat_template.jinja").unlink()
    ours = LlavaNextIt(str(folder), device="cpu")
    ours.processor.chat_template, ours.tokenizer.chat_template = TYPED, of_tokenizer
    ours.processor.save_pretrained(folder)
    if of_tokenizer != TYPED:
        # One file serves both, unless the tokenizer's own settings name a template.
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": TYPED}))
        settings["chat_template"] = of_tokenizer
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    ours = LlavaNextIt(str(folder), device="cpu")
    assert ours.tokenizer.chat_template == of_tokenizer and ours.chat_template.text == TYPED

    def text(question: str, images: int) -> str:
        return prompt_text(ours.tokenizer, ours.chat_template, question, images)

    assert text("Di che colore è?", 1) == "[user] <image>\nDi che colore è? [answer]"
    assert text("Prima <image>, poi <image>", 2).count("<image>") == 2
    ours.chat_template = ChatTemplate("always the same")
    with pytest.raises(ValueError, match="the model's chat template fails: it leaves out the question"):
        text("Di che colore è?", 1)
