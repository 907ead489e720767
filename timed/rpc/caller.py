"""Who calls: what the authentication found, and what the budget is kept for."""

from __future__ import annotations

import msgspec

from timed.rpc.method import ADMIN, PERMISSIONS, Method


class Caller(msgspec.Struct, frozen=True, gc=False):
    """An authenticated client; `methods` is what it is limited to, None for all that it is permitted."""

    user: str
    address: str = ""
    permissions: frozenset[str] = frozenset(PERMISSIONS)
    methods: frozenset[str] | None = None
    charged: bool = False
    """Another process of this node has let the call in, and charged for it."""

    @property
    def passes(self) -> bool:
        """An administrator's calls are never held up for others; who is limited to a list is none."""
        return self.charged or (ADMIN in self.permissions and self.methods is None)

    def may_call(self, method: Method) -> bool:
        return method.permission in self.permissions and (self.methods is None or method.name in self.methods)
