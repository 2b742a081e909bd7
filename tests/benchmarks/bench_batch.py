"""A batch of twenty sessions on two workers: one corrupt, one with wrong metadata, and a worker killed in the middle.

    python tests/benchmarks/bench_batch.py           twenty demo sessions of 11 MB
    python tests/benchmarks/bench_batch.py --full    besides, sessions of 105 MB on one worker and on two

The program fails if a file is missing, not whole, or not equal to its source, or if the second run converts anything
but the two sessions that were mended. Beyond one computer workers share a disk or a network: the last lines simulate
how long 500 sessions take, at the speed that was measured here, and for how many workers the shared path is enough.
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
        if not pids or len(list(out.glob("[!.]*.nwb"))) < 5:
            time.sleep(0.005)
            continue
        pids &= {child.pid for child in psutil.Process().children(recursive=True)}
        if pids:
            killed.append(pids.pop())
            os.kill(killed[0], signal.SIGKILL)
            return


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


def simulate(n_sessions: int, session_bytes: float, rate: float, start_s: float, workers: int, shared: float) -> float:
    """Return the seconds that a batch takes where workers share a path to the data.

    Each session is read, converted and written as one flow of bytes, as fast as a worker converts, or as its part of
    the shared path lets it. A worker takes the next session when it is done.
    """
    waiting, clock = n_sessions, start_s
    left: list[float] = []
    while waiting or left:
        while waiting and len(left) < workers:
            left.append(session_bytes)
            waiting -= 1
        speed = min(rate, shared / len(left))
        step = min(left) / speed
        clock += step
        left = [size - step * speed for size in left]
        left = [size for size in left if size > 1]
    return clock


def run_large(folder: Path, n_sessions: int, n_volumes: int) -> None:
    """Time larger sessions on one worker and on two, of one thread each; simulate what more would bring."""
    root = folder / "large"
    for number in range(n_sessions):
        write_scanimage_recording(root / f"s{number}", n_volumes=n_volumes, shape=(512, 512), keep_pages=False)
    options = BatchOptions(timezone="UTC")
    converting: dict[int, float] = {}
    for workers in (1, 2):
        start = time.perf_counter()
        cluster = ClusterOptions(workers=workers, threads=1)
        outcomes = run_batch(root, folder / f"out{workers}", options=options, cluster=cluster)
        seconds = time.perf_counter() - start
        n_bytes = sum(outcome.source_bytes for outcome in outcomes)
        busy = sum(outcome.seconds for outcome in outcomes)
        converting[workers] = busy / workers
        print(
            f"{n_sessions} sessions, {n_bytes / 1e6:.0f} MB, {workers} worker(s) of one thread: {seconds:.1f} s of "
            f"which {busy / workers:.1f} s converting, {n_bytes / 1e6 / (busy / workers):.0f} MB/s in"
        )
        moved = n_bytes + sum(outcome.file_bytes for outcome in outcomes)
        rate, start_s = moved / busy, seconds - busy / workers
    print(f"two workers convert {converting[1] / converting[2]:.2f} times as fast as one")
    print("simulated, 500 sessions of 10 GB in and out, hours on 1, 2, 8, 32, 128 workers as these:")
    for name, shared in (
        ("a disk, 200 MB/s", 200e6),
        ("10 Gbit/s network", 1.1e9),
        ("parallel file system, 10 GB/s", 1e10),
    ):
        hours = [simulate(500, 1e10, rate, start_s, workers, shared) / 3600 for workers in (1, 2, 8, 32, 128)]
        print(f"  {name}: {', '.join(f'{one:.1f}' for one in hours)}; limits beyond {shared / rate:.0f} workers")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="larger sessions too")
    parser.add_argument("--only-large", action="store_true", help="larger sessions only")
    parser.add_argument("--sessions", type=int, default=6, help="how many larger ones, of 105 MB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.only_large:
            run_twenty(Path(folder))
        if arguments.full or arguments.only_large:
            run_large(Path(folder), arguments.sessions, 200)


if __name__ == "__main__":
    main()
