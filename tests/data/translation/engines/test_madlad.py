"""The two ways of one model: CTranslate2 and transformers."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import ctranslate2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import T5ForConditionalGeneration

from fixtures.madlad import CORPUS, END, WrongConverter, convert
from ndino.data.errors import DataError
from ndino.data.translation.engines import madlad, transformers_madlad
from ndino.data.translation.engines.convert_madlad import TOLERANCES
from ndino.data.translation.engines.madlad import Madlad
from ndino.data.translation.engines.madlad_tokenizer import MadladTokenizer, limit_of
from ndino.data.translation.engines.transformers_madlad import TransformersMadlad
from ndino.formats import token_batches
from ndino.formats.token_batches import batches

WORDS = " ".join(CORPUS).split()
DRAWN = random.Random(0)
TEXTS = [" ".join(DRAWN.choices(WORDS, k=DRAWN.randint(1, 9))) for _ in range(13)]
TARGET = "Ci sono due cani nella foto."


def log_probabilities(published: Path, source: str, target: str) -> tuple[list[float], list[list[str]]]:
    """What transformers says of the tokens of ``target``, and the tokens of both."""
    pieces = MadladTokenizer(published, "it")
    model = T5ForConditionalGeneration.from_pretrained(published)
    ids = [*pieces._pieces.encode(target), END]
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([pieces.encode_ids(source)]), labels=torch.tensor([ids])
        ).logits[0]
    scores = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()
    return scores, [pieces.encode(source), pieces._pieces.encode(target, out_type=str)]


def scores_of(converted: Path, tokens: list[list[str]]) -> list[float]:
    (found,) = ctranslate2.Translator(str(converted)).score_batch([tokens[0]], [tokens[1]])
    return found.log_probs


def test_scores_are_the_originals(madlad_folder: Path, converted_folder: Path) -> None:
    wanted, tokens = log_probabilities(madlad_folder, TEXTS[0], TARGET)
    assert scores_of(converted_folder, tokens) == pytest.approx(wanted, abs=1e-4)


def test_the_known_wrong_conversion_shows_in_the_scores(madlad_folder: Path, tmp_path: Path) -> None:
    wrong = convert(madlad_folder, tmp_path / "wrong", converter=WrongConverter)
    wanted, tokens = log_probabilities(madlad_folder, TEXTS[0], TARGET)
    found = scores_of(wrong, tokens)
    off = [abs(one - other) for one, other in zip(found, wanted, strict=True)]
    assert sum(off) / len(off) > 3 * max(TOLERANCES.values())


def test_int8_scores_are_close(madlad_folder: Path, tmp_path: Path) -> None:
    small = convert(madlad_folder, tmp_path / "int8", quantization="int8")
    wanted, tokens = log_probabilities(madlad_folder, TEXTS[0], TARGET)
    assert scores_of(small, tokens) == pytest.approx(wanted, abs=0.5)


@pytest.mark.parametrize("beam", [1, madlad.BEAM])
def test_ctranslate2_and_transformers_translate_alike(
    madlad_folder: Path, converted_folder: Path, monkeypatch: pytest.MonkeyPatch, beam: int
) -> None:
    monkeypatch.setattr(madlad, "BEAM", beam)
    monkeypatch.setattr(transformers_madlad, "BEAM", beam)
    ours, papers = Madlad(converted_folder, "it"), TransformersMadlad(madlad_folder, "it")
    # One at a time: the number of tokens allowed goes by the longest text of a batch.
    found = [ours.drafts([text])[0] for text in TEXTS]
    assert found == [papers.drafts([text])[0] for text in TEXTS]
    assert len({draft.text for draft in found}) > len(TEXTS) // 2
    assert all("extra_id" not in draft.text for draft in found)


def test_a_translation_that_the_limit_cut_off_is_none(madlad_folder: Path, converted_folder: Path) -> None:
    for translator in (Madlad(converted_folder, "it"), TransformersMadlad(madlad_folder, "it")):
        drafts = [translator.drafts([text])[0] for text in TEXTS[:7]]
        assert {draft.ended for draft in drafts} == {True, False}
        whole = [draft.text if draft.ended else None for draft in drafts]
        assert [translator.translate([text])[0] for text in TEXTS[:7]] == whole


def test_batches_keep_the_order_of_the_texts(converted_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Equal lengths, so that every batch has the same limit; three batches of them.
    texts = [text for text in ("red car", "two cats", "a dog", "blue sky", "men") for _ in range(2)]
    translator = Madlad(converted_folder, "it")
    lengths = {len(translator._pieces.encode(text)) for text in texts}
    monkeypatch.setattr(madlad, "limit_of", lambda _: limit_of(max(lengths)))
    monkeypatch.setattr(madlad, "CPU_TOKENS", 4 * max(lengths))
    assert translator.translate(texts) == [translator.translate([text])[0] for text in texts]
    assert translator.translate([]) == []


def test_the_second_attempt_suppresses_repetition(converted_folder: Path) -> None:
    from ndino.data.translation.text_measures import loops

    translator = Madlad(converted_folder, "it")
    looping = [text for text, draft in zip(TEXTS, translator.drafts(TEXTS), strict=True) if loops(draft.text)]
    assert looping
    again = translator.drafts(looping, **madlad.AGAIN)
    assert not any(loops(draft.text) for draft in again)
    assert translator.translate_again(looping) == [draft.whole for draft in again]


def test_each_language_has_its_tag(converted_folder: Path) -> None:
    italian, spanish = Madlad(converted_folder, "it"), Madlad(converted_folder, "es")
    assert italian.identity != spanish.identity
    assert italian.translate(TEXTS[:3]) != spanish.translate(TEXTS[:3])
    with pytest.raises(DataError, match=r"not know the language 'xx' .*remedy"):
        Madlad(converted_folder, "xx")


def test_nothing_is_loaded_before_the_first_text(converted_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(converted_folder, tmp_path / "model")
    translator = Madlad(folder, "it")
    (folder / "model.bin").write_bytes(b"torn")
    assert translator.identity
    with pytest.raises(DataError, match=r"model: .*remedy: convert"):
        translator.translate(["a dog"])


def test_long_texts_are_not_cut(converted_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(madlad, "limit_of", lambda _: 8)
    translator = Madlad(converted_folder, "it")
    # CTranslate2 cuts at 1,024 tokens by itself.
    long = "the dog is red " * 110
    assert len(translator._pieces.encode(long)) > 1100
    assert translator.drafts([long + "?" * 999]) != translator.drafts([long + "B" * 999])


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no model\.bin.*remedy"):
        Madlad(tmp_path, "it")


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    found = list(batches(lengths, budget))
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
        assert min(lengths[i] for i in batch) >= token_batches.NARROWEST * longest
