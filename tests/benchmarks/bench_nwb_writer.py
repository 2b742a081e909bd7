"""Writing NWB: this package beside neuroconv's default path, whole processes in one run.

    python tests/benchmarks/bench_nwb_writer.py            small, about two minutes
    python tests/benchmarks/bench_nwb_writer.py --full     the sizes of the claims: 8 GB of disk, about twenty minutes

Ratios are the peer's time over ours. "whole" is a process from start to end: our command line, and for the peer, who
has none, a script of four lines; "writing" is `run_conversion` alone, in such a script. The bare codec is ISA-L, which
deflates the same chunks, shuffled already, on as many threads.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

CASES = {
    "frames 512x512": {"small": 600, "full": 5_000, "shape": (512, 512), "planes": 1, "channels": 1},
    "frames 64x64": {"small": 6_000, "full": 50_000, "shape": (64, 64), "planes": 1, "channels": 1},
    "volumes 2 channels": {"small": 40, "full": 300, "shape": (256, 256), "planes": 8, "channels": 2},
}


def poisson_pages(shape: tuple[int, int]) -> Any:
    """Return a source of pages with photon noise on a smooth scene; 32 draws, shifted, stand for all."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    scene = 6 + 30 * np.exp(-(((y % 64) - 32) ** 2 + ((x % 64) - 32) ** 2) / 128)
    pool = [rng.poisson(scene).astype(np.int16) for _ in range(32)]
    return lambda page, _height, _width: np.roll(pool[page % 32], page // 32, axis=1)


def write_recording(folder: Path, name: str, case: dict[str, Any], n_samples: int) -> Path:
    """Write the recording of one case."""
    from scanimage_nwb.testing import write_scanimage_recording

    return write_scanimage_recording(
        folder,
        name=name,
        n_volumes=n_samples,
        n_planes=case["planes"],
        n_channels=case["channels"],
        shape=case["shape"],
        page_value=poisson_pages(case["shape"]),
        keep_pages=False,
    ).paths[0]


def convert(who: str, source: str, target: str, workers: int | None) -> dict[str, float]:
    """Convert a recording with our converter or the peer's; return seconds of writing and the largest memory."""
    if who == "ours":
        from scanimage_nwb.nwb import ScanImageConverter, write_nwbfile

        converter = ScanImageConverter(source, timezone="UTC")
    else:
        from neuroconv.converters import ScanImageConverter

        converter = ScanImageConverter(file_path=source)
    metadata = converter.get_metadata()
    metadata["NWBFile"]["session_start_time"] = datetime(2025, 4, 24, tzinfo=UTC)
    start = time.perf_counter()
    if who == "ours" and workers is not None:
        write_nwbfile(converter.create_nwbfile(metadata=metadata), target, workers=workers, overwrite=True)
    else:
        converter.run_conversion(nwbfile_path=target, metadata=metadata, overwrite=True)
    seconds = time.perf_counter() - start
    return {"writing_s": seconds, "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


def run_alone(who: str, source: Path, target: Path, workers: int | None = None) -> dict[str, float]:
    """Convert in a process of its own."""
    script = [sys.executable, __file__, "--convert", who, str(source), str(target), str(workers or 0)]
    start = time.perf_counter()
    output = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    whole_s = time.perf_counter() - start
    result = json.loads(output.splitlines()[-1])
    if who == "ours" and workers is None:
        target.unlink()
        convert = [str(source), "-o", str(target), "--timezone", "UTC"]
        command = [sys.executable, "-c", "from scanimage_nwb.cli import main; main()", "convert", *convert]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        whole_s = time.perf_counter() - start
    return {**result, "whole_s": whole_s, "file_mb": target.stat().st_size / 1e6}


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of every figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def bare_codec_mb_per_s(source: Path, workers: int) -> float:
    """Return the raw MB/s at which ISA-L alone deflates the recording's chunks, shuffled before the clock starts."""
    from isal import isal_zlib

    from scanimage_nwb import open_recording
    from scanimage_nwb.nwb.series import default_chunk_shape

    recording = open_recording(source)
    pages = recording.read_pages(recording.index.sample_pages[:200, 0, 0, 0])
    step = default_chunk_shape((len(pages), *recording.page_shape), recording.dtype)[0]
    chunks = []
    for first in range(0, len(pages) - step + 1, step):
        chunk = np.ascontiguousarray(pages[first : first + step].transpose(0, 2, 1))
        chunks.append(np.ascontiguousarray(chunk.reshape(-1).view(np.uint8).reshape(chunk.size, -1).T))
    chunks *= max(1, 400_000_000 // sum(chunk.nbytes for chunk in chunks))
    with ThreadPoolExecutor(workers) as pool:
        start = time.perf_counter()
        list(pool.map(lambda chunk: isal_zlib.compress(chunk, 1), chunks))
        return sum(chunk.nbytes for chunk in chunks) / (time.perf_counter() - start) / 1e6


def compare(name: str, source: Path, raw_mb: float, repeats: int) -> None:
    """Print one case."""
    runs: dict[str, list[dict[str, float]]] = {"peer": [], "ours": []}
    for _ in range(repeats):
        for who, found in runs.items():
            found.append(run_alone(who, source, source.with_suffix(f".{who}.nwb")))
    peer, ours = median(runs["peer"]), median(runs["ours"])
    print(
        f"{name} ({raw_mb:.0f} MB raw)\n"
        f"  whole    peer {peer['whole_s']:7.2f} s   ours {ours['whole_s']:6.2f} s   "
        f"ratio {peer['whole_s'] / ours['whole_s']:5.1f}\n"
        f"  writing  peer {peer['writing_s']:7.2f} s   ours {ours['writing_s']:6.2f} s   "
        f"ratio {peer['writing_s'] / ours['writing_s']:5.1f}   ours {raw_mb / ours['writing_s']:.0f} MB/s\n"
        f"  file     peer {peer['file_mb']:7.1f} MB  ours {ours['file_mb']:6.1f} MB  "
        f"({ours['file_mb'] / peer['file_mb'] - 1:+.1%})\n"
        f"  memory   peer {peer['memory_mb']:7.0f} MB  ours {ours['memory_mb']:6.0f} MB",
        flush=True,
    )


def scaling(source: Path, raw_mb: float) -> None:
    """Print our speed with 1, 2 and 4 workers beside the bare codec's."""
    for workers in (1, 2, 4):
        runs = [run_alone("ours", source, source.with_suffix(".ours.nwb"), workers) for _ in range(3)]
        speed = raw_mb / median(runs)["writing_s"]
        bare = statistics.median(bare_codec_mb_per_s(source, workers) for _ in range(3))
        print(f"  {workers} worker(s): {speed:5.0f} MB/s, bare codec {bare:5.0f} MB/s: {speed / bare:.0%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of the claims")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", type=int, choices=range(len(CASES)), help="this one only")
    parser.add_argument("--folder", help="where to write; by default a temporary folder")
    parser.add_argument("--convert", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        who, source, target, workers = options.convert
        print(json.dumps(convert(who, source, target, int(workers) or None)))
        return
    print(f"{os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for number, (name, case) in enumerate(CASES.items()):
            if options.case not in (None, number):
                continue
            n_samples = case["full" if options.full else "small"]
            source = write_recording(Path(folder), f"case{number}", case, n_samples)
            raw_mb = n_samples * case["planes"] * case["channels"] * case["shape"][0] * case["shape"][1] * 2 / 1e6
            compare(name, source, raw_mb, options.repeats)
            if number == 0:
                scaling(source, raw_mb)


if __name__ == "__main__":
    main()
