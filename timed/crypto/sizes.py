"""Sizes of Ed25519 values in bytes (RFC 8032 §5.1)."""

from __future__ import annotations

SEED_SIZE = 32
PUBLIC_KEY_SIZE = 32
SIGNATURE_SIZE = 64
