"""What chunk shapes cost the people who read a file: one frame, all of it in order, one pixel and one ROI over time.

    python tests/benchmarks/bench_chunk_shapes.py [--frames 2000]

One recording of 512 x 512 int16 photon counts is written once for every chunk shape, as plain gzip + shuffle, and
read back with h5py from the page cache. "Requests" is how many chunks a reader over the network fetches, "fetched"
how many bytes.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from scanimage_nwb.nwb.chunk_pipeline import fill_dataset

SHAPES = [(1, 512, 512), (3, 512, 512), (19, 512, 512), (12, 256, 256), (48, 128, 128), (190, 64, 64)]
"""One frame; our default; 10 MB of whole frames, neuroconv's default; and tiles of about our default's size."""


def counts(n_frames: int) -> np.ndarray:
    """Return photon counts in NWB order."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    scene = 6 + 30 * np.exp(-(((y % 64) - 32) ** 2 + ((x % 64) - 32) ** 2) / 128)
    pool = rng.poisson(scene, (32, 512, 512)).astype(np.int16)
    return np.concatenate([np.roll(pool, shift, axis=2) for shift in range(-(-n_frames // 32))])[:n_frames]


def write(path: Path, values: np.ndarray, chunks: tuple[int, ...]) -> float:
    """Write the file; return the seconds it took."""
    start = time.perf_counter()
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "data", shape=values.shape, dtype=values.dtype, chunks=chunks, compression="gzip", shuffle=True
        )
        fill_dataset(dataset, values.__getitem__, workers=2, thread_safe=True)
    return time.perf_counter() - start


def seconds(path: Path, read: Callable[[h5py.Dataset], object], repeats: int) -> float:
    """Return the median time of a read, each with a fresh cache of chunks."""
    found = []
    for _ in range(repeats):
        with h5py.File(path) as file:
            start = time.perf_counter()
            read(file["data"])
            found.append(time.perf_counter() - start)
    return statistics.median(found)


def read_all(dataset: h5py.Dataset) -> None:
    """Read everything in order, in blocks of 500 frames as suite2p does."""
    for start in range(0, len(dataset), 500):
        dataset[start : start + 500]


def chunks_touched(shape: tuple[int, ...], chunks: tuple[int, ...], selection: tuple[slice, ...]) -> int:
    """Return how many chunks a selection touches."""
    n = 1
    for length, step, part in zip(shape, chunks, selection, strict=True):
        start, stop, _ = part.indices(length)
        n *= (stop - 1) // step - start // step + 1
    return n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2_000)
    n_frames = parser.parse_args().frames
    values = counts(n_frames)
    frame = (slice(n_frames // 2, n_frames // 2 + 1), slice(None), slice(None))
    pixel = (slice(None), slice(300, 301), slice(200, 201))
    roi = (slice(None), slice(300, 320), slice(200, 220))
    print(f"{n_frames} frames of 512 x 512 int16, {values.nbytes / 1e6:.0f} MB")
    print("chunks            MB   write s   frame ms (requests, MB fetched)   all s   pixel s   ROI 20x20 s")
    with tempfile.TemporaryDirectory() as folder:
        for chunks in SHAPES:
            path = Path(folder) / "a.h5"
            wrote = write(path, values, chunks)
            stored = path.stat().st_size
            per_chunk = stored / values.size * np.prod(chunks)
            touched = chunks_touched(values.shape, chunks, frame)
            one_frame = seconds(path, lambda dataset: dataset[frame], 15)
            print(
                f"{'x'.join(map(str, chunks)):14} {stored / 1e6:6.1f}   {wrote:7.2f}   "
                f"{one_frame * 1e3:8.1f} ({touched:3}, {touched * per_chunk / 1e6:5.1f})             "
                f"{seconds(path, read_all, 1):5.2f}   {seconds(path, lambda d: d[pixel], 1):7.2f}   "
                f"{seconds(path, lambda d: d[roi], 1):7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
