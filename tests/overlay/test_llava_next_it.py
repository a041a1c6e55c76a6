from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lmms_eval.models import get_model
from lmms_eval.models.simple import llava_next_it
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from loguru import logger
from PIL import UnidentifiedImageError
from safetensors.torch import load_file, save_file

from fixtures.tiny import write_tiny_model
from ndino.evaluation.inference import batches
from ndino.evaluation.inference.prefix_sharing import PrefixSharing
from ndino.results.statistics import discordant, mcnemar_test
from tests.overlay.asking import (
    DOCUMENTS,
    QUESTIONS,
    answered_by_llava_hf,
    ask,
    images,
    odd_documents,
    requests,
)


def test_lmms_eval_knows_it_by_name():
    assert get_model("llava_next_it") is LlavaNextIt


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
def test_greedy_answers_are_those_of_llava_hf(one_stop_folder, reference, batch_size):
    ours = LlavaNextIt(str(one_stop_folder), device="cpu", batch_size=batch_size)
    assert ask(ours, DOCUMENTS) == reference
    assert len(set(reference)) > len(DOCUMENTS) / 2  # a test of equal nonsense would say nothing


@pytest.mark.parametrize(
    ("batch_size", "attention"), [("auto", "sdpa"), (16, "sdpa"), (16, "eager")], ids=["auto", "16", "eager"]
)
def test_questions_about_the_same_images_get_llava_hfs_answers(
    one_stop_folder, odd_reference, batch_size, attention
):
    ours = LlavaNextIt(
        str(one_stop_folder), device="cpu", batch_size=batch_size, attn_implementation=attention
    )
    encoded = []
    ours.model.model.vision_tower.register_forward_hook(lambda *_: encoded.append(1))
    assert ask(ours, odd_documents()) == odd_reference
    assert len(encoded) <= 5
    assert len(set(odd_reference)) > len(odd_reference) / 2


def test_questions_with_more_tokens_than_fit_behind_an_image_are_split(model, monkeypatch, odd_reference):
    monkeypatch.setattr(batches, "PACKED_TOKENS", 50)
    assert ask(model, odd_documents()) == odd_reference


def test_an_attention_without_masks_of_four_dimensions_is_answered_in_ordinary_batches(
    one_stop_folder, odd_reference, monkeypatch
):
    blocked = PrefixSharing("flash_attention_2 takes no 4D mask", (), 0)
    monkeypatch.setattr(PrefixSharing, "of", lambda model: blocked)
    monkeypatch.setattr(llava_next_it, "decode", None)
    logged = []
    sink = logger.add(logged.append, level="WARNING")
    ours = LlavaNextIt(str(one_stop_folder), device="cpu")
    logger.remove(sink)
    assert "share no prefix: flash_attention_2 takes no 4D mask" in str(logged)
    assert ask(ours, odd_documents()) == odd_reference


def test_beams_are_those_of_llava_hf(one_stop_folder, model):
    few = DOCUMENTS[:6]
    assert ask(model, few, num_beams=2) == answered_by_llava_hf(one_stop_folder, few, num_beams=2)


def logits_of_each_step(folder: Path, dtype: str, *, packed: bool, steps: int) -> torch.Tensor:
    """Of the odd questions, every answer ``steps`` tokens long: (questions, steps, vocabulary), float32."""
    documents = odd_documents()
    ours = LlavaNextIt(
        str(folder), device="cpu", dtype=dtype, batch_size=len(documents), attn_implementation="sdpa"
    )
    if not packed:
        ours.prefix_sharing = replace(ours.prefix_sharing, model_blocker="ordinary batches are wanted")
    ours.stop_ids = [ours.model.lm_head.out_features - 1]
    with torch.no_grad():
        ours.model.lm_head.weight[ours.stop_ids] = 0  # a logit that is never the highest
    order, found = [], []
    ours.model.lm_head.register_forward_hook(
        lambda module, given, logits: found.append(logits.reshape(-1, logits.shape[-1]).float())
    )
    answer = ours._answer

    def noted(batch, pixels):
        order.extend(question.doc_id for group in batch for question in group.questions)
        return answer(batch, pixels)

    ours._answer = noted
    ask(ours, documents, max_new_tokens=steps)
    return torch.stack(found, 1)[torch.tensor(order).argsort()]


