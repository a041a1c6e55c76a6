"""A small package of made-up stamps in the layout of Tux Paint's."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {
    "red": (200, 30, 30),
    "green": (30, 160, 60),
    "blue": (40, 60, 200),
    "yellow": (240, 220, 40),
    "black": (10, 10, 10),
}
FOLDERS = {
    "animals/mammals": "gatto cane cavallo topo orso lupo cervo tasso riccio bisonte leone koala",
    "animals/birds": "merlo corvo gufo falco cigno airone passero picchio tucano struzzo fagiano pavone",
    "food/fruit": "kiwi limone mango lampone fico dattero mirtillo melone ananas ribes mandarino cocomero",
    "town/houses/cartoon": "castello faro mulino ponte tempio fienile palazzo forno porto museo igloo orto",
    "vehicles": "treno autobus trattore camion furgone triciclo veliero aereo elicottero taxi tram canotto",
    "symbols": "triangolo cerchio rombo quadrato asterisco cuore trifoglio picche fulmine fiocco nastro zero",
}


def write_stamp(folder: Path, name: str, caption: str | None, rgb=(200, 30, 30), size=(60, 40)) -> None:
    """A coloured ellipse on nothing, and its text file as the package has them."""
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA", (size[0] + 20, size[1] + 20), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((10, 10, size[0] + 9, size[1] + 9), fill=(*rgb, 255))
    image.save(path)
    if caption is not None:
        lines = [f"A {path.stem}.", "af.utf8='n Ding.", "ja.utf8=物"]
        lines += [f"{code}.utf8={caption}" for code in ("ca", "es", "it")]
        path.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_package(folder: Path) -> Path:
    """Six folders of twelve stamps, in colours and sizes that go round."""
    for place, names in FOLDERS.items():
        for index, name in enumerate(names.split()):
            rgb = list(COLOURS.values())[index % len(COLOURS)]
            write_stamp(folder, f"{place}/{name}", f"Un {name}.", rgb, (40 + 25 * (index % 7), 50))
    return folder
