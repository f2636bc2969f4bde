"""CRC-32C (Castagnoli), the checksum of TensorFlow's checkpoints, in numpy.

A checksum depends linearly on the bytes, so a long array is cut into many lanes that go forward side by side, and the
lanes' checksums are joined in pairs: that of A before B is A's, sent through as many zero bytes as B has, xor B's.
"""

from __future__ import annotations

import functools

import numpy as np

POLYNOMIAL = np.uint32(0x82F63B78)
LANES = 2**12
COLUMNS = 256  # of lanes that are copied at a time, so that what is read together lies together
SHORT = 2**16  # bytes that one lane is enough for


def crc32c(data: np.ndarray) -> int:
    """The checksum of a uint8 array."""
    if data.size < SHORT:
        return _lane(data)
    length = data.size // (2 * LANES) * 2
    state = _lanes(data[: length * LANES].view("<u2").reshape(LANES, length // 2))
    while state.size > 1:
        state = _through_zeros(state[::2], length) ^ state[1::2]
        length *= 2
    rest = data[length:]
    return int(_through_zeros(state, rest.size)[0]) ^ _lane(rest)


def _lanes(words: np.ndarray) -> np.ndarray:
    """The checksums of the rows of a uint16 array, two bytes at a time."""
    table = _through_zeros(np.arange(2**16, dtype=np.uint32), 2)
    state = np.full(len(words), 0xFFFFFFFF, np.uint32)
    for start in range(0, words.shape[1], COLUMNS):
        for column in np.ascontiguousarray(words[:, start : start + COLUMNS].T):
            state = np.take(table, (state ^ column) & 0xFFFF, mode="clip") ^ (state >> 16)
    return state ^ np.uint32(0xFFFFFFFF)


def masked(checksum: int) -> int:
    """As it is stored: turned, and a constant added."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _lane(data: np.ndarray) -> int:
    state, table = 0xFFFFFFFF, _LIST
    for byte in data.tobytes():
        state = table[(state ^ byte) & 0xFF] ^ state >> 8
    return state ^ 0xFFFFFFFF


def _through_zeros(states: np.ndarray, count: int) -> np.ndarray:
    """The states after `count` more zero bytes: for each bit of the count, a map that is linear in the state's bits."""
    for power, bit in enumerate(reversed(f"{count:b}")):
        if bit == "1":
            tables = _tables(power)
            states = (
                tables[0][states & 0xFF]
                ^ tables[1][states >> 8 & 0xFF]
                ^ tables[2][states >> 16 & 0xFF]
                ^ tables[3][states >> 24]
            )
    return states


@functools.cache
def _tables(power: int) -> np.ndarray:
    """uint32 [4, 256]: what each byte of a state becomes after 2^power zero bytes."""
    states = (np.arange(256, dtype=np.uint32)[None] << (np.arange(4, dtype=np.uint32) * np.uint32(8))[:, None]).ravel()
    if power == 0:
        return (_TABLE[states & 0xFF] ^ (states >> 8)).reshape(4, 256)
    half = 2 ** (power - 1)
    return _through_zeros(_through_zeros(states, half), half).reshape(4, 256)


def _made() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ POLYNOMIAL, table >> 1)
    return table


_TABLE = _made()
_LIST = _TABLE.tolist()
