"""gunicorn reads this file where it is started in this folder without `-c`: `gunicorn wsgi:app` is
the whole service too."""

from wsgi import *  # noqa: F403 -- its public names are gunicorn's settings
