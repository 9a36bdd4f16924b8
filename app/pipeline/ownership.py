"""Who may write: the process that holds the lock on DATA_DIR and the one on the database."""

import logging

from app.storage.locks import Lock

log = logging.getLogger(__name__)


class Ownership:
    """`step` again and again. Once owner, a database that does not answer changes nothing: should
    another process have taken over meanwhile, the epoch refuses our commits, and `lose` is called.
    Of DATA_DIR no epoch tells, so its lock does.
    """

    def __init__(self, folder: Lock, database: Lock) -> None:
        self._folder, self._database = folder, database
        self.owner = False
        self._told = False

    def step(self) -> bool:
        """Try to become, or go on being, the owner. StoreError where the database's lock cannot be
        asked for, OSError where DATA_DIR cannot be locked: both leave `owner` as it was."""
        folder = self._folder.hold()
        if self.owner and not folder:
            log.warning("another process has taken DATA_DIR over: this one serves reads")
            self.lose()
            return False
        if not folder:
            self._database.look()
        held = folder and self._database.hold()
        if held and not self.owner:
            log.info("this process writes the candles")
        elif not held and not self.owner and not self._told:
            self._told = True
            log.info("another process writes the candles: this one serves reads and waits")
        self.owner = self.owner or held
        return self.owner

    def lose(self) -> None:
        """Stop being the owner and let go of the locks."""
        self.owner = False
        self._database.release()
        self._folder.release()
