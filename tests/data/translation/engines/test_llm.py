"""Translating with a language model in transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from ndino.common.errors import UsageError
from ndino.data.errors import DataError
from ndino.data.translation.engines.llm import LanguageModel
from ndino.data.translation.engines.request import TranslationRequest, most_tokens
from ndino.languages.language import language
from tests.data.translation.translators.chat import ENDLESS, ENGLISH, ITALIAN, NAME, TAUGHT


def test_texts_and_pairs_are_translated_in_order_and_an_endless_one_is_none(chat_folder: Path) -> None:
    model = LanguageModel(str(chat_folder), ENGLISH, ITALIAN)
    texts = [*TAUGHT, *reversed(TAUGHT)]
    assert model.translate(texts) == [None if text == ENDLESS else TAUGHT[text] for text in texts]


def test_a_text_is_translated_alike_alone_and_in_a_batch(chat_folder: Path) -> None:
    model = LanguageModel(str(chat_folder), ENGLISH, ITALIAN)
    assert [model.translate([text])[0] for text in TAUGHT] == model.translate(list(TAUGHT))


def test_a_model_may_be_named_as_on_the_hub(chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(chat_folder.parents[2]))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    named = LanguageModel(NAME, ENGLISH, ITALIAN)
    assert named.identity == LanguageModel(str(chat_folder), ENGLISH, ITALIAN).identity
    with pytest.raises(UsageError, match=r"nobody/nothing: no such folder, nor on the hub.*remedy"):
        LanguageModel("nobody/nothing", ENGLISH, ITALIAN)


def test_the_identity_depends_on_model_languages_and_prompt(
    chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identity(folder: Path = chat_folder, lang: str = "it") -> str:
        return LanguageModel(str(folder), ENGLISH, language(lang)).identity

    other = Path(shutil.copytree(chat_folder, tmp_path / "other"))
    assert identity(other) == identity()
    template = other / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    made = [identity(), identity(other), identity(lang="es")]
    monkeypatch.setattr("ndino.data.translation.engines.request.TASK", "Translate: {text}{markers}")
    assert len({*made, identity()}) == 4


def test_a_template_that_takes_the_codes_of_languages_gets_them(chat_folder: Path, tmp_path: Path) -> None:
    """TranslateGemma's takes a content with the codes, and refuses a text."""
    folder = Path(shutil.copytree(chat_folder, tmp_path / "gemma"))
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(
        "{% set c = messages[0].content[0] %}{% if not c.source_lang_code %}{{ raise_exception('a text') }}"
        "{% endif %}{{ c.type }} {{ c.source_lang_code }} {{ c.target_lang_code }} {{ c.text }}<|end|>"
    )
    model = LanguageModel(str(folder), ENGLISH, ITALIAN)
    assert model._model.tokenizer.decode(model._encoded("A dog.")) == "text en it A dog.<|end|>"
    assert "source_lang_code" not in template


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", r"no \*\.safetensors"),
        ("chat_template.jinja", "no chat template.*instruct version"),
        ("tokenizer.json", "remedy"),
    ],
)
def test_a_folder_that_is_no_chat_model_is_refused(
    chat_folder: Path, tmp_path: Path, missing: str, said: str
) -> None:
    folder = Path(shutil.copytree(chat_folder, tmp_path / "model"))
    (folder / missing).unlink()
    with pytest.raises(DataError, match=said) as refused:
        LanguageModel(str(folder), ENGLISH, ITALIAN).translate(["A dog."])
    assert "\n" not in str(refused.value)


def test_code_that_a_model_brings_along_is_not_run(chat_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(chat_folder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": own}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\n")
    with pytest.raises(DataError, match="remedy: a model that transformers loads without code of its own"):
        LanguageModel(str(folder), ENGLISH, ITALIAN).translate(["A dog."])
    assert not (tmp_path / "run").exists()


def test_the_request_names_the_markers_that_a_text_holds() -> None:
    request = TranslationRequest(ENGLISH, ITALIAN)
    asked = request.prompt("Question: What? Answer: a dog")
    assert 'Write "Question:" as "Domanda:", "Answer:" as "Risposta:"' in asked
    assert asked.endswith("\n\nEnglish: Question: What? Answer: a dog\nItalian:")
    assert "Domanda" not in request.prompt("A dog {text} in a question.")
    assert request.prompt("{text} {source}").endswith("English: {text} {source}\nItalian:")


def test_the_limit_leaves_room_for_any_translation() -> None:
    assert most_tokens("No") >= 16
    assert most_tokens("犬が二匹います。") >= 3 * 8
