"""Kernels compile once on a machine, and quickly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="Windows does not tell what a process computed")

CODE = """
import pkgutil
from importlib import import_module
from pathlib import Path

import numba

from scanimage_nwb import kernels
from scanimage_nwb.nwb import convert_recording
from scanimage_nwb.testing import write_scanimage_recording

written = write_scanimage_recording(Path({folder!r}), n_planes=2, n_flyback=1, shape=(256, 200), n_volumes=30)
convert_recording(written.paths, Path({folder!r}) / "a.nwb", timezone="UTC", overwrite=True)
compiled, used = 0, 0
for module in pkgutil.iter_modules(kernels.__path__):
    for value in vars(import_module("scanimage_nwb.kernels." + module.name)).values():
        if isinstance(value, numba.core.dispatcher.Dispatcher):
            compiled += sum(value.stats.cache_misses.values())
            used += bool(value.signatures)
print(compiled, used)
"""


def run(folder: Path) -> tuple[int, int, float]:
    """Convert in a fresh interpreter; return how many kernels were compiled, how many used, and seconds of computing.

    Seconds of the processor, so that what else a machine does counts little.
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(folder=str(folder))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    compiled, used = map(int, result.stdout.split()[-2:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return compiled, used, after.ru_utime - before.ru_utime


def test_first_run_compiles_within_ten_seconds_and_later_runs_not_at_all(tmp_path: Path) -> None:
    compiled, used, seconds = run(tmp_path)
    assert compiled > 0
    assert used >= 3
    assert seconds < 10 + 10, "ten seconds for the kernels, and imports and a conversion on a slow machine"
    assert run(tmp_path)[0] == 0
