"""How many threads this process may keep busy."""

import os

__all__ = ["THREADS_VARIABLE", "usable_threads"]

THREADS_VARIABLE = "SCANIMAGE_NWB_THREADS"
"""Environment variable that says so where several processes share a computer, as those of a batch do."""


def usable_threads(most: int | None = None) -> int:
    """Return the number of threads to use: what the environment says, else one for each processor of this process.

    Parameters
    ----------
    most : int, optional
        More are of no use.

    Returns
    -------
    int
        At least 1.
    """
    said = os.environ.get(THREADS_VARIABLE, "")
    if said.isdigit() and int(said) > 0:
        n_threads = int(said)
    elif hasattr(os, "sched_getaffinity"):
        n_threads = len(os.sched_getaffinity(0))
    else:
        n_threads = os.cpu_count() or 1
    return n_threads if most is None else min(most, n_threads)
