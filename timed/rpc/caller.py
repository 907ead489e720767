"""Who calls: what the authentication found, and what the budget is kept for."""

from __future__ import annotations

import msgspec

from timed.rpc.credentials import ROLES
from timed.rpc.method import ADMIN, PERMISSIONS, Method

Client = tuple[str, str]
"""Account and address: whom budgets, turns and subscriptions are counted for."""


class Caller(msgspec.Struct, frozen=True, gc=False):
    """An authenticated client; `methods` is what it is limited to, None for all that it is permitted."""

    user: str
    address: str = ""
    permissions: frozenset[str] = frozenset(PERMISSIONS)
    methods: frozenset[str] | None = None
    charged: bool = False
    """Another process of this node has let the call in, and charged for it."""

    @property
    def client(self) -> Client:
        return self.user, self.address

    @property
    def passes(self) -> bool:
        """An administrator's calls are never held up for others; who is limited to a list is none."""
        return self.charged or (ADMIN in self.permissions and self.methods is None)

    @property
    def who(self) -> str:
        """For the log: the account, its role, and where it calls from."""
        role = next((name for name, may in ROLES.items() if may == self.permissions), "no role")
        limited = "" if self.methods is None else ", limited to a list"
        return f"{self.user} ({role}{limited}) from {self.address or 'an unknown address'}"

    def may_call(self, method: Method) -> bool:
        return method.permission in self.permissions and (self.methods is None or method.name in self.methods)
