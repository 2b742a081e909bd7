"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


def find_data_dir() -> Path | None:
    """Return the folder of real recordings, None if this machine has none."""
    named = os.environ.get("SCANIMAGE_NWB_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real recordings; the test is skipped where there is none."""
    folder = find_data_dir()
    if folder is None:
        pytest.skip("no test data: set SCANIMAGE_NWB_TEST_DATA")
    return folder
