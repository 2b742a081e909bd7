"""Convert all sessions below a folder, several at a time. Copy this file and change it to suit your lab.

    python conversion_scripts/convert_all_sessions.py ROOT OUTPUT_DIR [--stub-test] [--timezone Europe/Berlin]

Every folder below ROOT that holds a `session.yaml`, or recordings, becomes one NWB file. One that fails stops no
other: ERROR_<session>.txt in OUTPUT_DIR says why, and the next run does what is missing or has changed. For a cluster
give `dataset_to_nwb` other ClusterOptions, such as ``ClusterOptions(slurm=True, workers=20, threads=4)``.
"""

import sys
from pathlib import Path

import click

from scanimage_nwb.batch import BatchOptions, ClusterOptions, Outcome, format_summary, run_batch
from scanimage_nwb.command_line import run_plainly


def dataset_to_nwb(
    data_dir_path: str | Path,
    output_dir_path: str | Path,
    max_workers: int | None = None,
    stub_test: bool = False,
    timezone: str | None = None,
    cluster: ClusterOptions | None = None,
) -> list[Outcome]:
    """Convert every session of a data set; return what became of each.

    Parameters
    ----------
    data_dir_path : path-like
        Folder with the folders of sessions, at any depth.
    output_dir_path : path-like
        Folder for the NWB files; made if need be.
    max_workers : int, optional
        Sessions at a time; by default one for every two processors.
    stub_test : bool
        Write the first 100 samples of each recording only, for a try.
    timezone : str, optional
        Time zone of the computers that recorded, where a session does not say it.
    cluster : ClusterOptions, optional
        Where to run, in place of this computer.
    """
    return run_batch(
        data_dir_path,
        output_dir_path,
        options=BatchOptions(stub_test=stub_test, timezone=timezone, verify=True),
        cluster=cluster or ClusterOptions(workers=max_workers),
        on_outcome=lambda outcome: print(f"{outcome.session}: {outcome.status}", file=sys.stderr),
    )


@click.command(help=__doc__)
@click.argument("root")
@click.argument("output_dir")
@click.option("--workers", type=int, help="Sessions at a time.")
@click.option("--stub-test", is_flag=True, help="Write the first 100 samples only, for a try.")
@click.option("--timezone", help="Time zone of the computers that recorded.")
@click.option("--debug", is_flag=True, help="Show where in the program an error comes from.")
def main(root, output_dir, workers, stub_test, timezone, debug):
    """Convert what the command line names."""
    with run_plainly(debug=debug):
        outcomes = dataset_to_nwb(root, output_dir, workers, stub_test, timezone)
        print(format_summary(outcomes))
        if any(outcome.status == "failed" for outcome in outcomes):
            sys.exit(1)


if __name__ == "__main__":
    main()
