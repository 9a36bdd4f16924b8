"""From an exchange to the store: collector, log, builder, and what repeats their steps."""
