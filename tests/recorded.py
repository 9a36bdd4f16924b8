"""Where recorded exchange traffic lies, which is not part of this repository."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("RECORDED_DIR", Path(__file__).parents[2] / "shared" / "recorded"))

needs_recordings = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no recorded traffic: set RECORDED_DIR to its folder"
)
