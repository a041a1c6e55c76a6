"""The image files of a data set: sizes from headers, and why one cannot be used."""

from __future__ import annotations

from PIL import Image

from ndino.formats import image_files
from ndino.formats.image_files import image_fault, read_header, read_headers


def test_sizes_are_height_and_width_and_faults_have_a_remedy(tmp_path):
    Image.new("RGB", (7, 5)).save(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("no image")
    assert read_header("a.png", tmp_path).size == (5, 7)
    missing, text = read_header("nowhere.png", tmp_path), read_header("text.png", tmp_path)
    assert missing.fault == (
        f"image nowhere.png is not in {tmp_path} (remedy: copy it there or correct the image folder)"
    )
    assert "image text.png cannot be read: it is no image" in str(text.fault) and "(remedy: " in str(
        text.fault
    )


def test_many_are_read_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "AHEAD", 4)
    for side in range(1, 11):
        Image.new("L", (side, 2 * side)).save(tmp_path / f"{side}.png")
    names = [f"{side}.png" for side in range(10, 0, -1)]
    headers = list(read_headers(iter(names), tmp_path))
    assert [header.name for header in headers] == names
    assert [header.size for header in headers] == [(2 * side, side) for side in range(10, 0, -1)]


def test_a_torn_image_is_found_by_decoding_it(tmp_path):
    path = tmp_path / "a.png"
    Image.effect_noise((60, 60), 50).save(path)
    assert image_fault("a.png", tmp_path) is None
    path.write_bytes(path.read_bytes()[:200])
    assert read_header("a.png", tmp_path).fault is None
    fault = str(image_fault("a.png", tmp_path))
    assert fault.startswith("image a.png cannot be read: ") and "(remedy: " in fault
