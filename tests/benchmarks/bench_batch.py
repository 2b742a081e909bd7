"""A batch of twenty sessions on two workers: one corrupt, one with wrong metadata, and a worker killed in the middle.

    python tests/benchmarks/bench_batch.py           twenty demo sessions of 11 MB
    python tests/benchmarks/bench_batch.py --full    besides, eight sessions of 200 MB on one worker and on two

The program fails if a file is missing, not whole, or not equal to its source, or if the second run converts anything
but the two sessions that were mended. Beyond one computer the time of a batch is that of its slowest share::

    time = max(sessions x seconds of one / workers, bytes in / read speed, bytes out / write speed)

with the speeds of the file system that all workers share; the last lines say for how many workers that is so.
"""

import argparse
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import psutil

from scanimage_nwb.batch import BatchOptions, ClusterOptions, Outcome, run_batch
from scanimage_nwb.testing import write_demo_session, write_scanimage_recording

PARTIAL = re.compile(r"\..+\.\D.*-(\d+)-\d+\.partial\.nwb")
OPTIONS = BatchOptions(timezone="UTC", verify=True)


def kill_one_that_writes(out: Path, killed: list[int]) -> None:
    """Kill the first worker that is seen writing, once some files are done."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        writing = [PARTIAL.fullmatch(path.name) for path in out.glob(".*.partial.nwb")]
        pids = {int(match[1]) for match in writing if match}
        pids &= {child.pid for child in psutil.Process().children(recursive=True)}
        if pids and len(list(out.glob("[!.]*.nwb"))) >= 5:
            killed.append(pids.pop())
            os.kill(killed[0], signal.SIGKILL)
            return
        time.sleep(0.002)


def counts(outcomes: list[Outcome]) -> dict[str, int]:
    """Count outcomes by what became of them."""
    states = ("converted", "up to date", "failed")
    return {state: sum(outcome.status == state for outcome in outcomes) for state in states}


def run_twenty(folder: Path) -> None:
    """Convert twenty sessions with every mishap; mend two; convert again."""
    root, out = folder / "root", folder / "out"
    first = write_demo_session(root / "s00")
    for number in range(1, 20):
        shutil.copytree(first, root / f"s{number:02}")
    corrupt = root / "s07" / "demo_00001_00001.tif"
    whole = corrupt.read_bytes()
    corrupt.write_bytes(whole[:100])
    wrong = root / "s13" / "session.yaml"
    wrong.write_text("recordings: {name: tiff, files: demo_00001_00001.tif}\nmetadata: {Subject: {sex: male}}\n")
    out.mkdir()
    killed: list[int] = []
    watcher = threading.Thread(target=kill_one_that_writes, args=(out, killed))
    watcher.start()
    start = time.perf_counter()
    outcomes = run_batch(root, out, options=OPTIONS, cluster=ClusterOptions(workers=2))
    seconds = time.perf_counter() - start
    watcher.join()
    print(f"20 sessions, 2 workers, {len(killed)} killed: {seconds:.1f} s, {counts(outcomes)}")
    assert counts(outcomes) == {"converted": 18, "up to date": 0, "failed": 2}
    assert len(killed) == 1
    assert all(outcome.n_verified == 4 for outcome in outcomes if outcome.status == "converted")
    assert len(list(out.glob("*.nwb"))) == 18
    assert sorted(path.name for path in out.glob("ERROR_*")) == ["ERROR_s07.txt", "ERROR_s13.txt"]
    assert not list(out.glob(".*.partial.*"))
    corrupt.write_bytes(whole)
    wrong.unlink()
    start = time.perf_counter()
    outcomes = run_batch(root, out, options=OPTIONS, cluster=ClusterOptions(workers=2))
    print(f"second run: {time.perf_counter() - start:.1f} s, {counts(outcomes)}")
    assert counts(outcomes) == {"converted": 2, "up to date": 18, "failed": 0}
    assert not list(out.glob("ERROR_*"))


def run_large(folder: Path, n_sessions: int, n_volumes: int) -> None:
    """Time larger sessions on one worker and on two; say what that means for more."""
    root = folder / "large"
    for number in range(n_sessions):
        write_scanimage_recording(root / f"s{number}", n_volumes=n_volumes, shape=(512, 512), keep_pages=False)
    options = BatchOptions(timezone="UTC")
    for workers in (1, 2):
        start = time.perf_counter()
        outcomes = run_batch(root, folder / f"out{workers}", options=options, cluster=ClusterOptions(workers=workers))
        seconds = time.perf_counter() - start
        n_bytes = sum(outcome.source_bytes for outcome in outcomes)
        busy = sum(outcome.seconds for outcome in outcomes)
        print(
            f"{n_sessions} sessions, {n_bytes / 1e6:.0f} MB, {workers} worker(s): {seconds:.1f} s of which "
            f"{busy / workers:.1f} s converting, {n_bytes / 1e6 / (busy / workers):.0f} MB/s in"
        )
        rate = n_bytes / busy
    for name, speed in (
        ("disk, 200 MB/s", 200e6),
        ("10 Gbit/s network", 1.1e9),
        ("parallel file system, 10 GB/s", 1e10),
    ):
        print(f"{name}: reading limits beyond {max(1.0, speed / rate):.0f} workers")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="larger sessions too")
    parser.add_argument("--only-large", action="store_true", help="larger sessions only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.only_large:
            run_twenty(Path(folder))
        if arguments.full or arguments.only_large:
            run_large(Path(folder), 8, 400)


if __name__ == "__main__":
    main()
