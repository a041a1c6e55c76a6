"""The hooks inside LLaVA-NeXT: prompts, pad token, lengths, large images, no hub."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fixtures.llama3 import llama3_tokenizer
from ndino.formats.model_folder import make_tokenizer_portable, prepare_tokenizer
from ndino.formats.prompts import IGNORE_INDEX, Turn, encode_llama3, encode_plain
from ndino.train.build import load_model
from ndino.train.images import open_image
from ndino.train.rows.building import make_index
from ndino.train.rows.index import open_index
from tests.odd_images import kinds

pytestmark = pytest.mark.upstream
LIMIT = 512


def human(text: str) -> dict:
    return {"from": "human", "value": text}


def gpt(text: str) -> dict:
    return {"from": "gpt", "value": text}


@pytest.fixture(scope="session")
def real_tokenizer(tmp_path_factory) -> Path:
    """LLaMA 3's own tokenizer, readable by transformers 4.45. It has no pad token, and "!" is its id 0."""
    pytest.importorskip("llama_models", reason="the package llama_models carries LLaMA 3's vocabulary")
    folder = tmp_path_factory.mktemp("llama3")
    llama3_tokenizer().save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    make_tokenizer_portable(settings)
    path.write_text(json.dumps(settings))
    assert settings.get("pad_token") is None
    return folder


@pytest.fixture(scope="session")
def encoded(real_tokenizer, inside):
    """Ids and labels that upstream makes of three conversations, by prompt and setting."""
    talks = [
        [human("<image>\nChe cosa vedi?"), gpt("Un gatto! ! !")],
        [human("Ciao"), gpt("!"), human("E poi?"), gpt("Niente, perché è tardi.")],
    ]
    pairs = [[human("<image>\nDescrivi."), gpt("Un cane nero!")]]

    cases = {
        "paper": ("llava_llama_3", talks, {}),
        "answer": ("llava_llama_3", talks, {"supervision": "answer"}),
        "end_of_text": ("plain", pairs, {}),
        "newline": ("plain", pairs, {"plain_ending": "newline"}),
    }
    asked = [
        {"version": version, "sources": sources, "settings": settings}
        for version, sources, settings in cases.values()
    ]
    found = inside("samples", tokenizer=real_tokenizer, cases=asked)
    return {name: (answer, cases[name][1]) for name, answer in zip(cases, found, strict=True)}


@pytest.mark.parametrize("setting", ["paper", "answer", "end_of_text", "newline"])
def test_ids_and_labels_are_those_of_prompts_py(setting, encoded):
    theirs, sources = encoded[setting]
    tokenizer = prepare_tokenizer(copy.deepcopy(llama3_tokenizer()))
    for source, ids, labels in zip(sources, theirs["ids"], theirs["labels"], strict=True):
        images = source[0]["value"].count("<image>")
        if setting in ("end_of_text", "newline"):
            ours = encode_plain(tokenizer, source[1]["value"], images=images, ending=setting)
        else:
            roles = {"human": "user", "gpt": "assistant"}
            turns = [Turn(roles[message["from"]], message["value"]) for message in source]
            ours = encode_llama3(tokenizer, turns, images=images, supervision=setting)
        assert [theirs["image"] if token == -200 else token for token in ids] == ours.input_ids
        assert ids.count(-200) == images
        assert labels == ours.labels


def test_an_exclamation_mark_reaches_the_model_as_data_and_as_label(encoded):
    theirs, _ = encoded["paper"]
    assert llama3_tokenizer().convert_tokens_to_ids("!") == 0
    ids, labels = theirs["ids"][1], theirs["labels"][1]
    lone = ids.index(0)
    assert labels[lone] == 0
    assert theirs["pad"] not in (0, None)
    # The collator keeps every token of a row: none is taken for padding.
    assert theirs["kept"] == [len(row) for row in theirs["ids"]]
    assert any(label == IGNORE_INDEX for label in labels)


def test_the_tokenizer_is_not_copied(encoded):
    assert {name: found["copies"] for name, (found, _) in encoded.items()} == dict.fromkeys(encoded, 0)


