"""The table in a terminal: a client of the public API, which needs a running service and nothing
else: no database, no files."""
