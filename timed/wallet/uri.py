"""Payment URIs: ``timecoin:ADDRESS?amount=1.5&label=shop&message=order%207``, and their QR codes.

After BIP 21: unknown parameters are passed over, unknown ones that begin with
``req-`` make the URI unusable. Amounts are in TIME, exact, without exponents.
"""

from __future__ import annotations

import io
from urllib.parse import quote, unquote_to_bytes

import attrs
import segno

from timed.errors import RemoteError
from timed.params import NetworkParams
from timed.primitives.address import InvalidAddress, decode_address
from timed.primitives.amounts import InvalidAmount, format_amount, parse_amount

SCHEME = "timecoin"
MAX_URI = 1_024
"""Characters; a longer one is not looked at, and would make no readable code."""
MAX_TEXT = 256
_QUIET = 4
"""Modules around a code that must stay light."""
_HALVES = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
"""Two modules, one above the other; light ones are painted, for terminals with light text on dark."""
_URI_CHARACTERS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?@!$&'()*+,;=%"
)


class InvalidUri(RemoteError, ValueError):
    """Text that is no payment URI of this network.

    "uri-length", "uri-scheme", "uri-character", "uri-parameter", "uri-required", and
    the rules of addresses and amounts.
    """


@attrs.frozen
class PaymentUri:
    """Who is to be paid; `amount` is in units, None when the payer chooses."""

    address: str
    amount: int | None = None
    label: str = ""
    message: str = ""


def make_uri(payment: PaymentUri, params: NetworkParams) -> str:
    """The text; InvalidUri when it could not be read back."""
    given = {
        "amount": _shortest(payment.amount) if payment.amount is not None else "",
        "label": payment.label,
        "message": payment.message,
    }
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items() if value)
    text = f"{SCHEME}:{payment.address}" + (f"?{query}" if query else "")
    parse_uri(text, params)
    return text


def parse_uri(text: str, params: NetworkParams) -> PaymentUri:
    """What the URI asks for; InvalidUri with the rule it breaks."""
    if len(text) > MAX_URI:
        raise InvalidUri("uri-length", f"{len(text)} characters")
    if not _URI_CHARACTERS.issuperset(text):
        raise InvalidUri("uri-character", "a URI has no blanks and no foreign letters")
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() != SCHEME:
        raise InvalidUri("uri-scheme", f"it begins with {SCHEME}:")
    address, _, query = rest.partition("?")
    given = _parameters(query)
    try:
        decode_address(params, address)
        amount = parse_amount(given["amount"]) if "amount" in given else None
    except (InvalidAddress, InvalidAmount) as error:
        raise InvalidUri(error.rule, error.detail) from None
    if amount == 0:
        raise InvalidUri("amount-range", "nothing is asked for")
    return PaymentUri(address, amount, given.get("label", ""), given.get("message", ""))


def _parameters(query: str) -> dict[str, str]:
    """The parameters we know; each may stand once."""
    given: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        known = name in ("amount", "label", "message")
        if not name or not equals or name in given:
            raise InvalidUri("uri-parameter", name[:32])
        if name.startswith("req-"):
            raise InvalidUri("uri-required", name[:32])
        given[name] = _decoded(name, value) if known else ""
    return {name: value for name, value in given.items() if name in ("amount", "label", "message")}


def _decoded(name: str, value: str) -> str:
    """Percent signs stand for bytes of UTF-8, and nothing else does: a plus sign is a plus sign."""
    pieces = value.split("%")[1:]
    hexadecimal = all(len(piece) >= 2 and _is_hex(piece[:2]) for piece in pieces)
    try:
        text = unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        hexadecimal, text = False, ""
    if not hexadecimal or len(text) > MAX_TEXT or any(not each.isprintable() for each in text):
        raise InvalidUri("uri-parameter", name)
    return text


def _is_hex(text: str) -> bool:
    return all(each in "0123456789abcdefABCDEF" for each in text)


def _shortest(units: int) -> str:
    return format_amount(units).rstrip("0").rstrip(".")


def qr_lines(uri: str) -> list[str]:
    """A QR code in block letters, line by line, for a terminal with light text on a dark ground."""
    rows = [
        [bool(module) for module in row] for row in segno.make_qr(uri, error="m").matrix_iter(border=_QUIET)
    ]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [
        "".join(_HALVES[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def qr_svg(uri: str) -> str:
    """A QR code as an SVG document."""
    out = io.BytesIO()
    segno.make_qr(uri, error="m").save(out, kind="svg", scale=4, border=_QUIET)
    return out.getvalue().decode("utf-8")
