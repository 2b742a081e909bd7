"""Masks: this package beside corrosiffpy 0.1.2 in one run, and a thousand masks over a long recording.

    python tests/benchmarks/bench_roi_traces.py --peer-python PYTHON            small, a minute
    python tests/benchmarks/bench_roi_traces.py --peer-python PYTHON --full     the sizes of the claims: 6 GB of disk

PYTHON is an interpreter that has corrosiffpy (GPL; used as a black box, and never part of this package); without it
only our figures are printed. First a .siff of 6 planes and 2 colours, 256 x 128: half the frame as one mask, ten
stripes, and 500 cell-sized masks, every page of both colours; each figure is the median of later calls in one process,
so that the page cache is warm and kernels are compiled. `sum_masks` is the reader's, for masks as arrays;
`extract_traces` sums a `RoiSet` by volume; `photon_traces` gives counts, lifetimes and phasors, which the peer lacks.
Then 1,000 masks on frames of 512 x 512, a file read again and again: 1,000 frames with masks and 1,000 by a plain read
in turn, and the median of the ratios.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIFF_SHAPE = (256, 128)
CASES = {"half": 1, "stripes": 10, "cells": 500}
_PART = 1000
"""Frames that are read plainly, and then with masks."""
ASKED = {"half": 2, "stripes": 8}
"""The least ratio of the peer's time over ours."""
MOST_BESIDE_ONE = 2
WORK = ("sum_masks", "extract_traces", "photon_traces")


