"""Sync pulses to recordings, over the whole range of what happens to trains: never a wrong match, and how many none.

    python tests/benchmarks/bench_alignment.py           500 random trains, and 10^6 pulses
    python tests/benchmarks/bench_alignment.py --full    10,000 random trains: some 15 minutes

A match is right if every event lies within three times the jitter + 1 us of the truth. Refused are trains that can be
matched in several ways. Most of them are regular recordings whose train begins or ends elsewhere than they: no data can
tell which pulse is the first, so these are counted apart. The fraction is given for each condition. The program fails
if one match is wrong.
"""

import argparse
import collections
import itertools
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "time_axis"))

from trains import SHAPES, Train, fire, random_train

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.time_axis import match_pulses


def run_random(n: int, first_seed: int) -> int:
    """Match random trains; print what was refused under which condition; return the number of wrong matches."""
    refused: dict[tuple[str, object], list[bool]] = collections.defaultdict(list)
    n_wrong = 0
    for seed in range(first_seed, first_seed + n):
        train = random_train(np.random.default_rng(seed))
        try:
            found = match_pulses(train.events_s, train.pulses_s)
        except TimeAxisError:
            found = None
        if found is not None:
            error_s = float(np.abs(found.event_times_s - train.true_s).max())
            if error_s > 3 * train.jitter_s + 1e-6:
                n_wrong += 1
                print(f"WRONG by {error_s * 1e3:.3f} ms: seed {seed}, {train.condition}")
        keys: list[tuple[str, object]] = [("all", "")]
        keys.append(("all,", "of which nothing tells" if nothing_tells(train) else "of which the data may decide"))
        keys += [(name, value) for name, value in train.condition.items()]
        keys.append(("shape, ends", f"{train.condition['shape']}, {train.condition['ends']}"))
        for key in keys:
            refused[key].append(found is None)
    print(f"{n} trains: {n_wrong} wrong")
    for (name, value), which in sorted(refused.items(), key=str):
        print(f"  refused {100 * np.mean(which):5.1f} % of {len(which):6}  {name} {value}")
    return n_wrong


def nothing_tells(train: Train) -> bool:
    """Tell whether recording and train are regular, and do not both begin and end at the same event."""
    ends = {0, len(train.events_s) - 1}
    return train.condition["shape"] == "regular" and (
        train.condition["ends"] != "whole" or not ends <= set(train.event_of_pulse.tolist())
    )


def run_large(n: int) -> None:
    """Time trains of many pulses."""
    cases = itertools.product(SHAPES, (0.0, 0.001, 0.05))
    for shape, lost in cases:
        rng = np.random.default_rng(3)
        train = fire(rng, SHAPES[shape](rng, n, 30.0), drift_ppm=50.0, jitter_s=20e-6, lost=lost)
        start = time.perf_counter()
        match_pulses(train.events_s, train.pulses_s)
        print(f"{n} pulses, {shape}, {lost:.1%} lost: {time.perf_counter() - start:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--trains", type=int, default=500, help="how many random trains, without --full")
    parser.add_argument("--seed", type=int, default=0, help="of the first train")
    options = parser.parse_args()
    if options.trains == parser.get_default("trains"):
        run_large(1_000_000)
    sys.exit(run_random(10_000 if options.full else options.trains, options.seed) > 0)


if __name__ == "__main__":
    main()
