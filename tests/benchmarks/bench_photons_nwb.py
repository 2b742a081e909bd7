"""Photons of a .siff in NWB: room, speed of writing, one frame at random, and reading back beside the .siff.

    python tests/benchmarks/bench_photons_nwb.py           small recordings, a minute
    python tests/benchmarks/bench_photons_nwb.py --full    240 MB to 650 MB each: the claims; some minutes

Asked at 1,500 photons in 256 x 128 pixels: at most 0.30 of a raw .siff and 0.80 of a compressed one, 100 MB of source a
second on two cores, a frame in less than 5 ms; reading at a speed comparable to that of the .siff. A file of a few MB
takes mostly what does not depend on its size (metadata, the specification, neuroconv's checks): that is measured with
two frames of the same recording, and taken off in the second figure.

Behind each ratio of times stands, in brackets, that of the seconds of processors: other work of the machine disturbs
them less.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scanimage_nwb import SiffReader
from scanimage_nwb.nwb import FlimInterface, open_photons, write_nwbfile
from scanimage_nwb.testing import write_siff_recording

SPARSE = {"shape": (256, 128), "photons_per_page": 1500}
RECORDINGS = {
    "raw, 1,500 photons in 256 x 128": {"page_kinds": ("raw",), **SPARSE},
    "compressed, the same": {"page_kinds": ("compressed",), **SPARSE},
    "compressed, 150,000 in 512 x 512": {
        "page_kinds": ("compressed",),
        "shape": (512, 512),
        "photons_per_page": 150_000,
    },
}
N_FRAMES = {False: (1_000, 1_000, 50), True: (20_000, 10_000, 500)}
MOST_ROOM = (0.30, 0.80, None)
N_READ = 2_000
"""Frames that are read back at most: lists of photons take much memory."""


def seconds(work: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Return the median time of a piece of work, after it has been done once, and that of its processors."""
    work()
    times = []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - start, time.process_time() - busy))
    wall, processor = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(processor)


def read_one_frame(path: Path, n: int = 60) -> tuple[float, float]:
    """Return the median time that plain h5py, without a cache of chunks, takes for the photons of one frame.

    The second one is that of the processor.
    """
    times = []
    with h5py.File(path, rdcc_nbytes=0) as file:
        group = file["acquisition/PhotonEventSeries"]
        for frame in np.random.default_rng(0).integers(1, len(group["data"]), n):
            start, busy = time.perf_counter(), time.process_time()
            begin, end = group["frame_end"][frame - 1 : frame + 1]
            np.cumsum(group["pixel_step"][begin:end])
            group["delay_bin"][begin:end]
            times.append((time.perf_counter() - start, time.process_time() - busy))
    wall, processor = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(processor)


def bench(name: str, n_frames: int, most_room: float | None, folder: Path) -> None:
    """Measure one recording."""
    options = RECORDINGS[name]
    siff = write_siff_recording(folder, n_volumes=n_frames, keep_photons=False, **options).path
    path = folder / "photons.nwb"

    def write(**stub: Any) -> None:
        write_nwbfile(FlimInterface(siff).create_nwbfile(**stub), path, overwrite=True, progress=False)

    of_start = seconds(lambda: write(stub_test=True, stub_samples=2))
    writing, n_source = seconds(write), siff.stat().st_size
    asked = f"{most_room:.2f} asked" if most_room else "nothing asked"
    print(f"{name}, {n_frames} frames, {n_source / 1e6:.0f} MB")
    print(f"  room: {path.stat().st_size / n_source:.3f} of the source ({asked})")
    print(
        f"  writing: {n_source / writing[0] / 1e6:.0f} MB/s of source (100 asked), "
        f"{n_source / (writing[0] - of_start[0]) / 1e6:.0f} without the {of_start[0]:.2f} s that any file takes; "
        f"{writing[1]:.2f} s of processors in {writing[0]:.2f} s"
    )
    wall, busy = read_one_frame(path)
    print(f"  one frame: {wall * 1e3:.2f} ms (h5py; 5 asked), {busy * 1e3:.2f} ms of the processor")
    masks = np.random.default_rng(0).random((20, *options["shape"])) < 0.05
    drawn = np.zeros((20, *options["shape"]), bool)
    for rank in range(20):
        drawn[rank, 10 * rank : 10 * rank + 9, 20:40] = True
    frames = range(min(n_frames, N_READ, N_READ * 15_000 // options["photons_per_page"]))
    methods: dict[str, Callable[[SiffReader], object]] = {
        "get_frames": lambda reader: reader.get_frames(frames),
        "get_histogram": lambda reader: reader.get_histogram(frames),
        "sum_masks (20, of single pixels)": lambda reader: reader.sum_masks(masks, frames),
        "sum_masks (20, drawn)": lambda reader: reader.sum_masks(drawn, frames),
        "get_histogram (20, drawn)": lambda reader: reader.get_histogram(frames, drawn),
        "flim_map": lambda reader: reader.flim_map(frames[::4]),
        "photons": lambda reader: reader.photons(frames),
    }
    for method, work in methods.items():
        with SiffReader(siff) as source, open_photons(path) as found:
            of_siff, of_nwb = (seconds(partial(work, reader)) for reader in (source, found))
        wall, busy = of_nwb[0] / of_siff[0], of_nwb[1] / of_siff[1]
        print(f"  {method}: {of_nwb[0] * 1e3:.0f} ms, {wall:.2f} ({busy:.2f}) times that of the .siff", flush=True)


def main() -> None:
    """Measure all recordings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="20,000, 10,000 and 500 frames")
    full = parser.parse_args().full
    for name, n_frames, most_room in zip(RECORDINGS, N_FRAMES[full], MOST_ROOM, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            bench(name, n_frames, most_room, Path(folder))


if __name__ == "__main__":
    main()
