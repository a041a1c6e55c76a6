"""Translating with a language model in transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from fixtures.chat_model import write_chat_model
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


THOUGHTS = {
    "qwen": ("<think>\nVediamo.\n</think>\n\nIl cielo è blu.", "<think>\nVediamo: il"),
    "magistral": ("[THINK]Vediamo.[/THINK]Il cielo è blu.", "[THINK]Vediamo: il"),
    "gpt-oss": (
        "<|channel|>analysis<|message|>Vediamo.<|stop|>"
        "<|start|>assistant<|channel|>final<|message|>Il cielo è blu.",
        "<|channel|>analysis<|message|>Vediamo: il",
    ),
}
MARKS = ("[THINK]", "[/THINK]", "<|channel|>", "<|message|>", "<|stop|>")


def thinking_model(folder: Path, **answers: str) -> Path:
    """A model that was taught ``answers``, and to which the marks of thoughts are special tokens."""
    request = TranslationRequest(ENGLISH, ITALIAN)
    texts = {"whole": request.prompt("The sky is blue."), "endless": request.prompt("a")}
    return write_chat_model(folder, {texts[name]: said for name, said in answers.items()}, special=MARKS)


@pytest.mark.parametrize("family", THOUGHTS)
def test_a_thought_is_no_part_of_a_translation(tmp_path: Path, family: str) -> None:
    whole, endless = THOUGHTS[family]
    folder = thinking_model(tmp_path / family, whole=whole, endless=endless)
    model = LanguageModel(str(folder), ENGLISH, ITALIAN)
    # One without an end is no translation, though the model ended it.
    assert model.translate(["The sky is blue.", "a"]) == ["Il cielo è blu.", None]
    assert model.identity.endswith("no thoughts")


def test_a_model_whose_thoughts_have_no_end_is_one_line(tmp_path: Path) -> None:
    folder = thinking_model(tmp_path / "model", endless="<think>\nVediamo: il")
    with pytest.raises(DataError, match=r"no thought ends within \d+ tokens \(remedy: .*switch thinking off"):
        LanguageModel(str(folder), ENGLISH, ITALIAN).translate(["a"])


def test_a_thought_that_begins_in_the_prompt_is_no_part_of_a_translation(tmp_path: Path) -> None:
    """As Qwen3-Thinking's and DeepSeek-R1's do."""
    folder = thinking_model(tmp_path / "model", whole="Vediamo.</think>Il cielo è blu.")
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant: ", "assistant: <think>\n"))
    model = LanguageModel(str(folder), ENGLISH, ITALIAN)._model
    ids = model.encoded("a")
    assert model.tokenizer.decode(ids).endswith("<think>\n")
    said = model.tokenizer.encode("Vediamo.</think>Il cielo è blu.<|end|>", add_special_tokens=False)
    assert model._answer(ids, said) == "Il cielo è blu."
    assert model._answer(ids, said[:3]) is None


@pytest.mark.parametrize("switch", ["enable_thinking", "thinking"])
def test_thinking_is_switched_off(chat_folder: Path, tmp_path: Path, switch: str) -> None:
    folder = Path(shutil.copytree(chat_folder, tmp_path / "model"))
    template = folder / "chat_template.jinja"
    off = f"{{% if {switch} is defined and not {switch} %}}(off){{% endif %}}"
    template.write_text(template.read_text() + off)
    model = LanguageModel(str(folder), ENGLISH, ITALIAN)
    assert model._model.tokenizer.decode(model._encoded("A dog.")).endswith("(off)")
    # What earlier versions remembered of it may have thoughts in it.
    assert model.identity.endswith("greedy, no thoughts")
    assert LanguageModel(str(chat_folder), ENGLISH, ITALIAN).identity.endswith("greedy")
