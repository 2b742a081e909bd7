"""Kernels compile once on a machine, and quickly."""

import os
import subprocess
import sys
import time
from pathlib import Path

CODE = """
import numba
from pathlib import Path
from scanimage_nwb import ScanImageImagingExtractor
from scanimage_nwb.kernels import tiff_chain
from scanimage_nwb.testing import write_scanimage_recording

written = write_scanimage_recording(Path({folder!r}), n_planes=2, n_flyback=1)
ScanImageImagingExtractor(written.paths[0]).get_series()
kernels = [value for value in vars(tiff_chain).values() if isinstance(value, numba.core.dispatcher.Dispatcher)]
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))
"""


def run(folder: Path) -> tuple[int, float]:
    """Use the kernels in a fresh interpreter; return how many were compiled, and the seconds it took in all."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(folder=str(folder))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout), time.perf_counter() - start


def test_first_run_compiles_within_ten_seconds_and_later_runs_not_at_all(tmp_path: Path) -> None:
    compiled, seconds = run(tmp_path)
    assert compiled > 0
    assert seconds < 10 + 5, "ten seconds for the kernels, and the imports of a slow machine"
    assert run(tmp_path)[0] == 0
