"""Name the colours of an image from its pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

# Each colour's Italian name and a fruit of that colour, if there is one.
FRUITS = {
    "nero": "mora",
    "bianco": "cocco",
    "grigio": None,
    "marrone": "castagna",
    "beige": None,
    "rosso": "fragola",
    "rosa": "litchi",
    "arancione": "arancia",
    "giallo": "limone",
    "verde": "kiwi",
    "azzurro": None,
    "blu": "mirtillo",
    "viola": "prugna",
}
OPAQUE = 128  # alpha value from which a pixel counts


def colour_shares(image: Image.Image) -> list[tuple[str, float]]:
    """(name, share of the opaque pixels) of an RGBA image's colours, largest share first."""
    seen = np.asarray(image.getchannel("A")) >= OPAQUE
    hsv = np.asarray(image.convert("RGB").convert("HSV"), dtype=np.float32)[seen] / 255
    if not len(hsv):
        return []
    hue, saturation, value = hsv[:, 0] * 360, hsv[:, 1], hsv[:, 2]
    warm = (hue < 50) | (hue >= 338)
    # The first rule that holds gives the name. The bounds were set by eye, by looking at stamps.
    rules = [
        ("nero", value < 0.22),
        ("bianco", (saturation < 0.12) & (value > 0.85)),
        ("grigio", saturation < 0.15),
        ("marrone", warm & (value < 0.65) & ((hue > 12) & (hue < 50) | (value < 0.45))),
        ("beige", (hue > 12) & (hue < 65) & (saturation < 0.45)),
        ("rosa", ((hue <= 12) | (hue >= 338)) & (saturation < 0.5)),
        ("rosso", (hue <= 12) | (hue >= 338)),
        ("arancione", hue < 42),
        ("giallo", hue < 68),
        ("verde", hue < 165),
        ("azzurro", (hue < 200) | ((hue < 260) & (saturation < 0.5) & (value > 0.7))),
        ("blu", hue < 260),
        ("viola", (hue < 310) | (value < 0.5)),
        ("rosa", np.ones_like(seen[seen])),
    ]
    which = np.select([holds for _, holds in rules], range(len(rules)))
    names = np.array([name for name, _ in rules])[which]
    found, counts = np.unique(names, return_counts=True)
    shares = zip(found.tolist(), (counts / len(names)).tolist(), strict=True)
    return sorted(shares, key=lambda share: (-share[1], share[0]))
