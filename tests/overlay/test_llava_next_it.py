from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from lmms_eval.api.instance import Instance
from lmms_eval.models import get_model
from lmms_eval.models.simple.llava_hf import LlavaHf
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from PIL import Image, UnidentifiedImageError
from safetensors.torch import load_file, save_file

SIZES = [(112, 112), (60, 112), (112, 90), (200, 100), (31, 17)]
QUESTIONS = [
    "Di che colore è?",
    "Quanti cerchi ci sono?\nRispondi utilizzando una sola parola o frase.",
    "C'è un triangolo rosso nell'immagine, vicino al quadrato verde o giallo?  ",
    "<image>\nUn gatto, un cane o l'orso?",
]


def pictures(count: int) -> list[Image.Image]:
    noise = np.random.default_rng(0)
    sizes = [SIZES[i % len(SIZES)] for i in range(count)]
    return [Image.fromarray(noise.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


DOCUMENTS = [{"question": QUESTIONS[i % 4], "images": [picture]} for i, picture in enumerate(pictures(22))]


def requests(documents: list[dict], **settings) -> list[Instance]:
    # As lmms-eval makes them: each with settings of its own, "until" filled in by it.
    made = {
        "max_new_tokens": 12,
        "temperature": 0.0,
        "top_p": 1.0,
        "num_beams": 1,
        "until": ["\n\n"],
        **settings,
    }
    return [
        Instance(
            "generate_until",
            (document["question"], dict(made), lambda found: found["images"], i, "task", "test"),
            0,
            {"task": "task", "doc_id": i, "repeats": 1},
        )
        for i, document in enumerate(documents)
    ]


def ask(model, documents: list[dict], **settings) -> list[str]:
    model.task_dict = {"task": {"test": documents}}
    return model.generate_until(requests(documents, **settings))


@pytest.fixture(scope="module")
def one_stop_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # llava_hf stops at the tokenizer's end token only.
    folder = tmp_path_factory.mktemp("models") / "one-stop"
    shutil.copytree(tiny_model_folder, folder)
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "eos_token_id": settings["eos_token_id"][1]}))
    return folder


@pytest.fixture(scope="module")
def model(one_stop_folder: Path) -> LlavaNextIt:
    return LlavaNextIt(str(one_stop_folder), device="cpu", batch_size=8)


@pytest.fixture(scope="module")
def reference(one_stop_folder: Path) -> list[str]:
    theirs = LlavaHf(str(one_stop_folder), device="cpu", device_map="cpu", batch_size=1)
    return ask(theirs, DOCUMENTS)


def test_lmms_eval_knows_it_by_name():
    assert get_model("llava_next_it") is LlavaNextIt


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
def test_greedy_answers_are_those_of_llava_hf(one_stop_folder, reference, batch_size):
    ours = LlavaNextIt(str(one_stop_folder), device="cpu", batch_size=batch_size)
    assert ask(ours, DOCUMENTS) == reference
    assert len(set(reference)) > len(DOCUMENTS) / 2  # a test of equal nonsense would say nothing


def test_beams_are_those_of_llava_hf(one_stop_folder, model):
    theirs = LlavaHf(str(one_stop_folder), device="cpu", device_map="cpu", batch_size=1)
    few = DOCUMENTS[:6]
    assert ask(model, few, num_beams=2) == ask(theirs, few, num_beams=2)


def test_it_sees(model):
    first, second = pictures(2)
    question = QUESTIONS[0]
    seen = ask(model, [{"question": question, "images": [p]} for p in (first, second, first)])
    assert seen[0] == seen[2] != seen[1]


def test_several_pictures_and_none_in_one_batch(model, one_stop_folder):
    shown = pictures(3)
    documents = [
        {"question": "Quale?", "images": shown[:2]},
        {"question": "Prima <image>, poi <image>, poi <image>?", "images": shown},
        {"question": "Ciao", "images": []},
    ]
    theirs = LlavaHf(str(one_stop_folder), device="cpu", device_map="cpu", batch_size=1)
    assert ask(model, documents)[:2] == ask(theirs, documents[:2])
    assert ask(model, documents[2:]) == ask(model, documents)[2:]


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


def test_a_picture_is_processed_and_encoded_once_for_all_its_questions(model, monkeypatch):
    processed, encoded = [], []
    processor, tower = type(model.processor.image_processor), model.model.model.vision_tower
    process = processor.preprocess
    monkeypatch.setattr(processor, "preprocess", lambda *a, **k: processed.append(1) or process(*a, **k))
    hook = tower.register_forward_hook(lambda *_: encoded.append(1))
    same = [{"question": f"{i}: {QUESTIONS[i % 3]}", "images": DOCUMENTS[0]["images"]} for i in range(9)]
    ask(model, same)
    hook.remove()
    assert (len(processed), len(encoded)) == (1, 1)


def test_progress_is_reported(model):
    seen = []
    model.on_answered = seen.append
    ask(model, DOCUMENTS)
    model.on_answered = None
    assert seen == [8, 8, 6]


def test_what_fails_fails(model, tiny_model_folder, tmp_path):
    with pytest.raises(ValueError, match="task document 0: 2 <image> for 1 pictures"):
        ask(model, [{"question": "<image> <image>?", "images": pictures(1)}])

    class Broken(list):
        def __getitem__(self, index):
            raise UnidentifiedImageError("cannot identify image file")

    model.task_dict = {"task": {"test": Broken()}}
    with pytest.raises(RuntimeError, match="task document 0: its picture cannot be read"):
        model.generate_until(requests(DOCUMENTS[:1]))

    folder = tmp_path / "gaps"
    shutil.copytree(tiny_model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if name.endswith("lm_head.weight")))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights are missing, lm_head\.weight"):
        LlavaNextIt(str(folder), device="cpu")


def test_a_model_without_chat_template_is_asked_in_llama_3s_form(one_stop_folder, tmp_path, reference):
    folder = tmp_path / "bare"
    shutil.copytree(one_stop_folder, folder)
    (folder / "chat_template.jinja").unlink()
    ours = LlavaNextIt(str(folder), device="cpu", batch_size=8)
    assert ours.tokenizer.chat_template is None
    assert ask(ours, DOCUMENTS) == reference
