"""Compressed payloads: one zstd frame each, whose size is known before it is expanded (protocol §5).

Only what a benchmark has shown to shrink is compressed (`MessageType.compress`), and only
when it does: hashes, keys and signatures are most of what nodes say, and are noise.
What arrives is judged by its header alone until it is found harmless.
"""

from __future__ import annotations

from functools import cached_property

import zstandard

from timed.wire.framing import FrameError

LEVEL = 1
"""Level 3 is half as fast and saves one byte in a hundred more."""
MIN_BYTES = 1024
"""A payload up to this length is sent as it is."""
MAX_BYTES = 1024 * 1024
"""So is a longer one than this, which takes the sender's thread some milliseconds: a page of a
reply is not longer, but for a single block that is."""
SAMPLE_BYTES = 64 * 1024
"""The beginning of a payload of twice this length must gain enough, before the rest is tried."""
LEAST_GAIN_PERCENT = 10
"""What the compressed form must be shorter, or it is not used."""
MAX_RATIO = 64
"""A payload may be this many times as long as its compressed form."""
MAX_WINDOW_BYTES = 8 * 1024 * 1024
"""What zstd asks every decoder to bear."""

_MAGIC = b"\x28\xb5\x2f\xfd"


class CompressionError(FrameError):
    """A compressed payload that is refused; the session cannot go on.

    "compressed-damaged" when it is no zstd frame, or not one that an encoder of this
    protocol writes; "compressed-size" when it does not tell how long the payload is, or
    that is too long; "compressed-ratio" when it is too short for that.
    """


class Packing:
    """Compresses and expands; its tables are made when they are first needed, and kept."""

    def pack(self, payload: bytes) -> bytes | None:
        """The compressed form, or None when `payload` is better sent as it is."""
        size = len(payload)
        if not MIN_BYTES < size <= MAX_BYTES:
            return None
        if size >= 2 * SAMPLE_BYTES:
            sample = payload[:SAMPLE_BYTES]
            if not _is_worth(len(sample), len(self._compressor.compress(sample))):
                return None
        packed = self._compressor.compress(payload)
        return packed if _is_worth(size, len(packed)) and size <= MAX_RATIO * len(packed) else None

    def unpack(self, packed: bytes, limit: int) -> bytes:
        """The payload, of at most `limit` bytes; CompressionError."""
        size = declared_size(packed, limit)
        try:
            payload = self._decompressor.decompress(packed, max_output_size=size, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise CompressionError("compressed-damaged", str(error)) from None
        if len(payload) != size:
            raise CompressionError("compressed-damaged", f"{len(payload)} bytes instead of {size}")
        return payload

    def __getstate__(self) -> dict[str, object]:
        """A copy makes tables of its own."""
        return {}

    @cached_property
    def _compressor(self) -> zstandard.ZstdCompressor:
        return zstandard.ZstdCompressor(LEVEL, write_checksum=False, write_content_size=True)

    @cached_property
    def _decompressor(self) -> zstandard.ZstdDecompressor:
        return zstandard.ZstdDecompressor()


def _is_worth(size: int, packed: int) -> bool:
    return 100 * packed <= (100 - LEAST_GAIN_PERCENT) * size


def declared_size(packed: bytes, limit: int) -> int:
    """How long the payload will be, from the header alone; CompressionError unless that is harmless."""
    if not packed.startswith(_MAGIC):
        raise CompressionError("compressed-damaged", "no zstd frame")
    try:
        header = zstandard.get_frame_parameters(packed)
    except zstandard.ZstdError as error:
        raise CompressionError("compressed-damaged", str(error)) from None
    size = header.content_size
    if size == zstandard.CONTENTSIZE_UNKNOWN or size > limit:
        raise CompressionError("compressed-size", f"{size} bytes, at most {limit}")
    if header.window_size > MAX_WINDOW_BYTES:
        raise CompressionError("compressed-size", f"a window of {header.window_size} bytes")
    if header.dict_id:
        raise CompressionError("compressed-damaged", f"dictionary {header.dict_id}")
    if not len(packed) < size <= MAX_RATIO * len(packed):
        raise CompressionError("compressed-ratio", f"{size} bytes in {len(packed)}")
    return int(size)
