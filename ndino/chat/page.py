"""The page itself: one file with its style and its script, which loads nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files


def render_page() -> tuple[str, str]:
    """The page, and its content security policy: it runs its own script and asks its own server alone."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = files("ndino.chat") / "templates"
    style, script = ((templates / name).read_text("utf-8").strip() for name in ("chat.css", "chat.js"))
    environment = Environment(
        loader=PackageLoader("ndino.chat"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("chat.html.j2").render(style=style, script=script)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src 'self' data:",
            "connect-src 'self'",
            *(f"{what} 'none'" for what in ("base-uri", "form-action", "frame-ancestors")),
        ]
    )
    return page, policy


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
