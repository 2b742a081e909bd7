"""Reading ScanImage TIFFs: this package beside roiextractors, in one run.

    python tests/benchmarks/bench_scanimage_reader.py            small, a minute
    python tests/benchmarks/bench_scanimage_reader.py --full     the sizes of the claims: 2.2 GB of disk, ten minutes

Every figure is the median of several runs, the peer's and ours in turn; each run is a process of its own, so that
memory and first use count. Ratios are the peer's time over ours.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BLOCK = 500


def make_extractor(who: str, path: str) -> Any:
    """Open a file with our extractor or the peer's."""
    if who == "ours":
        from scanimage_nwb import ScanImageImagingExtractor
    else:
        from roiextractors import ScanImageImagingExtractor
    return ScanImageImagingExtractor(file_path=path)


def peak_bytes() -> int:
    """Return the largest memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(who: str, what: str, path: str, n_samples: int) -> dict[str, float]:
    """Do one piece of work and return seconds, and bytes of memory beyond the imports and one block."""
    import numpy as np

    warm_up = make_extractor(who, str(Path(path).with_name("tiny.tif")))
    warm_up.get_times()
    warm_up.get_series(0, 2)
    before = peak_bytes()
    start = time.perf_counter()
    extractor = make_extractor(who, path)
    if what == "open_and_times":
        assert len(extractor.get_times()) == n_samples
        return {"seconds": time.perf_counter() - start, "bytes": peak_bytes() - before}
    block, largest, seconds = np.empty(0), 0, 0.0
    for _ in range(2):  # the second pass counts: the first fills the page cache and makes the system hand out memory
        start = time.perf_counter()
        for first in range(0, n_samples, BLOCK):
            del block
            block = extractor.get_series(first, min(first + BLOCK, n_samples))
            largest = max(largest, block.nbytes)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": peak_bytes() - before - largest}


def run_alone(who: str, what: str, path: Path, n_samples: int) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", who, what, str(path), str(n_samples)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def compare(what: str, path: Path, n_samples: int, shape: tuple[int, int], repeats: int) -> None:
    """Measure peer and ours in turn and print one line."""
    runs: dict[str, list[dict[str, float]]] = {"peer": [], "ours": []}
    for _ in range(repeats):
        for who, found in runs.items():
            found.append(run_alone(who, what, path, n_samples))
    seconds = {who: statistics.median(run["seconds"] for run in done) for who, done in runs.items()}
    memory = {who: statistics.median(run["bytes"] for run in done) / 1e6 for who, done in runs.items()}
    print(
        f"{what:15} {n_samples:7} x {shape[0]:3} x {shape[1]:3}   peer {seconds['peer']:8.3f} s   "
        f"ours {seconds['ours']:7.4f} s   ratio {seconds['peer'] / seconds['ours']:6.1f}   "
        f"memory beyond a block: peer {memory['peer']:6.0f} MB, ours {memory['ours']:6.0f} MB",
        flush=True,
    )


def linearity(path_of: dict[int, Path]) -> None:
    """Print our time to open a page, for files of several lengths."""
    for n_pages, path in path_of.items():
        seconds = statistics.median(run_alone("ours", "open_and_times", path, n_pages)["seconds"] for _ in range(3))
        print(f"open_and_times  {n_pages:7} pages   ours {seconds:7.4f} s   {seconds / n_pages * 1e6:6.2f} us a page")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of the claims")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where to write the recordings; by default a temporary folder")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        who, what, path, n_samples = options.measure
        print(json.dumps(measure(who, what, path, int(n_samples))))
        return
    from scanimage_nwb.testing import write_scanimage_recording

    n_small, n_large = (100_000, 2_000) if options.full else (10_000, 600)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:

        def write(name: str, n_pages: int, shape: tuple[int, int]) -> Path:
            written = write_scanimage_recording(
                Path(folder), name=name, n_volumes=n_pages, shape=shape, keep_pages=False
            )
            return written.paths[0]

        write("tiny", 10, (16, 16))
        small, large = write("small", n_small, (64, 64)), write("large", n_large, (512, 512))
        compare("open_and_times", small, n_small, (64, 64), options.repeats)
        compare("get_series", small, min(n_small, 20_000), (64, 64), options.repeats)
        compare("get_series", large, n_large, (512, 512), options.repeats)
        linearity({n: write(f"line{n}", n, (64, 64)) for n in (n_small // 10, n_small // 3, n_small)})


if __name__ == "__main__":
    main()
