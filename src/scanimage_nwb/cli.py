"""The command `scanimage-nwb`.

Errors that a user can mend end in one line and exit status 1; with `--debug` in a traceback.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from scanimage_nwb import __version__
from scanimage_nwb.archive_commands import dandi, report, validate
from scanimage_nwb.command_line import command, quick_imports, run_plainly
from scanimage_nwb.errors import VerificationError
from scanimage_nwb.motion_options import motion_options
from scanimage_nwb.session_commands import batch, convert_session_file, init, session_file_in
from scanimage_nwb.tiff_commands import to_tiff

if TYPE_CHECKING:
    from scanimage_nwb.nwb.progress import WriteProgress
    from scanimage_nwb.nwb.verifying import SeriesCheck
    from scanimage_nwb.recording import Recording
    from scanimage_nwb.registration import RegistrationInfo

__all__ = ["main", "run_plainly"]

_FLIM_OPTIONS = {
    "bin_factor": ("--flim-bin-factor", "histograms"),
    "fit": ("--flim-components", "fit"),
    "offset_s": ("--flim-offset", "lifetime"),
}
"""Option of the interface to that of the command, and the product that it is of."""
_ROI_HELP = (
    "Masks: suite2p folder, CaImAn .hdf5, label image (.tif, .npy), stack (.npy, .npz), ImageJ .roi or .zip, .json. "
    "Traces that come with them are taken over; else they are taken from the recording."
)
_ROI_PLANE_HELP = "Plane that masks without one were drawn in, from 0."
_DFF_HELP = "Add dF/F, F0 being the 8th percentile of F less its neuropil in a window of so many seconds."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scanimage-nwb")
def main() -> None:
    """ScanImage two-photon recordings (TIFF, .siff) to NWB."""


main.add_command(init)
main.add_command(batch)
main.add_command(report)
main.add_command(validate)
main.add_command(dandi)
main.add_command(to_tiff)


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="NWB file to write; of a session also a folder.")
@click.option("--metadata", type=click.Path(path_type=Path), help="YAML file; goes on top of what the files say.")
@click.option("--timezone", help="Time zone of the computer that recorded, such as Europe/Berlin; a .siff says UTC.")
@click.option(
    "--channel", "channels", multiple=True, help="Channel to write, by its name; repeat for more. Default: all."
)
@click.option("--plane", type=int, help="Plane to write, from 0. Default: all, as volumes.")
@click.option(
    "--slice-sample", type=int, help="Frame of each slice to take, from 0. Default: all, one after the other."
)
@click.option("--stub-test", is_flag=True, help="Write the first 100 samples only, for a try.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there.")
@click.option("--verify", "verify_after", is_flag=True, help="Compare the output with its source, bit for bit.")
@click.option("--report", "report_after", is_flag=True, help="Write a page to look at, beside the output.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that compress. Default: one for each processor.")
@click.option("--cloud", is_flag=True, help="Aggregate the file in pages, for network readers without a cache.")
@click.option(
    "--registration", type=click.Path(path_type=Path), help="Write the motion in this file too (see register)."
)
@click.option("--register", "register_first", is_flag=True, help="Find the motion first, and write it too.")
@motion_options
@click.option("--write-corrected", is_flag=True, help="Write the corrected movies too.")
@click.option("--rois", type=click.Path(path_type=Path), help=_ROI_HELP)
@click.option("--roi-plane", type=click.IntRange(min=0), help=_ROI_PLANE_HELP)
@click.option("--dff-window", type=float, help=_DFF_HELP)
@click.option(
    "--count-dtype",
    type=click.Choice(["int16", "uint16", "uint32"]),
    default="int16",
    show_default=True,
    help="Type of the photon counts of a .siff; what does not fit is refused.",
)
@click.option(
    "--flim",
    multiple=True,
    help="Of a .siff, write also: photons, histograms, lifetime, phasor, fit; separated by commas, or repeat.",
)
@click.option("--flim-bin-factor", type=int, help="So many delay bins of the histograms are added up.")
@click.option("--flim-components", type=int, help="Exponentials of the fit. Default: 2.")
@click.option("--flim-offset", type=float, help="Delay of the instrument in seconds, taken off mean delays (1.5e-9).")
@click.option("--leave-blanks-out", is_flag=True, help="Convert a session whose file still has blanks.")
@click.option("--json", "as_json", is_flag=True, help="Print progress and result as lines of JSON.")
@click.option("--sync", type=click.Path(path_type=Path), help="Sync pulses: .csv, .npy, .npz or .nwb, in seconds.")
@click.option("--sync-name", help="Column, array or object of the file that holds the pulses.")
@click.option(
    "--sync-fires-per",
    type=click.Choice(["page", "frame", "plane", "volume"]),
    default="frame",
    show_default=True,
    help="What fires a pulse.",
)
@click.option("--sync-first-pulse", type=int, help="Pulse of the first frame or volume, if known; from 0.")
@click.option(
    "--sync-start-near", type=float, help="When the first one began on the pulses' clock, to less than half a step."
)
@command
def convert(
    paths: tuple[Path, ...],
    output: Path | None,
    metadata: Path | None,
    timezone: str | None,
    channels: tuple[str, ...],
    plane: int | None,
    slice_sample: int | None,
    stub_test: bool,
    overwrite: bool,
    verify_after: bool,
    report_after: bool,
    workers: int | None,
    cloud: bool,
    registration: Path | None,
    register_first: bool,
    motion: dict[str, Any],
    write_corrected: bool,
    rois: Path | None,
    roi_plane: int | None,
    dff_window: float | None,
    count_dtype: Literal["int16", "uint16", "uint32"],
    flim: tuple[str, ...],
    flim_bin_factor: int | None,
    flim_components: int | None,
    flim_offset: float | None,
    leave_blanks_out: bool,
    as_json: bool,
    sync: Path | None,
    sync_name: str | None,
    sync_fires_per: str,
    sync_first_pulse: int | None,
    sync_start_near: float | None,
) -> None:
    """Convert a recording, or a session, to NWB.

    PATHS is one file of the recording (the others are found beside it), exactly its files in the order of time, or a
    folder that holds one recording. A folder with a session.yaml (see init) is converted as that says.
    """
    session_path = session_file_in(paths)
    if session_path is not None:
        made = convert_session_file(
            session_path,
            output,
            metadata=metadata,
            leave_blanks_out=leave_blanks_out,
            as_json=as_json,
            timezone=timezone,
            stub_test=stub_test,
            overwrite=overwrite,
            verify=verify_after,
            progress=_JsonProgress() if as_json else True,
            workers=workers,
            cloud=cloud,
        )
        if report_after:
            _report(made.path, list(made.checks) or None, as_json)
        return
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    with quick_imports():
        from scanimage_nwb.nwb import RoiOptions, SyncOptions, convert_recording, load_metadata_file

    sources = _recording_in(paths)
    flim_options = {"bin_factor": flim_bin_factor, "fit": flim_components, "offset_s": flim_offset}
    written = convert_recording(
        sources,
        output,
        metadata=load_metadata_file(metadata) if metadata else None,
        timezone=timezone,
        channel_names=channels,
        plane_index=plane,
        slice_sample=slice_sample,
        stub_test=stub_test,
        overwrite=overwrite,
        progress=_JsonProgress() if as_json else True,
        workers=workers,
        cloud=cloud,
        sync=SyncOptions(sync, sync_fires_per, sync_name, sync_first_pulse, sync_start_near) if sync else None,
        registration=_registration_of(sources, registration, register_first, write_corrected, motion),
        write_corrected=write_corrected,
        rois=RoiOptions(rois, plane=roi_plane, dff_window_s=dff_window) if rois else None,
        count_dtype=count_dtype,
        **_flim_of(flim, **flim_options),
    )
    size = written.stat().st_size
    if as_json:
        click.echo(json.dumps({"event": "written", "path": str(written), "file_bytes": size}))
    else:
        click.echo(f"wrote {written} ({size / 1e6:.1f} MB)")
    checks = _verify(written, sources, as_json) if verify_after else None
    if report_after:
        _report(written, checks, as_json)
    if checks is not None:
        _refuse_differences(written, checks)


def _report(written: Path, checks: "Sequence[SeriesCheck] | None", as_json: bool) -> None:
    """Write the page, and say where it is."""
    from scanimage_nwb.report import write_report

    page = write_report(written, verified=checks)
    click.echo(
        json.dumps({"event": "reported", "path": str(page)}) if as_json else f"wrote {page}: open it in a browser"
    )


def _flim_of(flim: tuple[str, ...], **options: float | None) -> dict[str, Any]:
    """Return what `convert` was asked to write of photons; an option of what is not written is refused."""
    products = [name.strip() for names in flim for name in names.split(",") if name.strip()]
    chosen = {name: value for name, value in options.items() if value is not None}
    for name in chosen:
        flag, product = _FLIM_OPTIONS[name]
        if product not in products:
            raise ValueError(f"{flag} needs --flim {product}")
    return {"flim": products, "flim_options": chosen}


def _registration_of(
    sources: tuple[Path, ...],
    path: Path | None,
    register_first: bool,
    write_corrected: bool,
    motion: dict[str, Any],
) -> "RegistrationInfo | None":
    """Return the motion that `convert` was asked to write, None for none."""
    if path is not None and register_first:
        raise ValueError("--registration and --register exclude each other; give one")
    if motion and not register_first:
        raise ValueError(f"--{next(iter(motion)).replace('_', '-')} says how motion is found; it needs --register")
    if path is None and not register_first:
        if write_corrected:
            raise ValueError("--write-corrected needs --registration FILE or --register")
        return None
    from scanimage_nwb.siff_reader import SiffReader

    with SiffReader.from_recording(_open_one(sources)) as reader:
        if path is None:
            reader.register(**motion)
        else:
            reader.use_registration(path)
        return reader.registration_info


def _open_one(sources: tuple[Path, ...]) -> "Recording":
    from scanimage_nwb.recording import open_recording

    return (
        open_recording(sources[0], warn=False) if len(sources) == 1 else open_recording(file_paths=sources, warn=False)
    )


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="HDF5 file to write.")
@click.option(
    "--method", type=click.Choice(["poisson", "phase", "suite2p"]), default="poisson", help="How frames are compared."
)
@click.option("--channel", type=click.IntRange(min=0), default=0, help="Channel that motion is found from, from 0.")
@click.option("--max-shift", type=click.IntRange(min=1), help="Largest shift in pixels. Default: 15.")
@click.option("--subpixel", is_flag=True, help="Find fractions of a pixel.")
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Draw shifts, references and means (.png, .pdf, .svg)."
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@motion_options
@command
def register(
    paths: tuple[Path, ...],
    output: Path,
    method: str,
    channel: int,
    max_shift: int | None,
    subpixel: bool,
    motion: dict[str, Any],
    picture: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find the motion of a recording, and keep it in a file for `convert` and `SiffReader.use_registration`."""
    from scanimage_nwb.siff_reader import SiffReader

    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} is there already; choose another name, or replace it with --overwrite")
    with SiffReader.from_recording(_open_one(_recording_in(paths))) as reader:
        reader.register(method, channel, max_shift=max_shift, subpixel=subpixel, **motion)
        info = reader.registration_info
        assert info is not None
        info.save(output)
        if picture is not None:
            reader.draw_registration(picture, color_channel=channel)
    largest = [float(value) for value in abs(info.shifts).max(axis=0, initial=0)]
    flagged = int(info.is_bad.sum())
    if as_json:
        line = {"event": "registered", "path": str(output), "frames": len(info.shifts), "flagged": flagged}
        click.echo(json.dumps(line | {"largest_shift_px": largest}))
    else:
        click.echo(
            f"wrote {output}: {len(info.shifts)} frames, largest shift {largest[0]:.1f} px down, {largest[1]:.1f} px "
            f"across, {flagged} flagged"
        )


