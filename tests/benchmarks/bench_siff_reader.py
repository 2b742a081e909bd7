"""Reading .siff files: this package beside corrosiffpy 0.1.2, in one run.

    python tests/benchmarks/bench_siff_reader.py --peer-python PYTHON            small, a minute
    python tests/benchmarks/bench_siff_reader.py --peer-python PYTHON --full     the sizes of the claims: 3.5 GB of disk

PYTHON is an interpreter that has corrosiffpy (GPL; used as a black box, and never part of this package); without it
only our figures are printed. Beside each ratio stands the one that was asked for. Every figure is the median of up to
seven calls in one process after a first one, so that the page cache is warm and kernels are compiled; the peer's and
ours run in turn, three times where that is quick, and the median of the three counts. Ratios are the peer's time over
ours. Masks are stripes, as in SiffPy's tutorial; with --random-masks
each holds a random 70 % of the pixels, which nobody draws.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

WORK = ("open", "get_frames", "mean_delay", "histogram", "masked_histogram", "masks_1", "masks_10", "masks_100")


ASKED = {
    "A": (None, 1.3, 4, 1.3, 2, 1.2, 3, 15),
    "B": (None, 1.5, 4, 1.3, 5, 2, 10, 50),
    "C": (None, 4, 5, 1.5, 8, 3, 15, 60),
    "D": (3,),
}
"""The least ratio that each work of each case is to have; None where none was set."""
MOST_BEYOND_MB = 300
QUICK_S = 1.5


def make_masks(shape: tuple[int, int], n_masks: int, random: bool) -> Any:
    """Return boolean masks: vertical stripes, or random ones."""
    import numpy as np

    if random:
        return np.random.default_rng(0).random((n_masks, *shape)) > 0.3
    masks = np.zeros((n_masks, *shape), bool)
    for i in range(n_masks):
        masks[i, :, i * shape[1] // n_masks : (i + 1) * shape[1] // n_masks] = True
    if n_masks == 1:
        masks[:, shape[0] // 2 :] = False
    return masks


def ours(path: str, what: str, random: bool) -> Any:
    """Return the work as a function, ours."""
    from scanimage_nwb.siff_reader import SiffReader

    if what == "open":
        return lambda: SiffReader(path)
    reader = SiffReader(path)
    n_masks = int(what[6:]) if what.startswith("masks_") else 1
    masks = make_masks(reader.im_params.shape, n_masks, random)
    calls = {
        "get_frames": reader.get_frames,
        "mean_delay": reader.flim_map,
        "histogram": reader.get_histogram,
        "masked_histogram": lambda: reader.get_histogram(None, masks[0], framewise=True),
    }
    return calls.get(what, lambda: reader.sum_masks(masks))


def peer(path: str, what: str, random: bool) -> Any:
    """Return the work as a function, the peer's."""
    import corrosiffpy

    if what == "open":
        return lambda: corrosiffpy.open_file(path)
    reader = corrosiffpy.open_file(path)
    n_frames = reader.num_frames() if callable(reader.num_frames) else reader.num_frames
    frames = list(range(n_frames))
    n_masks = int(what[6:]) if what.startswith("masks_") else 1
    masks = make_masks(reader.get_frames([0]).shape[1:], n_masks, random)
    calls = {
        "get_frames": lambda: reader.get_frames(frames=frames),
        "mean_delay": lambda: reader.flim_map(frames=frames),
        "histogram": lambda: reader.get_histogram(frames=frames),
        "masked_histogram": lambda: reader.get_histogram_masked(masks[0], frames=frames),
        "masks_1": lambda: reader.sum_roi(masks[0], frames=frames),
    }
    return calls.get(what, lambda: reader.sum_rois(masks, frames=frames))


def measure(who: str, path: str, what: str, random: bool) -> dict[str, float]:
    """Do one piece of work a few times; return the median seconds of those after the first, and peak memory."""
    import resource

    work = (ours if who == "ours" else peer)(path, what, random)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds: list[float] = []
    result_bytes = 0
    while len(seconds) < 2 or (len(seconds) < 8 and sum(seconds) < 4):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
        parts = result if isinstance(result, tuple) else (result,)
        result_bytes = sum(getattr(part, "nbytes", 0) for part in parts)
        del result, parts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": median(seconds[1:]), "beyond_mb": max(0.0, (peak - before) / 1e3 - result_bytes / 1e6)}


