"""The kind of a file by its first bytes: file names and Content-Type headers may be wrong."""

from __future__ import annotations

import re

SNIFF_BYTES = 512

# Signatures at the beginning of a file. An HTML page may begin with almost anything, so its first bytes are
# searched for tags.
_SIGNATURES = (
    ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("image/gif", re.compile(rb"GIF8[79]a")),
    ("image/webp", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("image/bmp", re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)),
    ("image/tiff", re.compile(rb"II\*\0|MM\0\*")),
    ("image/avif", re.compile(rb".{4}ftypavi[fs]", re.DOTALL)),
    ("image/jp2", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("image/x-portable-anymap", re.compile(rb"P[1-6]\s+(?:#|\d)")),
    ("application/pdf", re.compile(rb"[\s\S]{0,64}?%PDF-")),
    ("image/svg+xml", re.compile(rb"[\s\S]*?<svg[\s:>]", re.IGNORECASE)),
    ("text/html", re.compile(rb"[\s\S]*?<(?:!doctype\s+html|html|head|body|title)\b", re.IGNORECASE)),
)


def kind_of(first: bytes) -> str | None:
    """The media type that the first bytes of a file show, or None if they match no signature."""
    head = first[:SNIFF_BYTES]
    return next((kind for kind, signature in _SIGNATURES if signature.match(head)), None)
