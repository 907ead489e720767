"""Indexes over the blocks of the store: built beside it, read by whoever asks about the past."""
