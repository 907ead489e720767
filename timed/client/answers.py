"""What an HTTP answer means before its body is read as JSON-RPC; both clients ask here."""

from __future__ import annotations

from timed.client import message
from timed.client.errors import (
    BadResponse,
    Busy,
    ConnectionLost,
    Forbidden,
    RateLimited,
    Unauthorized,
    failure,
)

JSON = "application/json"
MAX_ANSWER_BYTES = 128 * 1024 * 1024
"""A longer answer is not read to its end. A node's longest, to a batch, has 64 MiB and what its last call takes."""
MAX_RETRY_AFTER_S = 3_600
"""A server that asks for more is believed this far."""


def too_long() -> BadResponse:
    """The error for an answer that is not read to its end."""
    return BadResponse(f"an answer of more than {MAX_ANSWER_BYTES} bytes: ask for less at a time.")


def check(place: str, status: int, content_type: str, retry_after: str, body: bytes) -> bytes:
    """The body of a JSON-RPC answer; otherwise the error that the status stands for.

    A refusal with a JSON-RPC body, as a 403 for a method that the caller may not use,
    is an answer: the body says more than the status. So it does of a 503 for a call that
    an RPC process had handed on.
    """
    is_json = content_type.partition(";")[0].strip().lower() == JSON
    if status == 401:
        raise Unauthorized(
            f"the node at {place} does not take these credentials.",
            "Use the cookie file of that node: --datadir names its directory.",
        )
    if status == 429:
        raise RateLimited(f"the node at {place} has no more time for this caller now.", seconds(retry_after))
    if status == 503:
        if is_json:
            _refuse_lost(body)
        raise Busy(f"nobody at {place} has time for this call now.", seconds(retry_after))
    if is_json:
        return body
    text = body[:200].decode(errors="replace").strip()
    if status == 403:
        raise Forbidden(f"the node at {place} refuses: {text}")
    raise BadResponse(f"HTTP {status} from {place}: {text}")


def _refuse_lost(body: bytes) -> None:
    """ConnectionLost for the answer to a call that may have been carried out."""
    try:
        answer = message.load(body)
    except BadResponse:
        return
    found = failure(answer.get("error")) if isinstance(answer, dict) else None
    if isinstance(found, ConnectionLost):
        raise found


def seconds(header: str) -> int | None:
    """Retry-After in seconds; None for a date, which nodes never send, and for nonsense."""
    if not header.isascii() or not header.isdigit() or len(header) > 9:
        return None
    return min(int(header), MAX_RETRY_AFTER_S)