def test_in_bfloat16_packed_questions_err_no_more_than_ordinary_batches(tmp_path):
    squares, differing = torch.zeros(2, dtype=torch.double), [[], []]
    for seed in range(4):
        folder = write_tiny_model(tmp_path / str(seed), seed=seed)
        # Weights that bf16 can hold: only the arithmetic differs.
        weights = load_file(folder / "model.safetensors")
        rounded = {name: weight.bfloat16().float() for name, weight in weights.items()}
        save_file(rounded, folder / "model.safetensors", metadata={"format": "pt"})
        exact, ordinary = (
            logits_of_each_step(folder, "float32", packed=way, steps=8) for way in (True, False)
        )
        assert torch.allclose(exact, ordinary, atol=1e-3)
        rough = [logits_of_each_step(folder, "bfloat16", packed=way, steps=8) for way in (True, False)]
        wrong = torch.stack([logits.argmax(-1) != exact.argmax(-1) for logits in rough])
        # From an answer's first other token on, it continues another text.
        alike = wrong.any(0).cumsum(-1) - wrong.any(0).long() == 0
        for way in range(2):
            squares[way] += (rough[way] - exact)[alike].double().pow(2).sum()
            differing[way] += wrong[way].any(-1).tolist()
    packed_error, error = squares.sqrt()
    assert 0 < packed_error < 1.05 * error
    only_ordinary, only_packed = discordant(*differing)
    assert only_packed <= only_ordinary or mcnemar_test(only_ordinary, only_packed).p > 0.05


def test_a_models_own_repetition_penalty_is_kept(one_stop_folder, tmp_path):
    folder = Path(shutil.copytree(one_stop_folder, tmp_path / "penalty"))
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "repetition_penalty": 5.0}))
    few = odd_documents()[:20]
    answers = ask(LlavaNextIt(str(folder), device="cpu"), few)
    assert answers == answered_by_llava_hf(folder, few)
    assert answers != ask(LlavaNextIt(str(one_stop_folder), device="cpu"), few)


def test_sampling_gives_equal_questions_answers_of_their_own(model):
    same = DOCUMENTS[:1] * 8
    assert len(set(ask(model, same, temperature=2.0))) > 1
    assert len(set(ask(model, same))) == 1


def test_an_answer_ends_before_what_the_task_says_and_not_at_what_lmms_eval_fills_in(model):
    whole = ask(model, odd_documents(), until=["\n\n"])
    end = sorted(character for answer in whole for character in answer[1:])[len(whole)]
    cut = ask(model, odd_documents(), until=[end, "never"])
    assert cut == [answer.split(end)[0] for answer in whole] != whole
    assert cut == ask(model, odd_documents(), until=end, num_beams=1)
    assert ask(model, odd_documents(), until=None) == whole


def test_it_sees(model):
    first, second = images(2)
    question = QUESTIONS[0]
    seen = ask(model, [{"question": question, "images": [p]} for p in (first, second, first)])
    assert seen[0] == seen[2] != seen[1]


def test_several_images_and_none_in_one_batch(model, one_stop_folder):
    shown = images(3)
    documents = [
        {"question": "Quale?", "images": shown[:2]},
        {"question": "Quale no?", "images": shown[:2]},
        {"question": "Quale?", "images": shown[1::-1]},
        {"question": "Prima <image>, poi <image>, poi <image>?", "images": shown},
        {"question": "Prima <image>, poi <image>, infine <image>?", "images": shown},
        {"question": "Prima <image>, poi <image>, infine <image>!", "images": shown},
    ]
    texts = [{"question": question, "images": []} for question in ("Ciao", "Ciao a tutti", "")]
    logged = []
    sink = logger.add(logged.append, level="WARNING")
    answers = ask(model, documents + texts)
    logger.remove(sink)
    # Said once, as it is so for every question of the task.
    assert str(logged).count("questions with several images. Training saw each as one square tile") == 1
    assert answers[:6] == answered_by_llava_hf(one_stop_folder, documents)
    # llava_hf answers a text alone with the inputs of the question before.
    for text, answer in zip(texts, answers[6:], strict=True):
        prompt = model.tokenizer.apply_chat_template(
            [{"role": "user", "content": text["question"]}], tokenize=False, add_generation_prompt=True
        )
        inputs = model.tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        alone = model.model.generate(**inputs, max_new_tokens=12, do_sample=False)[0]
        new = alone[inputs["input_ids"].shape[1] :]
        assert model.tokenizer.decode(new, skip_special_tokens=True) == answer