def test_the_index_counts_the_tokens_that_the_model_sees(first_run, first_recipe, inside, tmp_path):
    rng = random.Random(0)
    (tmp_path / "images").mkdir()
    rows = []
    for index in range(40):
        size = (rng.randint(20, 400), rng.randint(20, 400))
        Image.new("RGB", size, "red").save(tmp_path / "images" / f"{index}.png")
        text = "<image>\nChe cosa vedi in questa immagine?"
        rows.append(
            {
                "id": str(index),
                "image": f"{index}.png",
                "conversations": [human(text), gpt("Rosso. " * (index + 1))],
            }
        )
    two = [human("<image>\n<image>\nUguali?"), gpt("Sì.")]
    rows.append({"id": "two", "image": ["0.png", "1.png"], "conversations": two})
    rows.append({"id": "none", "conversations": [human("Ciao"), gpt("Ciao!")]})
    rows.append({"id": "cut", "image": "0.png", "conversations": [human("<image>\n"), gpt("Rosso. " * 500)]})
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(rows))
    recipe = dataclasses.replace(first_recipe, prompt="llama3", max_length=LIMIT)
    _, processor = load_model(first_run / "model", recipe)
    index = open_index(make_index(data, tmp_path / "images", processor, recipe, beside=tmp_path))
    found = inside(
        "lengths",
        checkpoint=first_run / "upstream",
        rows=data,
        images=tmp_path / "images",
        version="llava_llama_3",
        limit=LIMIT,
    )
    assert list(map(list, zip(index.lengths.tolist(), index.supervised.tolist(), strict=True))) == found
    assert found[-1][0] == LIMIT and len({length for length, _ in found}) > 10


def test_an_image_of_the_paper_s_largest_size_opens(inside, tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (14_000, 13_000)).save(path)
    found = inside("large_image", path=path, seed=1)
    assert (found["before"], found["after"]) == (False, [14_000, 13_000])
    assert found["gpus"] == 1, "several visible GPUs would become DataParallel"
    assert found["attention"] == ("flash_attention_2" if found["flash_attn"] else "sdpa")


def test_a_trainer_ends_without_what_can_abort_it_at_the_interpreter_s_end(inside):
    assert inside("stop_early") == {"step": 1}


def test_upstream_opens_odd_images_as_the_native_engine_does(first_run, inside, tmp_path):
    odd = kinds()
    names = [
        "ink_rgba.png",
        "grey16.png",
        "float_to_1.tif",
        "cmyk_profile.tif",
        "exif6.jpg",
        "1x1.png",
        "half.jpg",
    ]
    for name in names:
        (tmp_path / name).write_bytes(odd[name].content)
        if odd[name].pixels is not None:
            open_image(name, tmp_path).save(tmp_path / f"plain-{name}.png")
            open_image(name, tmp_path, (0, 0, 0)).save(tmp_path / f"black-{name}.png")
    good = names[:-1]
    (tmp_path / "rows.json").write_text("[]")
    asked = {"checkpoint": first_run / "upstream", "rows": tmp_path / "rows.json", "images": tmp_path}
    for background, kind in ("255,255,255", "plain"), ("0,0,0", "black"):
        out = tmp_path / f"{kind}.safetensors"
        plain = [f"{kind}-{name}.png" for name in good]
        found = inside("opened", **asked, names=names + plain, background=background, out=out)
        tiles = load_file(out)
        for name, right in zip(good, plain, strict=True):
            assert torch.equal(tiles[name], tiles[right]) and found[name] == found[right], name
        assert found["exif6.jpg"] == [64, 48] and "truncated" in found["half.jpg"]
        if kind == "black":
            assert tiles["ink_rgba.png"].flatten(2).std(dim=-1).max() == 0, "black on black"


def test_nothing_is_fetched_at_import(tree, tmp_path):
    code = "from llava.conversation import conv_templates; print(conv_templates['llava_llama_3'].version)"
    environment = os.environ | {
        "PYTHONPATH": str(tree.folder),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [tree.python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "llama_v3"


def test_the_tokenizer_is_loaded_when_it_is_used(tree, real_tokenizer, tmp_path):
    (tmp_path / "meta-llama").mkdir()
    (tmp_path / "meta-llama" / "Meta-Llama-3-8B-Instruct").symlink_to(real_tokenizer)
    code = (
        "import copy; from llava.conversation import conv_templates;"
        "t = copy.copy(conv_templates['llava_llama_3']).tokenizer;"
        "print(t.bos_token_id, t('!', add_special_tokens=False).input_ids)"
    )
    environment = os.environ | {"PYTHONPATH": str(tree.folder), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [tree.python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "128000 [0]"
