"""Why a transport ended or never came to be: short stable names.

They are shared by logs, counters, RPC and tests. A link that the host closed
ends with the reason the host gave.
"""

from __future__ import annotations

from OpenSSL.SSL import Error as TlsError
from twisted.internet import error
from twisted.python.failure import Failure

# Refusals of what a peer shows in the TLS handshake.
NO_CERTIFICATE = "no-certificate"
NOT_ED25519 = "not-ed25519"
SESSION_RESUMED = "session-resumed"
WRONG_KEY = "wrong-key"
TLS_FAILED = "tls-failed"
"""Not TLS 1.3, or broken off with an alert."""
TLS_TOO_LONG = "tls-too-long"

# The operator.
BANNED = "banned"

# Bounds.
TIMEOUT = "timeout"
"""The one deadline for name, TCP and TLS has passed."""
FULL = "full"
GROUP_FULL = "group-full"
CROWDED_OUT = "crowded-out"
"""The oldest half-open connection made room for a newer one."""
DIAL_LIMIT = "dial-limit"
WRITE_OVERFLOW = "write-overflow"

# Dials.
BAD_ADDRESS = "bad-address"
UNKNOWN_HOST = "unknown-host"
CONNECTION_REFUSED = "connection-refused"
UNREACHABLE = "unreachable"
CONNECT_FAILED = "connect-failed"

# Ends.
CLOSED = "closed"
"""The other side ended it in good order."""
LOST = "lost"
STOPPING = "stopping"

_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (TlsError, TLS_FAILED),
    (error.ConnectionDone, CLOSED),
    (error.ConnectionLost, LOST),
    (error.ConnectionAborted, LOST),
    (error.DNSLookupError, UNKNOWN_HOST),
    (error.UnknownHostError, UNKNOWN_HOST),
    (error.ConnectionRefusedError, CONNECTION_REFUSED),
    (error.NoRouteError, UNREACHABLE),
    (error.TCPTimedOutError, TIMEOUT),
    (error.TimeoutError, TIMEOUT),
)


def reason_of(failure: Failure) -> str:
    """The name of what Twisted or OpenSSL reports; CONNECT_FAILED for what has none."""
    for kind, reason in _KINDS:
        if isinstance(failure.value, kind):
            return reason
    return CONNECT_FAILED
