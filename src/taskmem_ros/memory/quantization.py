"""Vectors in ten bits a number: eight of them first, the two finest behind, for the few that come to it.

A vector of d numbers is a float32 scale, d int8 and d / 4 bytes with two bits for each: the number is
scale * (int8 + bits / 4 - 1/2). The first stores had no bits; such vectors are as good as they were.
Of a million the eleventh nearest is about as near as the error of eight bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SCALE_BYTES = 4
_SHIFTS = np.arange(0, 8, 2, dtype=np.uint8)


def quantize(vector: np.ndarray) -> bytes:
    """A vector (d,), d a multiple of 4. Raises ValueError where it has no length."""
    largest = float(np.abs(vector).max())
    if not np.isfinite(largest) or largest == 0.0:
        raise ValueError("a vector of zeros or of numbers that are not finite says nothing")
    scale = np.float32(largest / 127)
    fine = np.round(4 * (vector / scale)).astype(np.int16) + 2
    bits = (fine & 3).astype(np.uint8).reshape(-1, 4) << _SHIFTS
    return (
        scale.tobytes() + (fine >> 2).astype(np.int8).tobytes() + bits.sum(axis=1, dtype=np.uint8).tobytes()
    )


def lengths(dimensions: int) -> tuple[int, int]:
    """Bytes of a quantized vector: without and with the finest bits."""
    whole = _SCALE_BYTES + dimensions
    return whole, whole + dimensions // 4


def coarse(blobs: Sequence[bytes], dimensions: int) -> np.ndarray:
    """(vectors, dimensions) int8 of quantized vectors; scales are left out, for only directions count."""
    joined = b"".join(blob[_SCALE_BYTES : _SCALE_BYTES + dimensions] for blob in blobs)
    return np.frombuffer(joined, np.int8).reshape(len(blobs), dimensions)


def nearest(
    blobs: Sequence[bytes], numbers: Sequence[int], vector: np.ndarray, limit: int
) -> list[tuple[int, float]]:
    """(number, cosine with the vector) of the nearest, nearest first, of equal ones the greatest number."""
    far = -_cosines(coarse(blobs, len(vector)), vector)
    few = np.argsort(far, kind="stable")[: limit + limit // 4 + 20]
    exact = _cosines(_fine([blobs[index] for index in few], len(vector)), vector)
    best = np.lexsort((-np.asarray(numbers)[few], -exact))[:limit]
    return [(int(numbers[few[index]]), float(exact[index])) for index in best]


def _fine(blobs: Sequence[bytes], dimensions: int) -> np.ndarray:
    """(vectors, dimensions) float32."""
    bare, whole = lengths(dimensions)
    middle = b"\xaa" * (whole - bare)  # two in every place: nothing added
    rest = b"".join(blob[bare:] or middle for blob in blobs)
    bits = np.frombuffer(rest, np.uint8).reshape(len(blobs), -1, 1) >> _SHIFTS & 3
    return coarse(blobs, dimensions) + (bits.reshape(len(blobs), -1).astype(np.float32) / 4 - 0.5)


def _cosines(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    vectors, vector = vectors.astype(np.float32), np.asarray(vector, np.float32)
    sizes = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) * np.linalg.norm(vector)
    return vectors @ vector / np.maximum(sizes, 1e-12)
