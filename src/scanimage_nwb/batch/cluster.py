"""Where a batch runs: on this computer, on a Dask cluster that is there, or on one that SLURM is asked for."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from scanimage_nwb.errors import ScanImageNwbError
from scanimage_nwb.threads import THREADS_VARIABLE, usable_threads

__all__ = ["ClusterOptions", "divide", "open_client", "slurm_cluster"]

_SHARE_OF_MEMORY = 0.8
_LEAST_BYTES = 2 << 30
"""Memory that a worker should have: a session takes some 0.6 GB, and more if its motion is found."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Where sessions are converted, and how a computer is divided among them."""

    workers: int | None = None
    """Sessions at a time on this computer, or jobs of SLURM."""
    threads: int | None = None
    """Threads that compress, of each session; processors of a SLURM job."""
    scheduler: str | None = None
    """Address of a Dask scheduler that is there, such as ``"tcp://host:8786"``."""
    slurm: bool = False
    """Ask SLURM for jobs."""
    memory: str | None = None
    """Memory of a worker, such as ``"8GB"``."""
    walltime: str | None = None
    """Time of a SLURM job, such as ``"08:00:00"``."""
    queue: str | None = None
    """Partition of SLURM."""
    account: str | None = None
    """Account of SLURM."""


def divide(n_sessions: int, cores: int, memory_bytes: int, workers: int | None, threads: int | None) -> tuple[int, int]:
    """Divide a computer among workers: no more threads than cores, and enough memory for each.

    Parameters
    ----------
    n_sessions : int
        More workers are of no use.
    cores : int
        Processors.
    memory_bytes : int
        Memory.
    workers, threads : int, optional
        What was asked for, and is kept to.

    Returns
    -------
    workers, threads : int
        Sessions at a time, and threads that compress for each. Unless told otherwise every session has two: two
        threads write 1.5 times as fast as one, two sessions twice as fast.

    Examples
    --------
    >>> divide(500, 16, 64 << 30, None, None), divide(500, 16, 8 << 30, None, None), divide(500, 16, 64 << 30, 2, None)
    ((8, 2), (4, 4), (2, 8))
    """
    if workers is None:
        per_session = threads or 2
        workers = max(1, min(n_sessions, cores // per_session, memory_bytes // _LEAST_BYTES))
    return workers, threads or max(1, cores // workers)


@contextmanager
def open_client(options: ClusterOptions, n_sessions: int) -> Iterator[tuple[Any, int]]:
    """Give a Dask client, and the threads that each session may compress with.

    Parameters
    ----------
    options : ClusterOptions
        Where, and how divided.
    n_sessions : int
        Sessions to convert.

    Yields
    ------
    client : distributed.Client
    threads : int

    Raises
    ------
    ScanImageNwbError
        If a package is missing, or no scheduler answers.
    """
    distributed = _import("distributed", "batch")
    if options.scheduler is not None and options.slurm:
        raise ValueError("--scheduler and --slurm exclude each other; give one")
    if options.scheduler is not None:
        try:
            client = distributed.Client(options.scheduler, timeout=20)
        except (OSError, ValueError) as error:
            raise ScanImageNwbError(f"no Dask scheduler answers at {options.scheduler}: {error}") from error
        with client:
            client.wait_for_workers(1, timeout=120)
            yield client, options.threads or _threads_beside_others(client)
        return
    if options.slurm:
        threads = options.threads or 4
        cluster = slurm_cluster(options, threads)
        cluster.scale(jobs=min(options.workers or 10, n_sessions))
    else:
        memory_bytes = int(_SHARE_OF_MEMORY * psutil.virtual_memory().total)
        workers, threads = divide(n_sessions, usable_threads(), memory_bytes, options.workers, options.threads)
        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=options.memory or memory_bytes // workers,
            dashboard_address="127.0.0.1:0",  # a free port: several batches may run
            silence_logs=logging.CRITICAL,  # what fails is told by the batch itself
            env={THREADS_VARIABLE: str(threads)},
        )
    with cluster, distributed.Client(cluster) as client:
        yield client, threads


def slurm_cluster(options: ClusterOptions, threads: int) -> Any:
    """Return a cluster of SLURM jobs, none of which is asked for yet: one session at a time in each.

    Parameters
    ----------
    options : ClusterOptions
        Memory (8 GB by default), walltime (8 hours), queue and account.
    threads : int
        Processors of a job.

    Returns
    -------
    dask_jobqueue.SLURMCluster

    Raises
    ------
    ScanImageNwbError
        If dask-jobqueue is missing.
    """
    jobqueue = _import("dask_jobqueue", "slurm")
    return jobqueue.SLURMCluster(
        cores=1,
        processes=1,
        job_cpu=threads,
        memory=options.memory or "8GB",
        walltime=options.walltime or "08:00:00",
        queue=options.queue,
        account=options.account,
        job_script_prologue=[f"export {THREADS_VARIABLE}={threads}"],
        scheduler_options={"dashboard_address": ":0"},
    )


def _import(name: str, extra: str) -> Any:
    """Import a package that only batches need."""
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ScanImageNwbError(
            f"a batch needs {name.replace('_', '-')}; get it with: python -m pip install 'scanimage-nwb[{extra}]'"
        ) from error


def _threads_beside_others(client: Any) -> int:
    """Return the threads for a session where several run on each host of a cluster."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    sessions_of_host: Counter[str] = Counter()
    for worker in workers:
        sessions_of_host[worker["host"]] += worker["nthreads"]
    cores = min(client.run(usable_threads).values(), default=1)
    return max(1, cores // max(sessions_of_host.values(), default=1))
