"""How often the process that serves has had to be replaced by another one."""

import mmap
import struct

REPLACEMENTS = 5
REPLACEMENTS_SECONDS = 600.0
"""A process may give its place up so often in so long; once more, and the service ends. A thread
counts as stuck after 30 s only, so that a minute would never see six."""

_TIMES = struct.Struct(f"{REPLACEMENTS}d")


class Replacements:
    """The latest replacements, in memory that is shared by all processes forked from the one that
    made this object: whoever gives its place up is gone, and its count must not be."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _TIMES.size)

    def another(self, now: float) -> bool:
        """Note one at `now` (monotonic seconds, which all processes of a machine share); False, and
        nothing noted, where there have been too many already."""
        latest = sorted(_TIMES.unpack(self._shared[:]))
        if latest[0] and now - latest[0] < REPLACEMENTS_SECONDS:
            return False
        self._shared[:] = _TIMES.pack(*latest[1:], now)
        return True
