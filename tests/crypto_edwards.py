"""A naive second implementation of edwards25519, written from RFC 8032 §5.1 and §6.

It knows the torsion points, so that tests can build the signatures on which
Ed25519 libraries disagree.
"""

from __future__ import annotations

from hashlib import sha512

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
IDENTITY = (0, 1)

Point = tuple[int, int]


def add(one: Point, two: Point) -> Point:
    """The complete affine addition law of -x² + y² = 1 + dx²y²."""
    (x1, y1), (x2, y2) = one, two
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P)
    return x % P, y % P


def times(scalar: int, point: Point) -> Point:
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def encode(point: Point) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def point_with_y(y: int) -> Point | None:
    """The point with even x, None when there is none."""
    squared = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(squared, (P + 3) // 8, P)
    if x * x % P != squared:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != squared:
        return None
    return (P - x if x & 1 else x), y


def _generator() -> Point:
    point = point_with_y(4 * pow(5, P - 2, P) % P)
    if point is None:
        raise ValueError("RFC 8032 names a point")
    return point


def _torsion() -> tuple[Point, ...]:
    """The eight points of small order, as multiples of one of order eight."""
    y = 2
    while True:
        point = point_with_y(y)
        if point is not None:
            small = times(L, point)
            if times(4, small) != IDENTITY:
                return tuple(times(i, small) for i in range(8))
        y += 1


B = _generator()
TORSION = _torsion()


def hash_scalar(encoded_r: bytes, encoded_a: bytes, message: bytes) -> int:
    return int.from_bytes(sha512(encoded_r + encoded_a + message).digest(), "little") % L


def crafted(a: int, a_torsion: int, r: int, r_torsion: int, message: bytes) -> tuple[bytes, bytes, bool]:
    """(public key, signature, verdict): s = r + k·a, with torsion added to A and R.

    The equation s·B = R + k·A holds without a cofactor exactly when the torsion
    of R + k·A vanishes; A and R themselves must not have small order.
    """
    public_key = encode(add(times(a, B), TORSION[a_torsion]))
    encoded_r = encode(add(times(r, B), TORSION[r_torsion]))
    k = hash_scalar(encoded_r, public_key, message)
    signature = encoded_r + ((r + k * a) % L).to_bytes(32, "little")
    verdict = (r_torsion + k * a_torsion) % 8 == 0 and a % L != 0 and r % L != 0
    return public_key, signature, verdict
