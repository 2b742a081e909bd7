"""Convert one session of ScanImage recordings to NWB. Copy this file and change it to suit your lab.

Without arguments it makes a small demo session, converts it and says where it is. Otherwise::

    python conversion_scripts/convert_session.py DATA_DIR OUTPUT_DIR [--stub-test] [--timezone Europe/Berlin]
        [--sync PULSES.csv --sync-fires-per frame]

With a `session.yaml` in DATA_DIR (`scanimage-nwb init DATA_DIR` writes one), all that it names becomes one NWB file.
Without it every recording becomes one; a file `metadata.yaml` in DATA_DIR, or the one given with --metadata, goes on
top of what the files say (subject, indicator, location …; see the README). With --sync the samples of every recording
get the times of its pulses, on the clock of whatever recorded these; a session.yaml names the pulses of each recording.
"""

import sys
import warnings
from pathlib import Path

import click

from scanimage_nwb.cli import run_plainly
from scanimage_nwb.errors import MetadataError, ScanImageNwbWarning
from scanimage_nwb.nwb import SyncOptions, convert_recording, load_metadata_file
from scanimage_nwb.nwb.session import SESSION_FILE_NAME, convert_session
from scanimage_nwb.session_folder import find_recordings, recording_names, refuse_nothing
from scanimage_nwb.testing import write_demo_session

DEMO_DIR = Path("scanimage-nwb-demo")


def session_to_nwb(
    data_dir_path: str | Path,
    output_dir_path: str | Path,
    stub_test: bool = False,
    verbose: bool = False,
    metadata_path: str | Path | None = None,
    timezone: str | None = None,
    overwrite: bool = True,
    sync_path: str | Path | None = None,
    sync_fires_per: str = "frame",
) -> list[Path]:
    """Convert a session folder; return the NWB files.

    Parameters
    ----------
    data_dir_path : path-like
        Folder that holds the TIFF and .siff files of the session.
    output_dir_path : path-like
        Folder for the NWB files; made if need be.
    stub_test : bool
        Write the first 100 samples of each recording only, for a try.
    verbose : bool
        Show progress.
    metadata_path : path-like, optional
        YAML file of metadata; by default `metadata.yaml` in the data folder, if there is one. What a session file
        says goes on top of it.
    timezone : str, optional
        Time zone of the computer that recorded, such as ``"Europe/Berlin"``; by default this computer's. A .siff
        says its time in UTC.
    overwrite : bool
        Replace NWB files that are there.
    sync_path : path-like, optional
        Times in seconds of sync pulses (.csv, .npy, .npz, .nwb): all times in the NWB files are on their clock.
    sync_fires_per : {'page', 'frame', 'plane', 'volume'}
        What fires a pulse.
    """
    data_dir_path, output_dir_path = Path(data_dir_path), Path(output_dir_path)
    if (data_dir_path / SESSION_FILE_NAME).is_file():
        if sync_path is not None:
            raise MetadataError(
                f"{data_dir_path / SESSION_FILE_NAME} says what belongs to the session; name the pulses there, as sync "
                "of a recording, instead of with --sync"
            )
        common = load_metadata_file(Path(metadata_path)) if metadata_path else None
        converted = convert_session(
            data_dir_path,
            output_dir_path,
            metadata=common,
            timezone=timezone,
            stub_test=stub_test,
            overwrite=overwrite,
            progress=verbose,
        )
        return [converted.path]
    recordings, left_out = find_recordings(data_dir_path)
    refuse_nothing(data_dir_path, recordings, left_out)
    for path, reason in left_out:
        warnings.warn(f"{path.name} is left out: {reason}", ScanImageNwbWarning, stacklevel=2)
    if metadata_path is None and (data_dir_path / "metadata.yaml").is_file():
        metadata_path = data_dir_path / "metadata.yaml"
    metadata = load_metadata_file(Path(metadata_path)) if metadata_path else {}
    return [
        convert_recording(
            files[:1],
            output_dir_path / f"{name}.nwb",
            metadata=metadata,
            timezone=timezone,
            stub_test=stub_test,
            overwrite=overwrite,
            progress=verbose,
            sync=SyncOptions(sync_path, sync_fires_per) if sync_path is not None else None,
        )
        for files, name in zip(recordings, recording_names(recordings), strict=True)
    ]


def convert_demo() -> None:
    """Write a small session, convert it, and say what was made and where."""
    data_dir = write_demo_session(DEMO_DIR / "session")
    print(f"made a demo session (two channels, three planes; a TIFF and a .siff recording) in {data_dir}")
    for path in session_to_nwb(data_dir, DEMO_DIR / "nwb", timezone="UTC"):
        print(f"converted it to {path} ({path.stat().st_size / 1e6:.1f} MB)")
        print(f'look at it:  python -c "import pynwb; print(pynwb.read_nwb({str(path)!r}))"')
    print(f"your own:    python {sys.argv[0]} DATA_DIR OUTPUT_DIR")


@click.command(help=__doc__)
@click.argument("data_dir", required=False)
@click.argument("output_dir", required=False)
@click.option("--stub-test", is_flag=True, help="Write the first 100 samples only, for a try.")
@click.option("--metadata", help="YAML file of metadata.")
@click.option("--timezone", help="Time zone of the computer that recorded.")
@click.option("--sync", help="Times of sync pulses in seconds: .csv, .npy, .npz or .nwb.")
@click.option(
    "--sync-fires-per", type=click.Choice(["page", "frame", "plane", "volume"]), default="frame", show_default=True
)
@click.option("--debug", is_flag=True, help="Show where in the program an error comes from.")
def main(data_dir, output_dir, stub_test, metadata, timezone, sync, sync_fires_per, debug):
    """Convert the session that the command line names, or the demo."""
    with run_plainly(debug=debug):
        if data_dir is None:
            convert_demo()
            return
        if output_dir is None:
            raise click.UsageError("name both DATA_DIR and OUTPUT_DIR, or neither for the demo")
        for path in session_to_nwb(
            data_dir,
            output_dir,
            stub_test,
            sys.stderr.isatty(),
            metadata,
            timezone,
            sync_path=sync,
            sync_fires_per=sync_fires_per,
        ):
            print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
