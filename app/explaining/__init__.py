"""The command `explain`: what the API tells of one window, for people at a terminal."""
