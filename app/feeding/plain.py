"""Texts from elsewhere, made fit for a terminal."""

import re
import unicodedata

_SEQUENCE = re.compile(
    # Colors, the cursor.
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    # Titles, links, the clipboard.
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]"
)
_UNSEEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me", "Zl", "Zp")
"""Control characters, those that turn the direction of writing, and what is drawn over others."""


def plain(text: str, most: int = 200) -> str:
    """One line of `text` that moves no cursor and changes no color: at most `most` characters."""
    text = _SEQUENCE.sub("", text[: 10 * most])
    text = "".join(
        " " if char in "\t\r\n" else char
        for char in text
        if char in "\t\r\n" or unicodedata.category(char) not in _UNSEEN
    )
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
