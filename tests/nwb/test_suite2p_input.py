"""suite2p reads the movie of a file, through its own function; skipped where it is not installed, or not whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanimage_nwb.nwb import convert_recording
from scanimage_nwb.testing import write_scanimage_recording


@pytest.fixture
def suite2p_io(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its input and output; in 1.1 with the files to write named, as earlier versions named them by themselves."""
    try:
        import suite2p.io as found
    except (ImportError, RuntimeError) as error:  # RuntimeError: torch and torchvision that do not fit
        pytest.skip(f"suite2p cannot be imported: {error}")
    utils = found.nwb.utils
    if utils.init_settings({}) is None:
        monkeypatch.setattr(utils, "init_settings", lambda settings: [settings])
    return found


@pytest.mark.filterwarnings("ignore")
def test_binary_holds_the_movie(suite2p_io: Any, tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_volumes=25, shape=(24, 32))
    path = convert_recording(written.paths, tmp_path / "a.nwb", timezone="UTC")
    settings = {
        "nwb_file": str(path),
        "batch_size": 10,
        "reg_file": str(tmp_path / "data.bin"),
        "settings_path": str(tmp_path / "settings.npy"),
        "save_path0": str(tmp_path),
        "save_path": str(tmp_path),
        "fast_disk": str(tmp_path),
    }
    found = suite2p_io.nwb_to_binary(settings)
    assert (found["nframes"], found["Ly"], found["Lx"]) == (25, 32, 24)  # it takes NWB's axes as they are
    movie = np.fromfile(tmp_path / "data.bin", np.int16).reshape(25, 32, 24)
    np.testing.assert_array_equal(movie.transpose(0, 2, 1), written.pages)
