"""What must come through a translation untouched."""

from __future__ import annotations

import re

# A tag (<image>), a name to fill in ({name}, %s), an address of the web or of mail. No groups inside:
# it is put into other expressions.
PLACEHOLDER = re.compile(
    r"</?[A-Za-z][^<>\s]*>|\{[^{}\s]*\}|%[sd]\b|\b[a-z]+://[^\s<>]*[^\s<>.,;:!?)'\"]|[\w.+-]+@[\w-]+\.[\w.-]*\w"
)
