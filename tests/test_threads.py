"""Threads: what the environment says, else the processors of this process."""

import os

import pytest

from scanimage_nwb.threads import usable_threads


def test_environment_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANIMAGE_NWB_THREADS", "3")
    assert (usable_threads(), usable_threads(2), usable_threads(8)) == (3, 2, 3)


@pytest.mark.parametrize("said", ["", "0", "many", "-1"])
def test_else_the_processors(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("SCANIMAGE_NWB_THREADS", said)
    expected = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert usable_threads() == expected
    assert usable_threads(1) == 1
