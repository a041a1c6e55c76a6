"""Chromium, for tests of the pages that commands write."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian package chromium)")


def run_page(outer: str, folder: Path) -> dict[str, Any]:
    """Load the page ``outer``, and return the JSON that its script puts into its element ``<pre id="out">``.

    Its frames may be files; it may look into them.
    """
    file = folder / "outer.html"
    file.write_text(outer, encoding="utf-8")
    command = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--no-first-run", "--allow-file-access-from-files"),
        *(
            f"--user-data-dir={folder / 'profile'}",
            "--window-size=1400,2200",
            "--virtual-time-budget=20000",
        ),
        *("--dump-dom", file.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found, f"the page did not load: {done.stdout[:500]} {done.stderr[-500:]}"
    return json.loads(html.unescape(found[1]))
