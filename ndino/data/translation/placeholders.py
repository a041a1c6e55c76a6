"""Placeholders: text that a translation must not change."""

from __future__ import annotations

import re

# A tag (<image>), a field to fill in ({name}, %s), a web or e-mail address. Without groups, since this
# expression is embedded in others.
PLACEHOLDER = re.compile(
    r"</?[A-Za-z][^<>\s]*>|\{[^{}\s]*\}|%[sd]\b|\b[a-z]+://[^\s<>]*[^\s<>.,;:!?)'\"]|[\w.+-]+@[\w-]+\.[\w.-]*\w"
)
