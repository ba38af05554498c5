"""Text in CSV files that a spreadsheet may open: nothing in it may run as a formula, and readers get it back."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|[\t\n])")


def neutral(text: str) -> str:
    """`text`, led by an apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restored(text: str) -> str:
    """What `neutral` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
