"""Benchmarks: each compares two things in one run and says on what machine."""
