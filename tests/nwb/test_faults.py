"""Whatever happens while a file is written: the target is absent, the old one, or whole."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from scanimage_nwb.testing import write_scanimage_recording

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals of POSIX")

OLD = b"an older file"
PLACE = "acquisition/series/data"
SHAPE = (60, 256, 256)
CHILD = """
import os, random, resource, signal, sys, time
from datetime import datetime, timezone
from pathlib import Path
import numpy as np
from hdmf.data_utils import GenericDataChunkIterator
from pynwb import NWBFile, TimeSeries
from scanimage_nwb.nwb import write_nwbfile

class Frames(GenericDataChunkIterator):
    def __init__(self, n, seed=1, fail_at=None, pause_s=0.0):
        self.n, self.seed, self.fail_at, self.pause_s = n, seed, fail_at, pause_s
        super().__init__(chunk_shape=(min(n, 10), 256, 256), buffer_shape=(min(n, 10), 256, 256))
    def _get_data(self, selection):
        if self.fail_at is not None and selection[0].start <= self.fail_at < selection[0].stop:
            raise OSError("the disk went away")
        time.sleep(self.pause_s)
        times = np.arange(selection[0].start, selection[0].stop, dtype="u2")
        noise = np.random.default_rng(0).integers(0, 4000, (256, 256)).astype("u2") * self.seed
        return (noise + times[:, None, None]).astype("u2")[(slice(None), *selection[1:])]
    def _get_maxshape(self):
        return (self.n, 256, 256)
    def _get_dtype(self):
        return np.dtype("u2")

def write(path, n=60, **options):
    nwbfile = NWBFile("s", "i", datetime(2025, 1, 1, tzinfo=timezone.utc))
    nwbfile.add_acquisition(TimeSeries(name="series", data=Frames(n, **options), unit="n.a.", rate=1.0))
    write_nwbfile(nwbfile, path, workers=2, overwrite=True)

def forked(job):
    pid = os.fork()
    if pid == 0:
        try:
            job()
        except BaseException as error:
            text = " ".join(str(error).split())
            print(type(error).__name__, isinstance(error, OSError), text, flush=True)
            os._exit(1)
        os._exit(0)
    return pid

def limited(path, n_bytes, n):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    write(path, n)

path = Path(sys.argv[1])
"""


def run_child(code: str, path: Path, *arguments: object) -> list[str]:
    """Run code after `CHILD` in an interpreter of its own; it forks for each trial."""
    command = [sys.executable, "-c", CHILD + code, str(path), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def is_whole(path: Path, seed: int = 1, n: int = SHAPE[0]) -> bool:
    noise = np.random.default_rng(0).integers(0, 4000, SHAPE[1:]).astype("u2") * seed
    with h5py.File(path) as file:
        expected = (noise + np.arange(n, dtype="u2")[:, None, None]).astype("u2")
        return np.array_equal(file[PLACE][:], expected)


KILL = """
begin = time.monotonic(); os.waitpid(forked(lambda: write(path)), 0); whole_s = time.monotonic() - begin
path.unlink()
random.seed(1)
for trial in range(30):
    here = path.with_name(f"{trial}") / "out.nwb"
    here.parent.mkdir()
    if trial % 2:
        here.write_bytes(b"an older file")
    pid = forked(lambda: write(here, pause_s=0.01))
    time.sleep(random.uniform(0.02, 1.3) * whole_s)
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    print("killed" if os.WIFSIGNALED(status) else "ended", len(list(here.parent.glob(".*partial*"))))
    here.parent.joinpath("after").write_bytes(here.read_bytes() if here.exists() else b"")
    os.waitpid(forked(lambda: write(here)), 0)
"""


def test_killed_at_random_moments(tmp_path: Path) -> None:
    lines = run_child(KILL, tmp_path / "out.nwb")
    assert len(lines) == 30
    assert sum(line.startswith("killed") for line in lines) >= 10
    assert sum(line == "killed 1" for line in lines) >= 5, "some were killed while they wrote"
    for trial in range(30):
        folder = tmp_path / str(trial)
        after = (folder / "after").read_bytes()
        assert after == (OLD if trial % 2 else b"") or is_whole(folder / "after"), trial
        assert is_whole(folder / "out.nwb"), trial
        assert sorted(path.name for path in folder.iterdir()) == ["after", "out.nwb"], "the later run cleans up"


LIMIT = """
for n_bytes in (1, 5_000, 200_000, 1_000_000, 3_000_000, 5_000_000):
    os.waitpid(forked(lambda: limited(path, n_bytes, int(sys.argv[2]))), 0)
"""


@pytest.mark.parametrize("older", [False, True])
def test_disk_full(tmp_path: Path, older: bool) -> None:
    out = tmp_path / "out.nwb"
    if older:
        out.write_bytes(OLD)
    lines = run_child(LIMIT, out, SHAPE[0])
    assert len(lines) == 6, lines
    for line in lines:
        assert line.split()[1] == "True", "an OSError"
        assert "out" in line
    assert any(f"/{PLACE} cannot be written" in line for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["out.nwb"] * older
    assert not older or out.read_bytes() == OLD


FAIL = """
for n, at in ((60, 0), (60, 37), (60, 59), (2, 1)):
    os.waitpid(forked(lambda: write(path, n, fail_at=at)), 0)
"""


@pytest.mark.parametrize("older", [False, True])
def test_source_fails(tmp_path: Path, older: bool) -> None:
    """At the first, a middle and the last block of the fast path, and in a dataset small enough for hdmf."""
    out = tmp_path / "out.nwb"
    if older:
        out.write_bytes(OLD)
    lines = run_child(FAIL, out)
    assert lines == ["OSError True the disk went away"] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["out.nwb"] * older
    assert not older or out.read_bytes() == OLD


TWO = """
for _ in range(3):
    pids = [forked(lambda: write(path, seed=seed, pause_s=0.02 * seed)) for seed in (1, 2)]
    print(*[os.waitpid(pid, 0)[1] for pid in pids])
"""


def test_two_writers_on_one_target(tmp_path: Path) -> None:
    out = tmp_path / "out.nwb"
    assert run_child(TWO, out) == ["0 0"] * 3
    assert is_whole(out, 1) or is_whole(out, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["out.nwb"]


@pytest.mark.parametrize("harm", ["terminated", "truncated"])
def test_command_harmed_midway(tmp_path: Path, harm: str) -> None:
    written = write_scanimage_recording(tmp_path / "source", n_volumes=1200, shape=(256, 256), keep_pages=False)
    out = tmp_path / "out" / "out.nwb"
    command = [sys.executable, "-c", "from scanimage_nwb.cli import main; main()", "convert", str(written.paths[0])]
    command += ["-o", str(out), "--timezone", "UTC", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not [p for p in out.parent.glob(".*partial*") if p.stat().st_size > 3_000_000]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    if harm == "terminated":
        process.send_signal(signal.SIGTERM)
    else:
        os.truncate(written.paths[0], 10_000_000)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == (128 + signal.SIGTERM if harm == "terminated" else 1), stderr
    assert list(out.parent.iterdir()) == []
    if harm == "truncated":
        assert stderr.startswith("error: ")
        assert stderr.count("\n") == 1
        assert written.paths[0].name in stderr
