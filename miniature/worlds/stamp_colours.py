"""Name the colours of an image from its pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ndino.languages.lexicon import StampWords

OPAQUE = 128  # alpha value from which a pixel counts


def colour_shares(image: Image.Image, words: StampWords) -> list[tuple[str, float]]:
    """(colour, share of the opaque pixels) of an RGBA image's colours, largest share first.

    Colours are those of STAMP_COLOURS; equal shares are in the order of their words.
    """
    seen = np.asarray(image.getchannel("A")) >= OPAQUE
    hsv = np.asarray(image.convert("RGB").convert("HSV"), dtype=np.float32)[seen] / 255
    if not len(hsv):
        return []
    hue, saturation, value = hsv[:, 0] * 360, hsv[:, 1], hsv[:, 2]
    warm = (hue < 50) | (hue >= 338)
    # The first rule that holds gives the name. The bounds were set by eye, by looking at stamps.
    rules = [
        ("black", value < 0.22),
        ("white", (saturation < 0.12) & (value > 0.85)),
        ("grey", saturation < 0.15),
        ("brown", warm & (value < 0.65) & ((hue > 12) & (hue < 50) | (value < 0.45))),
        ("beige", (hue > 12) & (hue < 65) & (saturation < 0.45)),
        ("pink", ((hue <= 12) | (hue >= 338)) & (saturation < 0.5)),
        ("red", (hue <= 12) | (hue >= 338)),
        ("orange", hue < 42),
        ("yellow", hue < 68),
        ("green", hue < 165),
        ("light_blue", (hue < 200) | ((hue < 260) & (saturation < 0.5) & (value > 0.7))),
        ("blue", hue < 260),
        ("purple", (hue < 310) | (value < 0.5)),
        ("pink", np.ones_like(seen[seen])),
    ]
    which = np.select([holds for _, holds in rules], range(len(rules)))
    names = np.array([name for name, _ in rules])[which]
    found, counts = np.unique(names, return_counts=True)
    shares = zip(found.tolist(), (counts / len(names)).tolist(), strict=True)
    return sorted(shares, key=lambda share: (-share[1], words.colours[share[0]]))
