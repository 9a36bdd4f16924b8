"""The files of the page, read once: only what is there by name is ever served."""

import hashlib
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("static")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}


class File(NamedTuple):
    """digest: of its content, which alone tells one version from another."""

    body: bytes
    content_type: str
    digest: str


def read_files(folder: Path = FOLDER) -> dict[str, File]:
    """By path below `folder`, with forward slashes. KeyError for a kind without a type."""
    return {
        path.relative_to(folder).as_posix(): _read(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _read(path: Path) -> File:
    body = path.read_bytes()
    digest = hashlib.blake2s(body, digest_size=12).hexdigest()
    return File(body, TYPES[path.suffix], digest)
