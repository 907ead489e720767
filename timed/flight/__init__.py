"""The flight recorder: what went into a node, behind a copy of its state, and how it is executed again.

`freeze` copies the state of the machines and gives it back, `tape` holds what went
in, `recorder` stands between a host and its node and keeps the last of it in a
bounded ring, `replay` executes a recording again and says where it differs.
"""
