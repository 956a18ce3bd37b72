"""Runs in a process of their own, while the one that asked for them goes on with other things."""
