from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from datasets import Dataset
from PIL import Image

from ndino.common.images import (
    BROKEN_IMAGE,
    MAX_IMAGE_PIXELS,
    ImageFaultError,
    data_url,
    encode_image,
    image_digest,
    image_sha256,
    image_size,
    missing_image,
    pixel_digest,
    read_image,
)
from ndino.evaluation.perplexity.answer_sets import read_items
from ndino.evaluation.tasks.framework.preparation import TaskDataError, image_check, questions, require
from ndino.formats.image_files import image_fault
from ndino.formats.llava_json import ConversationError, read_conversations
from tests.surroundings import open_folder, user_without_rights

RED = Image.new("RGB", (4, 6), "red")


@pytest.mark.parametrize("kept", [0, 20, 60, -200])
def test_a_truncated_image_raises_what_is_caught(kept):
    whole = io.BytesIO()
    Image.effect_noise((60, 60), 50).save(whole, "PNG")
    with pytest.raises(BROKEN_IMAGE):
        Image.open(io.BytesIO(whole.getvalue()[:kept])).load()


def test_damaged_avif_files_raise_what_is_caught():
    whole = io.BytesIO()
    Image.effect_noise((60, 40), 80).convert("RGB").save(whole, "AVIF")
    rng = random.Random(0)
    found = set()
    for _ in range(120):
        damaged = bytearray(whole.getvalue())
        for _ in range(rng.choice([1, 2, 8])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            with Image.open(io.BytesIO(damaged)) as image:
                image.load()
        except BROKEN_IMAGE as error:
            found.add(type(error))
    assert RuntimeError in found, "of libavif, in an undamaged container"


# 900 megapixels are allowed, and take 3.6 GB as RGB.
TOO_LARGE_FOR_MEMORY = """
import resource, sys
from PIL import Image
from ndino.common.images import BROKEN_IMAGE, MAX_IMAGE_PIXELS
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS
try:
    with Image.open(sys.argv[1]) as image:
        image.load()
except BROKEN_IMAGE as error:
    print(type(error).__name__)
"""


def test_an_image_that_does_not_fit_into_memory_raises_what_is_caught(tmp_path):
    path = tmp_path / "huge.png"
    Image.new("RGB", (30, 30)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = (30_000).to_bytes(4, "big") * 2  # width and height in the header
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", TOO_LARGE_FOR_MEMORY, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "MemoryError\n"


def test_the_header_of_an_image_above_pillow_s_limit_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (60, 40)).save(tmp_path / "large.png")
    assert image_size(tmp_path / "large.png") == (40, 60)
    (tmp_path / "none.png").write_text("no image")
    for name in ("none.png", "nowhere.png"):
        with pytest.raises(ImageFaultError):
            image_size(tmp_path / name)


def test_a_decompression_bomb_raises_what_is_caught(monkeypatch):
    whole = io.BytesIO()
    Image.new("L", (60, 60)).save(whole, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BROKEN_IMAGE):
        Image.open(whole)


def test_digests_and_limit_keep_the_values_that_stored_answers_were_keyed_with():
    assert image_digest(b"the content of a file") == "eff85008fa7a6cbb0a84792641c0022c"
    assert pixel_digest(RED) == "016fe8e112475e3db708cddca2d8fa15"
    assert MAX_IMAGE_PIXELS == 933_120_000


def test_pixels_decide_whatever_the_file_and_so_do_mode_and_size():
    encoded = io.BytesIO()
    RED.save(encoded, "PNG")
    assert pixel_digest(Image.open(encoded)) == pixel_digest(RED)
    assert len({pixel_digest(image) for image in (RED, RED.resize((6, 4)), RED.convert("L"))}) == 3
    assert image_digest(encoded.getvalue()) != image_digest(encoded.getvalue() + b"\0")


def test_an_encoded_image_and_its_url_hold_what_was_given():
    content = encode_image(RED, "PNG")
    assert read_image(content).tobytes() == RED.tobytes()
    kind, _, text = data_url(RED, "PNG").partition(",")
    assert (kind, base64.b64decode(text)) == ("data:image/png;base64", content)
    assert data_url(RED, "JPEG", quality=90).startswith("data:image/jpeg;base64,")


def test_what_is_seen_is_an_images_identity_in_sample_logs():
    assert image_sha256(RED) == hashlib.sha256(b"4x6\n" + bytes([255, 0, 0]) * 24).hexdigest()
    assert image_sha256(RED.convert("P")) == image_sha256(RED)
    assert len({image_sha256(image) for image in (RED, RED.resize((6, 4)), RED.convert("L"))}) == 3


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3000)).decode()


@pytest.mark.parametrize("data", [PNG, PNG[:120], f"data:image/png;base64,{PNG}", "/9j/" + "A" * 50])
def test_an_image_in_place_of_its_name_is_never_printed_and_every_command_says_the_same(
    data, tmp_path, monkeypatch
):
    reason, remedy = missing_image(data, tmp_path)
    assert reason == f"image holds {len(data):,} characters of data in place of a file name"
    assert image_fault(data, tmp_path) == f"{reason} (remedy: {remedy})"
    turns = [{"from": "human", "value": "<image>\nDove?"}, {"from": "gpt", "value": "Qui."}]
    row = {"id": "1", "image": data, "conversations": turns, "question": "Dove?", "answer": "Qui."}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    rejects: list[ConversationError] = []
    assert not list(read_conversations(tmp_path / "data.jsonl", image_folder=tmp_path, rejects=rejects))
    assert str(rejects[0]) == f"{tmp_path / 'data.jsonl'} row 1: {reason} (remedy: {remedy})"
    (item,) = read_items(str(tmp_path / "data.jsonl"), images_dir=tmp_path)
    assert item.fault == f"image cannot be read: {reason}: {tmp_path / 'data.jsonl'} row 1"
    (tmp_path / "owner").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskDataError) as caught:
        found = questions(Dataset.from_list([row]), "owner")
        require(found, image_check(found))
    said = f"owner row 1: {reason} (remedy: {remedy})".replace(f"{tmp_path},", f"{tmp_path / 'owner'},")
    assert str(caught.value) == said


def test_a_name_of_a_file_that_is_missing_is_shown(tmp_path):
    assert missing_image("città/a.png", tmp_path)[0] == f"image città/a.png is not in {tmp_path}"


FIND = """
import sys
from pathlib import Path
from ndino.common.images import ImageFaultError, find_image
try:
    find_image(sys.argv[2], Path(sys.argv[1]))
except ImageFaultError as error:
    print(error.reason, error.remedy, sep="; ")
"""


@pytest.mark.parametrize("name", ["a.png", "è.png"])
def test_an_image_in_a_closed_folder_is_not_called_missing(name):
    with open_folder("images") as folder:
        RED.save(folder / name)
        folder.chmod(0)
        command = user_without_rights().command(sys.executable, "-c", FIND, folder, name)
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        folder.chmod(0o755)
    remedy = "ask the owner for chmod -R a+rX, or choose another place"
    assert done.stdout.strip() == f"image {name}: {folder / name}: Permission denied; {remedy}", done.stderr
