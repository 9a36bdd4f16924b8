"""What is going on right now: states that live in memory only and are rebuilt by a restart."""

Feed = tuple[str, str]
"""(exchange, source)"""
