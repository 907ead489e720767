"""Fuzzing: targets, damage that knows the layouts, and a kept corpus that CI replays.

A target takes any bytes and raises what is wrong with the code, never with the bytes.
`python -m tests.fuzz --list` names them.
"""
