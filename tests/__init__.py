"""The tests. A property is judged by what it finds, never by how fast a busy machine makes its examples."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("timed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timed")
