"""What kind of file this is, by its first bytes: names and servers say what they like."""

from __future__ import annotations

import re

SNIFF_BYTES = 512

# What files begin with; a page of HTML may begin with almost anything, so it is searched for its tags.
_SIGNATURES = (
    ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("image/gif", re.compile(rb"GIF8[79]a")),
    ("image/webp", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("image/bmp", re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)),
    ("image/tiff", re.compile(rb"II\*\0|MM\0\*")),
    ("application/pdf", re.compile(rb"[\s\S]{0,64}?%PDF-")),
    ("image/svg+xml", re.compile(rb"[\s\S]*?<svg[\s:>]", re.IGNORECASE)),
    ("text/html", re.compile(rb"[\s\S]*?<(?:!doctype\s+html|html|head|body|title)\b", re.IGNORECASE)),
)


def kind_of(first: bytes) -> str | None:
    """Media type that a file's first bytes show, or None where they show nothing known."""
    head = first[:SNIFF_BYTES]
    return next((kind for kind, signature in _SIGNATURES if signature.match(head)), None)