def test_settings_are_not_mixed_in_a_batch(model):
    both = requests(DOCUMENTS[:2], max_new_tokens=1) + requests(DOCUMENTS[:2], max_new_tokens=12)
    model.task_dict = {"task": {"test": DOCUMENTS}}
    answers = model.generate_until(both)
    assert answers[2:] == ask(model, DOCUMENTS[:2])
    assert all(len(short) < len(long) for short, long in zip(answers[:2], answers[2:], strict=True))


def test_it_stops_at_every_end_that_the_model_states(tiny_model_folder, model):
    both_ends = LlavaNextIt(str(tiny_model_folder), device="cpu")
    ends = both_ends.tokenizer.convert_tokens_to_ids(["<|end_of_text|>", "<|eot_id|>"])
    assert both_ends.stop_ids == sorted(ends)
    assert model.stop_ids == [ends[1]]


def test_an_image_is_processed_and_encoded_once_for_all_its_questions(model, monkeypatch):
    processed, encoded = [], []
    processor, tower = type(model.processor.image_processor), model.model.model.vision_tower
    process = processor.preprocess
    monkeypatch.setattr(processor, "preprocess", lambda *a, **k: processed.append(1) or process(*a, **k))
    hook = tower.register_forward_hook(lambda *_: encoded.append(1))
    same = [{"question": f"{i}: {QUESTIONS[i % 3]}", "images": DOCUMENTS[0]["images"]} for i in range(8)]
    ask(model, same)
    hook.remove()
    assert (len(processed), len(encoded)) == (1, 1)


def test_progress_is_reported(model):
    seen = []
    model.on_answered = seen.append
    ask(model, DOCUMENTS)
    model.on_answered = None
    assert seen == [8, 8, 6]


def test_answers_are_kept_until_anything_changes_that_they_depend_on(one_stop_folder, tmp_path, monkeypatch):
    retrained = Path(shutil.copytree(one_stop_folder, tmp_path / "retrained"))
    weights = load_file(retrained / "model.safetensors")
    name = next(name for name in weights if name.endswith("lm_head.weight"))
    save_file({**weights, name: -weights[name]}, retrained / "model.safetensors", metadata={"format": "pt"})
    calls = []
    answer = LlavaNextIt._answer
    monkeypatch.setattr(
        LlavaNextIt, "_answer", lambda *given: calls.append(len(new := answer(*given))) or new
    )

    def again(folder: Path = one_stop_folder, documents: list[dict] = DOCUMENTS[:5], **given) -> list[str]:
        calls.clear()
        where = {"device": "cpu", "dtype": "float32", "answers": str(tmp_path / "answers")}
        return ask(LlavaNextIt(str(folder), **{**where, **given}), documents)

    first = again()
    assert calls == [5]
    assert again() == first and calls == []
    assert again(batch_size=2) == first and calls == []
    assert again(documents=DOCUMENTS[:7])[:5] == first and calls == [2]
    moved = [{**DOCUMENTS[0], "images": [DOCUMENTS[0]["images"][0].rotate(180)]}]
    assert again(documents=moved) != first[:1] and calls == [1]
    assert again(retrained) != first and calls == [5]
    for changed in ({"dtype": "bfloat16"}, {"attn_implementation": "eager"}):
        again(**changed)
        assert calls == [5]


def test_what_fails_fails(model, tiny_model_folder, tmp_path):
    with pytest.raises(ValueError, match="task document 0: 2 <image> for 1 images"):
        ask(model, [{"question": "<image> <image>?", "images": images(1)}])

    class Broken(list):
        def __getitem__(self, index):
            raise UnidentifiedImageError("cannot identify image file")

    model.task_dict = {"task": {"test": Broken()}}
    with pytest.raises(RuntimeError, match="task document 0: its image cannot be read"):
        model.generate_until(requests(DOCUMENTS[:1]))

    folder = tmp_path / "gaps"
    shutil.copytree(tiny_model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if name.endswith("lm_head.weight")))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights are missing, lm_head\.weight"):
        LlavaNextIt(str(folder), device="cpu")
