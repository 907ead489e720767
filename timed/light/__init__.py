"""Proofs for those who keep no chain."""
