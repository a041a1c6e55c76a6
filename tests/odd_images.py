"""Image files of every odd kind, made here, with the pixels that each has to become or why it is refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE = (64, 48)
ORIENTATION = 0x0112
# What a file has to hold to be shown upright by each EXIF orientation.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class OddImage:
    """A file.

    Attributes:
        pixels: uint8 (height, width, 3) that it becomes; None where it is refused.
        fault: part of the reason why it is refused.
        far: the largest mean difference to ``pixels``; above 0 for lossy formats alone.
        several: whether it has more frames or pages than the one that is used.
    """

    name: str
    content: bytes
    pixels: np.ndarray | None = None
    fault: str = ""
    far: float = 0.0
    several: bool = False


def scene() -> Image.Image:
    """A red and a blue shape on light grey; no two of its eight orientations are alike."""
    image = Image.new("RGB", SIZE, (250, 250, 250))
    draw = ImageDraw.Draw(image)
    draw.rectangle((4, 4, 24, 40), fill=(200, 30, 30))
    draw.ellipse((36, 8, 60, 32), fill=(20, 60, 200))
    return image


def ink(ground: tuple[int, ...]) -> Image.Image:
    """Black lines on a ground, which may be transparent."""
    image = Image.new("RGBA", SIZE, (*ground, 255)[:4])
    draw = ImageDraw.Draw(image)
    for y in range(6, 46, 8):
        draw.line((5, y, 58, y), fill=(0, 0, 0, 255), width=3)
    return image


TRANSPARENT = (0, 0, 0, 0)
SCENE = np.asarray(scene())
GREY = np.asarray(scene().convert("L").convert("RGB"))
INK = np.asarray(ink((255, 255, 255)).convert("RGB"))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(size: tuple[int, int], depth: int, colour: int, rows: bytes, *, late: bytes = b"", **chunks) -> bytes:
    """A PNG from its rows, each with a filter byte; ``late`` is EXIF behind the pixels."""
    found = [(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))]
    found += [(name.encode(), content) for name, content in chunks.items()]
    found += [(b"IDAT", zlib.compress(rows))] + ([(b"eXIf", late)] if late else []) + [(b"IEND", b"")]
    parts = [struct.pack(">I", len(data)) + name + data for name, data in found]
    sums = [struct.pack(">I", zlib.crc32(part[4:])) for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(part + sum_ for part, sum_ in zip(parts, sums, strict=True))


def rows_of(values: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in values)


def tiff(size: tuple[int, int], bits: int, pixels: bytes) -> bytes:
    """A grey TIFF of any number of bits, which Pillow does not write."""
    tags = {
        256: size[0],
        257: size[1],
        258: bits,
        259: 1,
        262: 1,
        273: 8,
        277: 1,
        278: size[1],
        279: len(pixels),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


def press() -> bytes:
    """The ICC profile of a press whose cyan ink is green: lut8 from CMYK to Lab, two points an ink."""
    corners = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    lab = [(0, 128, 128) if k else (117, 76, 178) if c else (255, 128, 128) for c, _, _, k in corners]
    same = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + same * 4
    table += b"".join(map(bytes, lab)) + same * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0made by a test\0\0"
    start = 128 + 4 + 12 * 3
    listed, content = struct.pack(">I", 3), b""
    for name, data in ((b"cprt", text), (b"wtpt", white), (b"A2B0", table)):
        listed += name + struct.pack(">II", start + len(content), len(data))
        content += data + b"\0" * (-len(data) % 4)
    head = (
        struct.pack(">I", start + len(content)) + b"\0\0\0\0" + b"\x02\x40\0\0" + b"prtr" + b"CMYK" + b"Lab "
    )
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + listed + content


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION] = orientation
    return made


def turned(orientation: int) -> Image.Image:
    return scene().transpose(STORED[orientation])


def kinds() -> dict[str, OddImage]:
    """All of them by name."""
    makers = (_plain, _transparent, _deep, _colours, _turned, _frames, _sizes, _broken)
    return {kind.name: kind for make in makers for kind in make()}


def _plain() -> Iterator[OddImage]:
    yield OddImage("rgb.png", encoded(scene(), "PNG"), SCENE)
    yield OddImage("rgb.jpg", encoded(scene(), "JPEG", quality=95, subsampling=0), SCENE, far=2)
    yield OddImage("rgb.bmp", encoded(scene(), "BMP"), SCENE)
    yield OddImage("rgb.webp", encoded(scene(), "WEBP", lossless=True), SCENE)
    yield OddImage("rgb.avif", encoded(scene(), "AVIF", quality=95), SCENE, far=4)
    yield OddImage("rgb.jp2", encoded(scene(), "JPEG2000"), SCENE)
    yield OddImage("rgb.ppm", encoded(scene(), "PPM"), SCENE)
    yield OddImage("named.gif.png", encoded(scene(), "PNG"), SCENE)
    grey = scene().convert("L")
    yield OddImage("grey8.png", encoded(grey, "PNG"), GREY)
    lines = np.asarray(grey.convert("1", dither=Image.Dither.NONE).convert("RGB"))
    yield OddImage("one_bit.png", encoded(grey.convert("1", dither=Image.Dither.NONE), "PNG"), lines)
    one_bit = encoded(grey.convert("1", dither=Image.Dither.NONE), "TIFF", compression="group4")
    yield OddImage("one_bit.tif", one_bit, lines)
    yield OddImage("palette.png", encoded(scene().quantize(64), "PNG"), SCENE, far=2)


def _transparent() -> Iterator[OddImage]:
    clear = ink(TRANSPARENT)
    yield OddImage("ink_rgba.png", encoded(clear, "PNG"), INK)
    yield OddImage("ink_grey_alpha.png", encoded(clear.convert("LA"), "PNG"), INK)
    yield OddImage("ink_palette.png", encoded(clear.quantize(16), "PNG"), INK)
    yield OddImage("ink.webp", encoded(clear, "WEBP", lossless=True, exact=True), INK)
    yield OddImage("ink.tif", encoded(clear, "TIFF"), INK)
    yield OddImage("ink.gif", encoded(clear, "GIF"), INK)
    # One colour, written nowhere in the drawing, stands for the ground.
    key = ink((1, 2, 3)).convert("RGB")
    yield OddImage("ink_colour_key.png", encoded(key, "PNG", transparency=(1, 2, 3)), INK)
    yield OddImage("ink_grey_key.png", encoded(ink((9, 9, 9)).convert("L"), "PNG", transparency=9), INK)
    half = Image.new("RGBA", SIZE, (0, 0, 0, 51))
    yield OddImage("half_seen.png", encoded(half, "PNG"), np.full_like(INK, 204))
    yield OddImage("invisible.png", encoded(Image.new("RGBA", SIZE), "PNG"), np.full_like(INK, 255))


def _deep() -> Iterator[OddImage]:
    grey = GREY[..., 0]
    deep = grey.astype(np.uint16) * 257
    yield OddImage("grey16.png", encoded(Image.fromarray(deep), "PNG"), GREY)
    yield OddImage("grey16.tif", encoded(Image.fromarray(deep), "TIFF"), GREY)
    big = Image.frombytes("I;16B", SIZE, deep.astype(">u2").tobytes())
    yield OddImage("grey16_big_endian.tif", encoded(big, "TIFF"), GREY)
    negative = encoded(Image.fromarray(65535 - deep), "TIFF", tiffinfo={262: 0})
    yield OddImage("grey16_white_is_zero.tif", negative, GREY)
    yield OddImage("grey16.pgm", b"P5 64 48 65535\n" + deep.astype(">u2").tobytes(), GREY)
    twelve = (grey.astype(np.uint16) * 16 + grey // 16).reshape(-1, 2)
    packed = np.stack(
        [twelve[:, 0] >> 4, (twelve[:, 0] & 15) << 4 | twelve[:, 1] >> 8, twelve[:, 1] & 255], 1
    )
    yield OddImage("grey12.tif", tiff(SIZE, 12, packed.astype(np.uint8).tobytes()), GREY)
    lines = np.asarray(ink((255, 255, 255)).convert("L")).astype(np.uint16)
    lines = np.where(lines == 255, 30_000, 0).astype(">u2")
    keyed = png(SIZE, 16, 0, rows_of(lines), tRNS=struct.pack(">H", 30_000))
    yield OddImage("ink_grey16_key.png", keyed, INK)
    yield OddImage("rgb16.png", png(SIZE, 16, 2, rows_of((SCENE.astype(">u2") * 257).astype(">u2"))), SCENE)
    rgba = np.asarray(ink(TRANSPARENT)).astype(np.uint16) * 257
    yield OddImage("ink_rgba16.png", png(SIZE, 16, 6, rows_of(rgba.astype(">u2"))), INK)
    yield OddImage("int32_bytes.tif", encoded(Image.fromarray(grey.astype(np.int32)), "TIFF"), GREY)
    yield OddImage("int32_deep.tif", encoded(Image.fromarray(deep.astype(np.int32)), "TIFF"), GREY)
    yield OddImage("float_to_1.tif", encoded(Image.fromarray((grey / 255).astype(np.float32)), "TIFF"), GREY)
    yield OddImage("float_to_255.tif", encoded(Image.fromarray(grey.astype(np.float32)), "TIFF"), GREY)
    # No standard says what is black here: the smallest and the largest value are.
    wide = (grey.astype(np.float32) - grey.min()) / (grey.max() - grey.min()) * 300 - 200
    spread = np.rint((wide + 200) * (255 / 300)).astype(np.uint8)
    with_hole = wide.copy()
    with_hole[0, 0] = np.nan
    hole = spread.copy()
    hole[0, 0] = 0
    yield OddImage("float_any.tif", encoded(Image.fromarray(wide), "TIFF"), np.dstack([spread] * 3))
    yield OddImage("float_hole.tif", encoded(Image.fromarray(with_hole), "TIFF"), np.dstack([hole] * 3))


def _colours() -> Iterator[OddImage]:
    cyan = Image.new("CMYK", SIZE, (255, 0, 0, 0))
    naive, of_press = np.full_like(INK, (0, 255, 255)), np.full_like(INK, (0, 128, 0))
    yield OddImage("cmyk.jpg", encoded(cyan, "JPEG", quality=95), naive, far=2)
    yield OddImage("cmyk.tif", encoded(cyan, "TIFF"), naive)
    yield OddImage(
        "cmyk_profile.jpg", encoded(cyan, "JPEG", quality=95, icc_profile=press()), of_press, far=1
    )
    yield OddImage("cmyk_profile.tif", encoded(cyan, "TIFF", icc_profile=press()), of_press, far=1)
    yield OddImage("cmyk_bad_profile.tif", encoded(cyan, "TIFF", icc_profile=b"no profile"), naive)
    yield OddImage("ycbcr.tif", encoded(scene().convert("YCbCr"), "TIFF"), SCENE, far=2)
    yield OddImage("lab.tif", encoded(scene().convert("LAB"), "TIFF"), SCENE, far=3)


def _turned() -> Iterator[OddImage]:
    for value in STORED:
        content = encoded(turned(value), "JPEG", quality=95, subsampling=0, exif=exif(value))
        yield OddImage(f"exif{value}.jpg", content, SCENE, far=2)
    yield OddImage("exif6.png", encoded(turned(6), "PNG", exif=exif(6)), SCENE)
    yield OddImage("exif6.webp", encoded(turned(6), "WEBP", lossless=True, exif=exif(6)), SCENE)
    yield OddImage("exif6.tif", encoded(turned(6), "TIFF", tiffinfo={ORIENTATION: 6}), SCENE)
    yield OddImage("exif6.avif", encoded(turned(6), "AVIF", quality=95, exif=exif(6)), SCENE, far=4)
    stored = np.asarray(turned(6))
    late = png((48, 64), 8, 2, rows_of(stored), late=exif(6).tobytes()[6:])
    yield OddImage("exif6_behind_the_pixels.png", late, SCENE)
    clear = ink(TRANSPARENT).transpose(STORED[6])
    yield OddImage("exif6_ink.png", encoded(clear, "PNG", exif=exif(6)), INK)
    yield OddImage(
        "exif9.jpg", encoded(scene(), "JPEG", quality=95, subsampling=0, exif=exif(9)), SCENE, far=2
    )
    broken = encoded(scene(), "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0no tags at all")
    yield OddImage("exif_broken.jpg", broken, SCENE, far=2)


def _frames() -> Iterator[OddImage]:
    others = {"save_all": True, "append_images": [Image.new("RGB", SIZE, (0, 255, 0))]}
    yield OddImage("animated.gif", encoded(scene(), "GIF", **others), SCENE, far=2, several=True)
    yield OddImage("animated.webp", encoded(scene(), "WEBP", lossless=True, **others), SCENE, several=True)
    yield OddImage("animated.png", encoded(scene(), "PNG", **others), SCENE, several=True)
    yield OddImage("pages.tif", encoded(scene(), "TIFF", **others), SCENE, several=True)
    mpo = encoded(scene(), "MPO", quality=95, subsampling=0, **others)
    yield OddImage("two_lenses.jpg", mpo, SCENE, far=2)


def _sizes() -> Iterator[OddImage]:
    for width, height in ((1, 1), (300, 3), (3, 300)):
        image = Image.new("RGB", (width, height), (9, 90, 200))
        yield OddImage(f"{width}x{height}.png", encoded(image, "PNG"), np.asarray(image))


def _broken() -> Iterator[OddImage]:
    noise = Image.effect_noise(SIZE, 60).convert("RGB")
    half: Callable[[bytes], bytes] = lambda content: content[: len(content) // 2]  # noqa: E731
    yield OddImage("half.jpg", half(encoded(noise, "JPEG")), fault="truncated")
    yield OddImage("half.png", half(encoded(noise, "PNG")), fault="truncated")
    yield OddImage("half.gif", half(encoded(noise, "GIF")), fault="truncated")
    yield OddImage("half.webp", half(encoded(noise, "WEBP", lossless=True)), fault="cannot be read")
    yield OddImage("half.tif", half(encoded(noise, "TIFF")), fault="cannot be read")
    yield OddImage("half.avif", half(encoded(noise, "AVIF")), fault="cannot be read")
    whole = encoded(noise, "PNG")
    yield OddImage("torn_idat.png", whole[:300] + bytes(40) + whole[340:], fault="data stream")
    yield OddImage("empty.jpg", b"", fault="it is empty")
    yield OddImage("text.png", b"not an image at all", fault="it is no image")
    yield OddImage("page.jpg", b"<!DOCTYPE html><html>Not found", fault="it is HTML, not an image")
    yield OddImage("drawing.png", b'<?xml version="1.0"?><svg/>', fault="it is SVG")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    yield OddImage("pointer.jpg", pointer, fault="it is a Git LFS pointer")
    yield OddImage("phone.heic", b"\0\0\0\x18ftypheic" + bytes(40), fault="it is HEIC")
    yield OddImage("bomb.png", png((31_000, 31_000), 1, 0, b""), fault="it has more than 933,120,000 pixels")
    yield OddImage(
        "bomb_and_more.png", png((60_000, 60_000), 1, 0, b""), fault="it has more than 933,120,000"
    )
    nowhere = Image.fromarray(np.full(SIZE[::-1], np.nan, dtype=np.float32))
    yield OddImage("not_a_number.tif", encoded(nowhere, "TIFF"), fault="no pixel is a finite number")
