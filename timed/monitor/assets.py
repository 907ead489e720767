"""The dashboard's files: package data, sent as they are, with the headers that keep a page to itself."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import attrs

TYPES: Mapping[str, bytes] = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
INDEX = "index.html"
FOLDER = "/page/"

HEADERS: Mapping[str, str] = {
    "Content_Security_Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X_Content_Type_Options": "nosniff",
    "Referrer_Policy": "no-referrer",
    "Cross_Origin_Opener_Policy": "same-origin",
    "Cross_Origin_Resource_Policy": "same-origin",
    "Cache_Control": "no-cache",
}
"""Names as `BoundedRequest.respond` takes them."""


@attrs.frozen
class Asset:
    """One file and its media type."""

    type: bytes
    body: bytes


def assets() -> dict[bytes, Asset]:
    """Every file of the page by its path; the index stands at the root."""
    found = {}
    for file in resources.files("timed.monitor").joinpath("page").iterdir():
        media = TYPES.get(file.name.rpartition(".")[2])
        if media is None:
            continue
        path = "/" if file.name == INDEX else FOLDER + file.name
        found[path.encode()] = Asset(media, file.read_bytes())
    return found
