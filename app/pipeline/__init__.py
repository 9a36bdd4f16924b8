"""From an exchange to the store: collector, log, builder, and the runner that repeats their steps."""
