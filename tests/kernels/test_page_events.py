"""Texts that say something are found, however they are spelled."""

import numpy as np
import pytest

from scanimage_nwb.kernels.page_events import find_eventful, find_eventful_reference

KEYS = ["auxTrigger0", "auxTrigger3", "auxTrigger4", "I2CData", "endOfAcquisition", "endOfAcquisitionMode"]
KEYS += ["nextFileMarkerTimestamps_sec", "frameTimestamps_sec", "frameNumbers", "Trigger1", "", "xauxTrigger1"]
VALUES = ["[]", "{}", "[0.5]", "[ ]", "[\t1.0 2]", "{{0.5, [1,2]} }", "-1.000", "0.5", ".5", "0", "1", "[[", "{", ""]
VALUES += ["[\n]", "[\r", "10", "true", "[\0]", "[[] ]"]
EQUALS = [" = ", "=", "\t=  ", " == "]


def joined(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    begins = np.cumsum([0, *map(len, texts)])
    return np.frombuffer(b"".join(texts), np.uint8), begins.astype(np.int64)


def test_like_the_slow_twin_on_every_pair_and_on_random_texts() -> None:
    lines = [f"{key}{mark}{value}" for key in KEYS for mark in EQUALS for value in VALUES]
    rng = np.random.default_rng(0)
    texts = [line.encode() for line in lines]
    for _ in range(3000):
        chosen = rng.choice(lines, rng.integers(0, 6))
        text = rng.choice(["\n", "\r\n", ""]).join(chosen.tolist())
        texts.append(text[int(rng.integers(0, 4)) : len(text) - int(rng.integers(0, 3))].encode())
    found, expected = find_eventful(*joined(texts)), find_eventful_reference(*joined(texts))
    assert [texts[i] for i in np.flatnonzero(found != expected)] == []
    assert 100 < found.sum() < len(texts) - 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"auxTrigger2 = [0.25]", True),
        (b"auxTrigger2 = []", False),
        (b"I2CData = {{0.5, [1]}}", True),
        (b"I2CData = {}", False),
        (b"endOfAcquisition = 1", True),
        (b"endOfAcquisition = 0", False),
        (b"endOfAcquisitionMode = 1", False),
        (b"nextFileMarkerTimestamps_sec = 12.5", True),
        (b"nextFileMarkerTimestamps_sec = -1.000000000", False),
        (b"", False),
    ],
)
def test_what_says_something(text: bytes, expected: bool) -> None:
    assert find_eventful(*joined([b"frameNumbers = 1\n", text])).tolist() == [False, expected]
