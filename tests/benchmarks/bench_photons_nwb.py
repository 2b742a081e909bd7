"""Photons of a .siff in NWB: room, speed of writing, one frame at random, and reading back beside the .siff.

Run ``python tests/benchmarks/bench_photons_nwb.py [--full]``. Targets at 1,500 photons in 256 x 128 pixels: at most
0.30 of a raw .siff and 0.80 of a compressed one, 100 MB of source a second on two cores, a frame in less than 5 ms.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from scanimage_nwb import SiffReader
from scanimage_nwb.nwb import FlimInterface, open_photons, write_nwbfile
from scanimage_nwb.testing import write_siff_recording

RECORDINGS = {
    "raw, 1,500 photons in 256 x 128": {"page_kinds": ("raw",), "shape": (256, 128), "photons_per_page": 1500},
    "compressed, the same": {"page_kinds": ("compressed",), "shape": (256, 128), "photons_per_page": 1500},
    "compressed, 150,000 in 512 x 512": {
        "page_kinds": ("compressed",),
        "shape": (512, 512),
        "photons_per_page": 150_000,
    },
}


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the median time of a piece of work, after it has been done once."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def read_one_frame(path: Path, n: int = 60) -> float:
    """Return the median time that plain h5py, without a cache of chunks, takes for the photons of one frame."""
    times = []
    with h5py.File(path, rdcc_nbytes=0) as file:
        group = file["acquisition/PhotonEventSeries"]
        for frame in np.random.default_rng(0).integers(1, len(group["data"]), n):
            start = time.perf_counter()
            begin, end = group["frame_end"][frame - 1 : frame + 1]
            np.cumsum(group["pixel_step"][begin:end])
            group["delay_bin"][begin:end]
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def bench(name: str, n_frames: int, folder: Path) -> None:
    """Measure one recording."""
    options = RECORDINGS[name]
    siff = write_siff_recording(folder, n_volumes=n_frames, keep_photons=False, **options).path
    path = folder / "photons.nwb"

    def write() -> None:
        write_nwbfile(FlimInterface(siff).create_nwbfile(), path, overwrite=True, progress=False)

    writing_s, n_source = seconds(write), siff.stat().st_size
    print(f"{name}, {n_frames} frames, {n_source / 1e6:.0f} MB")
    print(f"  room {path.stat().st_size / n_source:.3f} of the source; {n_source / writing_s / 1e6:.0f} MB/s of source")
    print(f"  one frame {read_one_frame(path) * 1e3:.2f} ms (h5py)")
    masks = np.random.default_rng(0).random((20, *options["shape"])) < 0.05
    methods: dict[str, Callable[[SiffReader], object]] = {
        "get_frames": lambda reader: reader.get_frames(),
        "get_histogram": lambda reader: reader.get_histogram(),
        "sum_masks (20)": lambda reader: reader.sum_masks(masks),
        "photons": lambda reader: reader.photons(),
    }
    for method, work in methods.items():
        with SiffReader(siff) as source, open_photons(path) as found:
            of_siff, of_nwb = (seconds(partial(work, reader)) for reader in (source, found))
        print(f"  {method}: {of_nwb * 1e3:.0f} ms, {of_nwb / of_siff:.2f} times that of the .siff")


def main() -> None:
    """Measure all recordings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    n_frames = 10_000 if parser.parse_args().full else 1_000
    for name in RECORDINGS:
        with tempfile.TemporaryDirectory() as folder:
            bench(name, n_frames if "150,000" not in name else n_frames // 20, Path(folder))


if __name__ == "__main__":
    main()
