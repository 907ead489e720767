"""Tells `twistd` about `timed`."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

timed = ServiceMaker("timed", "timed.app.tap", "A node of the TIME Coin protocol.", "timed")