def make_masks(case: str) -> Any:
    """Return boolean masks: half the frame, ten stripes, or 500 disks of 7 pixels across."""
    import numpy as np

    masks = np.zeros((CASES[case], *SIFF_SHAPE), bool)
    if case == "half":
        masks[0, :, : SIFF_SHAPE[1] // 2] = True
    elif case == "stripes":
        for i in range(10):
            masks[i, i * SIFF_SHAPE[0] // 10 : (i + 1) * SIFF_SHAPE[0] // 10] = True
    else:
        rng, (row, column) = np.random.default_rng(0), np.indices(SIFF_SHAPE)
        places = rng.permutation(SIFF_SHAPE[0] // 8 * (SIFF_SHAPE[1] // 8))
        for mask, place in zip(masks, places, strict=False):  # side by side, some of them overlapping
            center = np.array(divmod(place, SIFF_SHAPE[1] // 8)) * 8 + rng.uniform(3, 5, 2)
            mask[(row - center[0]) ** 2 + (column - center[1]) ** 2 <= 12] = True
    return masks


def ours(path: str, what: str, case: str) -> Callable[[], object]:
    """Return the work as a function, ours."""
    import numpy as np

    from scanimage_nwb import SiffReader
    from scanimage_nwb.roi_traces import RoiSet, extract_photon_traces, extract_traces

    reader, masks = SiffReader(path), make_masks(case)
    if what == "sum_masks":
        frames = np.arange(reader.num_frames)
        return lambda: reader.sum_masks(masks, frames)
    rois = RoiSet.from_masks(masks).through_planes(reader.recording.n_planes)
    take = extract_traces if what == "extract_traces" else extract_photon_traces
    return lambda: [take(reader, rois, color_channel=color) for color in range(reader.im_params.num_colors)]


def peer(path: str, case: str) -> Callable[[], object]:
    """Return the work as a function, the peer's."""
    import corrosiffpy

    reader = corrosiffpy.open_file(path)
    n_frames = reader.num_frames() if callable(reader.num_frames) else reader.num_frames
    frames, masks = list(range(n_frames)), make_masks(case)
    if len(masks) == 1:
        return lambda: reader.sum_roi(masks[0], frames=frames)
    return lambda: reader.sum_rois(masks, frames=frames)


def measure(who: str, path: str, what: str, case: str, repeats: int) -> float:
    """Return the median of the seconds of all calls but the first."""
    work = ours(path, what, case) if who == "ours" else peer(path, case)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def measure_long(path: str, n_frames: int, n_masks: int) -> dict[str, float]:
    """Sum masks over a file read again and again; return frames a second, of a plain read too, and peak memory."""
    import numpy as np

    from scanimage_nwb import ScanImageImagingExtractor
    from scanimage_nwb.roi_traces import RoiSet, iter_traces

    extractor = ScanImageImagingExtractor(path)
    n, shape = extractor.get_num_samples(), extractor.get_image_shape()

    class Repeated:
        reads_on_any_thread = True

        def __init__(self, n_frames: int) -> None:
            self.shape = (n_frames, 1, *shape)

        def read(self, start: int, stop: int) -> np.ndarray:
            first = min(start % n, n - (stop - start))
            return extractor.get_series(first, first + stop - start)[:, np.newaxis]

    rng, offset = np.random.default_rng(0), np.argwhere(np.hypot(*(np.indices((15, 15)) - 7)) <= 7) - 7
    rois = RoiSet.from_pixels([offset + rng.integers(7, np.array(shape) - 7) for _ in range(n_masks)], shape)
    for _ in iter_traces(Repeated(128), rois):
        pass
    source, step, seconds = Repeated(_PART), 8, []  # of 1 to 16 frames at once, plain reads are fastest so
    for _ in range(n_frames // _PART):  # in turn, so that whatever else the computer does slows both down
        start = time.perf_counter()
        for first in range(0, _PART, step):
            source.read(first, first + step)
        between = time.perf_counter()
        assert sum(int(block.sums.sum()) for block in iter_traces(source, rois)) != 0
        seconds.append((between - start, time.perf_counter() - between))
    plain, masks = np.array(seconds).T
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "plain_fps": _PART / float(np.median(plain)),
        "masks_fps": _PART / float(np.median(masks)),
        "ratio": float(np.median(plain / masks)),
        "peak_mb": peak / 1e6,
    }


def alone(python: str, *words: object) -> Any:
    """Measure in a process of its own."""
    command = [python, __file__, "--measure", *map(str, words)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def compare_siff(path: Path, peer_python: str | None, repeats: int) -> None:
    """Print one line for each case and piece of work."""
    one: dict[str, float] = {}
    for case, n_masks in CASES.items():
        peer_s = float("nan")
        if peer_python and n_masks <= 10:  # the peer takes minutes for 500, and the claim is beside one mask of ours
            peer_s = alone(peer_python, "peer", path, "sum_masks", case, repeats)
        for what in WORK:
            seconds = alone(sys.executable, "ours", path, what, case, repeats)
            one.setdefault(what, seconds)
            asked = f" (asked {ASKED[case]})" if what == "sum_masks" and case in ASKED else ""
            beside_one = f" (asked at most {MOST_BESIDE_ONE})" if case == "cells" else ""
            print(
                f"{case:8} {n_masks:4} masks  {what:15} ours {seconds:8.3f} s   peer {peer_s:8.3f} s   "
                f"ratio {peer_s / seconds:6.1f}{asked}   {seconds / one[what]:5.2f} x one mask{beside_one}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of the claims")
    parser.add_argument("--peer-python", help="an interpreter that has corrosiffpy")
    parser.add_argument("--folder", help="where to write the files, or where they are; by default a temporary folder")
    parser.add_argument("--parts", default="siff,long", help="what to measure")
    parser.add_argument("--measure", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        if options.measure[0] == "long":
            print(json.dumps(measure_long(options.measure[1], int(options.measure[2]), int(options.measure[3]))))
        else:
            who, path, what, case, repeats = options.measure
            print(json.dumps(measure(who, path, what, case, int(repeats))))
        return
    from scanimage_nwb.testing import write_scanimage_recording
    from scanimage_nwb.testing.siff_files import write_siff_recording

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        n_volumes, n_frames = (6736, 100_000) if options.full else (150, 4_000)
        if "siff" in options.parts:
            path = folder / f"masks_{n_volumes}.siff"
            if not path.exists():
                write_siff_recording(
                    folder,
                    name=path.stem,
                    channel_save=(1, 2),
                    n_planes=6,
                    n_volumes=n_volumes,
                    shape=SIFF_SHAPE,
                    photons_per_page=1_500,
                    page_kinds=("compressed",),
                    keep_photons=False,
                )
            compare_siff(path, options.peer_python, 3)
        if "long" in options.parts:
            path = folder / "frames.tif"
            if not path.exists():
                write_scanimage_recording(folder, name="frames", n_volumes=400, shape=(512, 512))
            found = alone(sys.executable, "long", path, n_frames, 1000)
            print(
                f"1,000 masks, {n_frames} frames of 512 x 512: {found['masks_fps']:.0f} frames/s, plain read "
                f"{found['plain_fps']:.0f} frames/s: {found['ratio']:.0%} (asked 50%), peak memory "
                f"{found['peak_mb']:.0f} MB (asked 500)"
            )


if __name__ == "__main__":
    main()