def run_alone(python: str, who: str, path: Path, what: str, random: bool) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [python, __file__, "--measure", who, str(path), what, str(int(random))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def run_in_turn(pythons: dict[str, str], path: Path, what: str, random: bool) -> dict[str, dict[str, float]]:
    """Measure ours and the peer's, one after the other, up to three times; return medians of seconds, most memory."""
    found: dict[str, list[dict[str, float]]] = {who: [] for who in pythons}
    for _ in range(3):
        for who, python in pythons.items():
            found[who].append(run_alone(python, who, path, what, random))
        if sum(runs[0]["seconds"] for runs in found.values()) > QUICK_S:
            break
    return {
        who: {
            "seconds": median(run["seconds"] for run in runs),
            "beyond_mb": max(run["beyond_mb"] for run in runs),
        }
        for who, runs in found.items()
    }


def write_cases(folder: Path, full: bool) -> dict[str, Path]:
    """Write the files of the cases that are not there yet."""
    from scanimage_nwb.testing.siff_files import write_siff_recording

    n = 20_000 if full else 1_000
    dense = {"n_volumes": n // 10, "shape": (512, 512), "photons_per_page": 150_000, "page_kinds": ("compressed",)}
    sparse: dict[str, Any] = {"n_volumes": n, "shape": (256, 128), "photons_per_page": 1_500}
    cases: dict[str, dict[str, Any]] = {
        "A": sparse | {"page_kinds": ("raw",)},
        "B": sparse | {"page_kinds": ("compressed",)},
        "C": dense,
        "D": {"n_volumes": 10 * n, "shape": (16, 16), "photons_per_page": 20, "page_kinds": ("raw",)},
    }
    for name, options in cases.items():
        if not (folder / f"{name}.siff").exists():
            write_siff_recording(folder, name=name, keep_photons=False, **options)
    return {name: folder / f"{name}.siff" for name in cases}


def print_line(case: str, what: str, found: dict[str, dict[str, float]], asked: float | None) -> None:
    """Print one line of the table: seconds, the ratio beside what was asked, and memory."""
    line = f"{case} {what:17}" + "".join(f"{who} {one['seconds']:8.4f} s   " for who, one in found.items())
    if "peer" in found:
        ratio = found["peer"]["seconds"] / found["ours"]["seconds"]
        verdict = "" if asked is None else f"asked {asked:4.1f}  {'ok    ' if ratio >= asked else 'MISSED'}"
        line += f"ratio {ratio:6.1f}  {verdict:18}"
    beyond_mb = found["ours"]["beyond_mb"]
    verdict = "ok" if beyond_mb <= MOST_BEYOND_MB else "MISSED"
    print(f"{line}   beyond the result {beyond_mb:4.0f} MB of {MOST_BEYOND_MB}  {verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of the claims")
    parser.add_argument("--peer-python", help="an interpreter that has corrosiffpy")
    parser.add_argument("--folder", help="where to write the files, or where they are; by default a temporary folder")
    parser.add_argument("--cases", default="ABCD")
    parser.add_argument("--work", help="which lines of the table, comma-separated; by default all")
    parser.add_argument("--random-masks", action="store_true")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        who, path, what, random = options.measure
        print(json.dumps(measure(who, path, what, bool(int(random)))))
        return
    pythons = {"ours": sys.executable} | ({"peer": options.peer_python} if options.peer_python else {})
    with tempfile.TemporaryDirectory() as temporary:
        paths = write_cases(Path(options.folder or temporary), options.full)
        for case in options.cases:
            seconds = {}
            for what, asked in zip(WORK, ASKED[case], strict=False):
                if options.work and what not in options.work.split(","):
                    continue
                found = run_in_turn(pythons, paths[case], what, options.random_masks)
                seconds[what] = found["ours"]["seconds"]
                print_line(case, what, found, asked)
            if {"masks_1", "masks_10"} <= set(seconds):
                times = seconds["masks_10"] / seconds["masks_1"]
                print(f"{case} 10 masks cost {times:.2f} x one mask (asked: at most 1.5)", flush=True)


if __name__ == "__main__":
    main()
