"""Run a batch: look at every session, convert what is missing or changed, say what became of each."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scanimage_nwb.batch.cluster import ClusterOptions, open_client
from scanimage_nwb.batch.jobs import BatchOptions, Job, Made, Plan, convert_job, find_sessions, jobs_of, plan_job
from scanimage_nwb.batch.outcomes import Outcome, error_path, write_error, write_summary
from scanimage_nwb.errors import MetadataError

__all__ = ["SUMMARY_NAME", "run_batch"]

SUMMARY_NAME = "summary.csv"


def run_batch(
    root: str | Path,
    out: str | Path,
    *,
    pattern: str | None = None,
    options: BatchOptions | None = None,
    cluster: ClusterOptions | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Convert every session below a folder, each to one NWB file; those whose files are current stay as they are.

    A session that fails does not stop the others: ``ERROR_<session>.txt`` says why, until it succeeds. The session of a
    worker that is killed is given to another one. ``summary.csv`` lists what became of each.

    Parameters
    ----------
    root : path-like
        Where the sessions are: folders with a ``session.yaml``, or with recordings.
    out : path-like
        Folder for the files; made if need be. Workers must see it, and `root`, under the same names.
    pattern : str, optional
        Pattern of the sessions' folders below the root.
    options : BatchOptions, optional
        How they are converted.
    cluster : ClusterOptions, optional
        Where: by default on workers of this computer.
    on_outcome : callable, optional
        Called with every Outcome as soon as it is known.

    Returns
    -------
    list of Outcome
        In the order of sessions.

    Raises
    ------
    FileNotFoundError
        If there is no session.
    ScanImageNwbError
        If the cluster cannot be had.
    """
    if options is not None and options.report:
        from scanimage_nwb.report import need_packages

        need_packages()
    root, out = (Path(path).expanduser().absolute() for path in (root, out))
    folders = find_sessions(root, pattern, but_not=out)
    out.mkdir(parents=True, exist_ok=True)
    jobs = {job.key: job for job in jobs_of(root, folders, out, options or BatchOptions())}
    run = _Run(jobs, out, on_outcome)
    with open_client(cluster or ClusterOptions(), len(jobs)) as (client, threads):
        run.plan(client)
        run.convert(client, threads)
    outcomes = [run.outcomes[key] for key in jobs]
    write_summary(out / SUMMARY_NAME, outcomes)
    return outcomes


class _Run:
    """The state of a batch while it runs."""

    def __init__(self, jobs: Mapping[str, Job], out: Path, on_outcome: Callable[[Outcome], None] | None) -> None:
        self.jobs, self.out, self._on_outcome = jobs, out, on_outcome
        self.plans: dict[str, Plan] = {}
        self.outcomes: dict[str, Outcome] = {}

    def plan(self, client: Any) -> None:
        """Look at every session, on the workers, which see the files best."""
        futures = {client.submit(plan_job, job, key=f"plan-{key}", pure=False): key for key, job in self.jobs.items()}
        for future, key in _as_they_end(futures):
            if future.status == "finished":
                self.plans[key] = future.result()
            else:
                self._failed(key, future.exception(), future.traceback())
        sharing: dict[Path, list[str]] = defaultdict(list)
        for key, plan in self.plans.items():
            sharing[plan.output].append(key)
        for output, keys in sharing.items():
            for key in keys if len(keys) > 1 else ():
                others = ", ".join(other for other in keys if other != key)
                text = f"{output} would be the file of {others} too; give each session a session_id of its own"
                self._failed(key, MetadataError(text), None)
                del self.plans[key]
        for key, plan in self.plans.items():
            if plan.is_current and not plan.needs_report:
                size = (self.out / plan.output).stat().st_size
                self._ended(
                    Outcome(key, "up to date", str(plan.output), source_bytes=plan.source_bytes, file_bytes=size)
                )

    def convert(self, client: Any, threads: int) -> None:
        """Convert what is not current, the largest first, so that none is left to one worker at the end."""
        waiting = sorted(self.plans.keys() - self.outcomes.keys(), key=lambda key: -self.plans[key].source_bytes)
        futures = {
            client.submit(
                convert_job,
                self.jobs[key],
                self.plans[key],
                threads,
                key=f"convert-{key}",
                pure=False,
                priority=-rank,
            ): key
            for rank, key in enumerate(waiting)
        }
        for future, key in _as_they_end(futures):
            if future.status == "finished":
                self._made(key, future.result())
            else:
                self._failed(key, future.exception(), future.traceback())

    def _made(self, key: str, made: Made) -> None:
        plan = self.plans[key]
        old = f"its older file {plan.old_output} is still there" if plan.old_output is not None else ""
        self._ended(
            Outcome(
                key,
                "converted",
                str(plan.output),
                round(made.seconds, 3),
                made.source_bytes,
                made.file_bytes,
                made.n_verified,
                len(made.warnings),
                old,
            )
        )

    def _failed(self, key: str, error: BaseException, trace: Any) -> None:
        sentence = write_error(self.out, key, self.jobs[key].folder, error, trace)
        self._ended(Outcome(key, "failed", message=sentence))

    def _ended(self, outcome: Outcome) -> None:
        if outcome.status != "failed":
            error_path(self.out, outcome.session).unlink(missing_ok=True)
        self.outcomes[outcome.session] = outcome
        if self._on_outcome is not None:
            self._on_outcome(outcome)


def _as_they_end(futures: Mapping[Any, str]) -> Any:
    """Yield futures and their sessions in the order in which they end."""
    from distributed import as_completed

    for future in as_completed(futures, raise_errors=False):
        yield future, futures[future]
