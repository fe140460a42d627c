"""Hashes of byte strings in a buffer: XXH64 for tables and deduplication, murmur2 for Kafka's partitions."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.jit import kernel, part, routine

_P1: Final = np.uint64(0x9E3779B185EBCA87)
_P2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_P3: Final = np.uint64(0x165667B19E3779F9)
_P4: Final = np.uint64(0x85EBCA77C2B2AE63)
_P5: Final = np.uint64(0x27D4EB2F165667C5)
_WORD_BITS: Final = np.uint64(64)

_MURMUR_SEED: Final = np.uint32(0x9747B28C)
_MURMUR_M: Final = np.uint32(0x5BD1E995)
_MURMUR_R: Final = np.uint32(24)


@part
def _word64(data, at):
    """8 bytes from `at`, little endian."""
    word = np.uint64(0)
    for k in range(8):
        word |= np.uint64(data[at + k]) << np.uint64(8 * k)
    return word


@part
def _word32(data, at):
    """4 bytes from `at`, little endian, as uint64."""
    word = np.uint64(0)
    for k in range(4):
        word |= np.uint64(data[at + k]) << np.uint64(8 * k)
    return word


@part
def _rotated(word, bits):
    return (word << np.uint64(bits)) | (word >> (_WORD_BITS - np.uint64(bits)))


@part
def _round(lane, word):
    return _rotated(lane + word * _P2, 31) * _P1


@part
def _stripes(data, start, size):
    """The part of XXH64 for inputs of 32 bytes and more: whole stripes of 32."""
    first, second = _P1 + _P2, _P2
    third, fourth = np.uint64(0), np.uint64(0) - _P1
    for at in range(start, start + size - 31, 32):
        first = _round(first, _word64(data, at))
        second = _round(second, _word64(data, at + 8))
        third = _round(third, _word64(data, at + 16))
        fourth = _round(fourth, _word64(data, at + 24))
    merged = _rotated(first, 1) + _rotated(second, 7) + _rotated(third, 12) + _rotated(fourth, 18)
    for lane in (first, second, third, fourth):
        merged = (merged ^ _round(np.uint64(0), lane)) * _P1 + _P4
    return merged


@kernel
def xxh64(data, start, size):
    """XXH64 (seed 0) of data[start : start + size], uint8, as int64."""
    merged = _stripes(data, start, size) if size >= 32 else _P5
    merged += np.uint64(size)
    at, end = start + size // 32 * 32, start + size
    while at + 8 <= end:
        merged = _rotated(merged ^ _round(np.uint64(0), _word64(data, at)), 27) * _P1 + _P4
        at += 8
    if at + 4 <= end:
        merged = _rotated(merged ^ (_word32(data, at) * _P1), 23) * _P2 + _P3
        at += 4
    while at < end:
        merged = _rotated(merged ^ (np.uint64(data[at]) * _P5), 11) * _P1
        at += 1
    merged = (merged ^ (merged >> np.uint64(33))) * _P2
    merged = (merged ^ (merged >> np.uint64(29))) * _P3
    return np.int64(merged ^ (merged >> np.uint64(32)))


@routine
def murmur2(data, start, size):
    """murmur2 of data[start : start + size] as Kafka's Java client computes it, uint32."""
    hashed = _MURMUR_SEED ^ np.uint32(size)
    at, end = start, start + size
    while at + 4 <= end:
        word = np.uint32(np.uint32(_word32(data, at)) * _MURMUR_M)
        word = np.uint32((word ^ (word >> _MURMUR_R)) * _MURMUR_M)
        hashed = np.uint32(np.uint32(hashed * _MURMUR_M) ^ word)
        at += 4
    if at < end:
        for k in range(end - at):
            hashed ^= np.uint32(np.uint32(data[at + k]) << np.uint32(8 * k))
        hashed = np.uint32(hashed * _MURMUR_M)
    hashed = np.uint32((hashed ^ (hashed >> np.uint32(13))) * _MURMUR_M)
    return np.uint32(hashed ^ (hashed >> np.uint32(15)))


@routine
def partition_of(data, start, size, partitions):
    """The partition that Java, kafka-python and aiokafka clients choose for a key."""
    return np.int64(murmur2(data, start, size) & np.uint32(0x7FFFFFFF)) % partitions
