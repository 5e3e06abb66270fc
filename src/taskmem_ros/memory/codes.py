"""The codes of all vectors in main memory, and which of them are nearest to another.

A code has one bit for the sign of each number: 48 MB for a million vectors of 384 numbers. All are compared
with what is searched for, in stretches that fit into a processor's cache.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator

import numpy as np
from sqlite_utils import Database

from taskmem_ros.memory.quantization import coarse
from taskmem_ros.memory.schema import CODES_IN_BLOCK

STRETCH = 8 * CODES_IN_BLOCK  # memory ids whose codes are one array
SIFTED = 8  # times as many codes as are wanted are compared a second time, more closely


class Codes:
    """The codes of all vectors, as the file had them last. Safe in any thread.

    What another process adds to memories older than the newest that has a vector is not seen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By id, (dimensions / 64, STRETCH) uint64: one row after the other is compared quickest. Zeros where
        # there is no vector.
        self._stretches: list[np.ndarray] = []
        self._encoder: tuple[str, int] | None = None
        self.last = -1  # the newest memory whose code is here

    def load(self, db: Database) -> bool:
        """Bring the codes up to the file. False where it has no vectors."""
        encoder = db.execute("SELECT name, dimensions FROM encoders").fetchone()
        last = db.execute("SELECT max(memory_id) FROM vectors").fetchone()[0]
        with self._lock:
            if encoder is None or encoder != self._encoder:
                self._stretches, self._encoder, self.last = [], encoder, -1
            if encoder is None or last is None:
                return False
            if last > self.last:
                while len(self._stretches) * STRETCH <= last:
                    self._stretches.append(np.zeros((encoder[1] // 64, STRETCH), np.uint64))
                if last - self.last > CODES_IN_BLOCK:
                    self._read_blocks(db, last)
                self._read_vectors(db, last + 1)
        return True

    def put(self, numbers: np.ndarray, codes: np.ndarray) -> None:
        """Codes (memories, dimensions / 8) that were just written; what `load` has yet to read is left."""
        with self._lock:
            order = np.argsort(numbers)
            order = order[numbers[order] <= self.last]
            self._put(numbers[order], codes[order])

    def drop(self, numbers: np.ndarray) -> None:
        """These memories have no vector any more."""
        with self._lock:
            numbers = np.sort(numbers[numbers <= self.last])
            for stretch, inside, _ in _split(self._stretches, numbers):
                stretch[:, inside] = 0

    def nearest(
        self, vector: np.ndarray, count: int, first: int, last: int, among: np.ndarray | None
    ) -> np.ndarray:
        """The ids in [first, last] whose codes differ least from the vector's, at most `count`, ascending.

        among: only these ids (ascending).
        """
        with self._lock:
            stretches, last = list(self._stretches), min(last, self.last)
        measure = _Measure(vector)
        if among is not None:
            ids = among[(among >= first) & (among <= last)]
        else:
            far = np.empty(max(0, last + 1 - first), np.uint16)
            for number in range(first // STRETCH, last // STRETCH + 1) if len(far) else ():
                begin, end = max(first, number * STRETCH), min(last + 1, (number + 1) * STRETCH)
                codes = stretches[number][:, begin - number * STRETCH : end - number * STRETCH]
                measure.differences(codes, far[begin - first : end - first])
            ids = _least(far, SIFTED * count, measure.absent) + first
        far = np.empty(len(ids), np.uint16)
        for codes, inside, which in _split(stretches, ids):
            far[which] = measure.telling_differences(codes[:, inside])
        return ids[_least(far, count, measure.absent)]

    def _read_blocks(self, db: Database, last: int) -> None:
        """Read whole blocks up to `last` from their codes, and those that have none from their vectors."""
        sql = "SELECT block, codes FROM vector_codes WHERE block >= ? AND block < ? ORDER BY block"
        blocks = [(self.last + 1) // CODES_IN_BLOCK, last // CODES_IN_BLOCK]
        for block, codes in db.execute(sql, blocks):
            first = block * CODES_IN_BLOCK
            self._read_vectors(db, first)
            where = slice(first % STRETCH, first % STRETCH + CODES_IN_BLOCK)
            rows = np.frombuffer(codes, np.uint8).reshape(CODES_IN_BLOCK, -1)
            self._stretches[first // STRETCH][:, where] = _words(rows)
            self.last = first + CODES_IN_BLOCK - 1

    def _read_vectors(self, db: Database, end: int) -> None:
        """Read the signs of the vectors of the next ids, below `end`."""
        while self.last + 1 < end:
            some = min(end, self.last + 1 + CODES_IN_BLOCK)
            self._put(*read_codes(db.conn, self.last + 1, some, self._encoder[1]))
            self.last = some - 1

    def _put(self, numbers: np.ndarray, codes: np.ndarray) -> None:
        words = _words(codes)
        for stretch, inside, which in _split(self._stretches, numbers):
            stretch[:, inside] = words[:, which]


class _Measure:
    """In how many bits codes differ from a vector's."""

    def __init__(self, vector: np.ndarray):
        size = np.abs(vector)
        self._code = _one_code(vector)
        self._telling = [_one_code(size - np.quantile(size, part)) for part in (0.5, 0.75)]
        self.absent = 3 * len(vector) + 1  # the "difference" of a memory without a vector; no code has it
        # Arrays made anew each time would cost as much as the counting.
        self._bits = np.empty(STRETCH, np.uint64)
        self._counts, self._more = np.empty(STRETCH, np.uint8), np.empty(STRETCH, np.uint8)

    def differences(self, codes: np.ndarray, total: np.ndarray) -> None:
        """Of codes (words, memories), written to `total`, (memories,) uint16."""
        length = codes.shape[1]
        bits, counts, more = self._bits[:length], self._counts[:length], self._more[:length]
        total[:] = 0
        for begin in range(0, len(codes), 3):  # a byte holds the bits of three words
            for number in range(begin, min(begin + 3, len(codes))):
                np.bitwise_xor(codes[number], self._code[number], out=bits)
                _count_bits(bits, out=more if number > begin else counts)
                if number > begin:
                    np.add(counts, more, out=counts)
            np.add(total, counts, out=total)
        self._mark_absent(codes, total)

    def telling_differences(self, codes: np.ndarray) -> np.ndarray:
        """The same with bits counted up to three times, more where the vector's number is far from zero:
        near it a sign says little.
        """
        total, counts = np.zeros(codes.shape[1], np.uint16), np.empty(codes.shape[1], np.uint8)
        for row, word, *telling in zip(codes, self._code, *self._telling):
            bits = row ^ word
            for mask in (None, *telling):
                _count_bits(bits if mask is None else bits & mask, out=counts)
                total += counts
        self._mark_absent(codes, total)
        return total

    def _mark_absent(self, codes: np.ndarray, total: np.ndarray) -> None:
        zeros = np.flatnonzero(codes[0] == 0)
        total[zeros[~codes[:, zeros].any(axis=0)]] = self.absent


def _least(far: np.ndarray, count: int, absent: int) -> np.ndarray:
    """Where the `count` least of `far` are, ascending; of equal ones the last. Absent ones are never."""
    if len(far) <= count:
        return np.flatnonzero(far < absent)
    upto = np.cumsum(np.bincount(far, minlength=absent + 1)[:absent])
    limit = int(np.searchsorted(upto, count))
    near = np.flatnonzero(far < limit)
    equal = np.flatnonzero(far == limit) if limit < absent else near[:0]
    return np.sort(np.concatenate([near, equal[len(equal) - min(len(equal), count - len(near)) :]]))


def read_codes(
    connection: sqlite3.Connection, first: int, end: int, dimensions: int
) -> tuple[np.ndarray, np.ndarray]:
    """(ids, codes) of the vectors of ids in [first, end): (vectors,) int64 and (vectors, dimensions / 8)."""
    sql = "SELECT memory_id, vector FROM vectors WHERE memory_id >= ? AND memory_id < ? ORDER BY memory_id"
    rows = connection.execute(sql, [first, end]).fetchall()
    numbers = np.array([number for number, _ in rows], np.int64)
    return numbers, codes_of(coarse([vector for _, vector in rows], dimensions))


def codes_of(vectors: np.ndarray) -> np.ndarray:
    """Codes (vectors, dimensions / 8) uint8 of vectors (vectors, dimensions)."""
    return np.packbits(vectors > 0, axis=1)


def _split(
    stretches: list[np.ndarray], numbers: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, slice]]:
    """(stretch, where in it, which of the numbers) for ids, ascending."""
    begin = 0
    while begin < len(numbers):
        stretch = int(numbers[begin]) // STRETCH
        end = int(np.searchsorted(numbers, (stretch + 1) * STRETCH))
        yield stretches[stretch], numbers[begin:end] - stretch * STRETCH, slice(begin, end)
        begin = end


def _words(codes: np.ndarray) -> np.ndarray:
    """Codes (memories, bytes) as (words, memories) uint64."""
    return np.ascontiguousarray(codes).view(np.uint64).T


def _one_code(vector: np.ndarray) -> np.ndarray:
    return np.packbits(np.asarray(vector) > 0).view(np.uint64)


def _count_bits_by_table(words: np.ndarray, out: np.ndarray) -> None:
    out[:] = _BITS[words.view(np.uint8)].reshape(-1, 8).sum(1, dtype=np.uint8)


_BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
_count_bits = getattr(np, "bitwise_count", _count_bits_by_table)  # numpy 2 has it