class _JsonProgress:
    """Prints how far it has come as lines of JSON, once a second and at the end."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, state: "WriteProgress") -> None:
        if state.elapsed_s < self._next_s and state.done_bytes < state.total_bytes:
            return
        self._next_s = state.elapsed_s + 1
        line = {
            "event": "progress",
            "done_bytes": state.done_bytes,
            "total_bytes": state.total_bytes,
            "mb_per_s": round(state.mb_per_s, 3),
            "compression_ratio": round(state.compression_ratio, 3),
            "seconds_left": round(state.seconds_left, 1),
        }
        click.echo(json.dumps(line))


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--rois", required=True, type=click.Path(path_type=Path), help=_ROI_HELP.partition(" Traces")[0])
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="File: .csv, .h5 or .nwb.")
@click.option("--roi-plane", type=click.IntRange(min=0), help=_ROI_PLANE_HELP)
@click.option("--channel", help="Channel, by its name. Default: all; a .csv holds one.")
@click.option("--plane", type=int, help="Plane of the recording to read, from 0. Default: all, as volumes.")
@click.option("--slice-sample", type=int, help="Frame of each slice to take, from 0. Default: all.")
@click.option("--registration", type=click.Path(path_type=Path), help="Shift frames by the motion in this file.")
@click.option("--dff-window", type=float, help=_DFF_HELP)
@click.option("--timezone", help="Time zone of the computer that recorded; for .nwb.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there.")
@command
def traces(
    paths: tuple[Path, ...],
    rois: Path,
    output: Path,
    roi_plane: int | None,
    channel: str | None,
    plane: int | None,
    slice_sample: int | None,
    registration: Path | None,
    dff_window: float | None,
    timezone: str | None,
    overwrite: bool,
) -> None:
    """Take traces of masks from a recording: means, neuropil, and of a .siff lifetimes.

    PATHS is one file of the recording, exactly its files, or a folder that holds one recording.
    """
    from scanimage_nwb.nwb import RoiOptions, write_traces

    sources = _recording_in(paths)
    n_samples, n_rois = write_traces(
        sources,
        output,
        RoiOptions(rois, plane=roi_plane, dff_window_s=dff_window),
        channel_name=channel,
        plane_index=plane,
        slice_sample=slice_sample,
        registration=_registration_of(sources, registration, False, False, {}),
        timezone=timezone,
        overwrite=overwrite,
    )
    click.echo(f"wrote {output}: {n_rois} masks, {n_samples} samples")


@main.command()
@click.argument("nwbfile_path", metavar="OUT.nwb", type=click.Path(path_type=Path))
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="File of the recording it was made from; repeat to name exactly its files.",
)
@click.argument("more_sources", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def verify(nwbfile_path: Path, sources: tuple[Path, ...], more_sources: tuple[Path, ...], as_json: bool) -> None:
    """Compare every sample of OUT.nwb with the recording it was made from, bit for bit.

    Exit status 1, and the first difference, if they are not equal. Further paths behind the first belong to --source.
    """
    checks = _verify(nwbfile_path, _recording_in((*sources, *more_sources)), as_json)
    _refuse_differences(nwbfile_path, checks)


def _verify(nwbfile_path: Path, sources: tuple[Path, ...], as_json: bool) -> "list[SeriesCheck]":
    """Compare, and say what was found."""
    from scanimage_nwb.nwb import verify_nwbfile

    checks = verify_nwbfile(nwbfile_path, sources)
    for check in checks:
        if as_json:
            click.echo(json.dumps({"event": "verified", **asdict(check)}))
        elif check.difference is None:
            of_source = "" if check.n_samples == check.n_source_samples else f" (of {check.n_source_samples})"
            text = f"{check.n_samples}{of_source} samples, {check.n_bytes / 1e6:.1f} MB"
            click.echo(f"{check.series}: {text}: equal to the source")
        else:
            click.echo(f"{check.series}: sample {check.difference.sample}: {check.difference.text}")
    return checks


def _refuse_differences(nwbfile_path: Path, checks: "list[SeriesCheck]") -> None:
    """End with status 1 if there is a difference."""
    if any(check.difference is not None for check in checks):
        raise VerificationError(f"{nwbfile_path} differs from its source")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def inspect(paths: tuple[Path, ...], as_json: bool) -> None:
    """Say what recordings hold: versions, channels, planes, flyback, samples, rates, gaps, warnings.

    PATHS is one file of a recording, exactly its files, or a folder with any number of recordings.
    """
    from scanimage_nwb.inspection import describe_recording, format_description

    descriptions = [describe_recording(recording) for recording in _open_all(paths)]
    if as_json:
        click.echo(json.dumps(descriptions, indent=2, allow_nan=False))
    else:
        click.echo("\n\n".join(format_description(description) for description in descriptions))


def _open_all(paths: tuple[Path, ...]) -> Iterator[Any]:
    """Open what the arguments of `inspect` name; its output holds the warnings."""
    from scanimage_nwb.recording import open_recording

    if len(paths) == 1 and paths[0].is_dir():
        for files in _recordings_in_folder(paths[0]):
            yield open_recording(files[0], warn=False)
    elif len(paths) == 1:
        yield open_recording(paths[0], warn=False)
    else:
        yield open_recording(file_paths=paths, warn=False)


def _recording_in(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files that the arguments of `convert` name."""
    if len(paths) > 1 or not paths[0].is_dir():
        return paths
    recordings = _recordings_in_folder(paths[0])
    if len(recordings) > 1:
        names = ", ".join(files[0].name for files in recordings)
        raise ValueError(f"{paths[0]} holds {len(recordings)} recordings; name the first file of one: {names}")
    return recordings[0][:1]


def _recordings_in_folder(folder: Path) -> list[tuple[Path, ...]]:
    """Return the recordings of a folder; say which files belong to none."""
    from scanimage_nwb.session_folder import find_recordings, refuse_nothing

    recordings, left_out = find_recordings(folder)
    refuse_nothing(folder, recordings, left_out)
    for path, reason in left_out:
        click.echo(f"warning: {path.name} is left out: {reason}", err=True)
    return recordings
