"""The commands about one recording: what it holds, its motion, the traces of masks."""

import json
from pathlib import Path
from typing import Any

import click

from scanimage_nwb.command_line import command
from scanimage_nwb.commands.arguments import all_recordings, one_recording, open_one
from scanimage_nwb.commands.options import (
    JSON,
    MOTION,
    OVERWRITE,
    PARTS,
    PATH,
    REGISTRATION_FILE,
    ROI_DETAILS,
    TIMEZONE,
    asked_motion,
    asked_registration,
    asked_rois,
    with_options,
)

__all__ = ["inspect", "register", "traces"]


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@with_options(JSON)
@command
def inspect(paths: tuple[Path, ...], as_json: bool) -> None:
    """Say what recordings hold: versions, channels, planes, flyback, samples, rates, gaps, warnings.

    PATHS is one file of a recording, exactly its files, or a folder with any number of recordings.
    """
    from scanimage_nwb.inspection import describe_recording, format_description

    descriptions = [describe_recording(recording) for recording in all_recordings(paths)]
    if as_json:
        click.echo(json.dumps(descriptions, indent=2, allow_nan=False))
    else:
        click.echo("\n\n".join(format_description(description) for description in descriptions))


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="HDF5 file to write.")
@click.option(
    "--method", type=click.Choice(["poisson", "phase", "suite2p"]), default="poisson", help="How frames are compared."
)
@click.option("--channel", type=click.IntRange(min=0), default=0, help="Channel that motion is found from, from 0.")
@click.option("--max-shift", type=click.IntRange(min=1), help="Largest shift in pixels. Default: 15.")
@click.option("--subpixel", is_flag=True, help="Find fractions of a pixel.")
@click.option("--picture", type=PATH, help="Draw shifts, references and means (.png, .pdf, .svg).")
@with_options(*MOTION, OVERWRITE, JSON)
@command
def register(
    paths: tuple[Path, ...],
    output: Path,
    method: str,
    channel: int,
    max_shift: int | None,
    subpixel: bool,
    picture: Path | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the motion of a recording, and keep it in a file for `convert` and `SiffReader.use_registration`."""
    from scanimage_nwb.siff_reader import SiffReader

    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} is there already; choose another name, or replace it with --overwrite")
    with SiffReader.from_recording(open_one(paths)) as reader:
        reader.register(method, channel, max_shift=max_shift, subpixel=subpixel, **asked_motion(options))
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


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option(
    "--rois",
    required=True,
    type=PATH,
    help="Masks: suite2p folder, CaImAn .hdf5, label image (.tif, .npy), stack (.npy, .npz), ImageJ .roi or .zip, "
    ".json.",
)
@click.option("-o", "--output", required=True, type=PATH, help="File: .csv, .h5 or .nwb.")
@with_options(*ROI_DETAILS)
@click.option("--channel", help="Channel, by its name. Default: all; a .csv holds one.")
@with_options(*PARTS, REGISTRATION_FILE, TIMEZONE, OVERWRITE)
@command
def traces(
    paths: tuple[Path, ...],
    output: Path,
    channel: str | None,
    plane: int | None,
    slice_sample: int | None,
    timezone: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Take traces of masks from a recording: means, neuropil, and of a .siff lifetimes.

    PATHS is one file of the recording, exactly its files, or a folder that holds one recording.
    """
    from scanimage_nwb.nwb import write_traces

    sources, rois = one_recording(paths), asked_rois(options)
    assert rois is not None
    n_samples, n_rois = write_traces(
        sources,
        output,
        rois,
        channel_name=channel,
        plane_index=plane,
        slice_sample=slice_sample,
        registration=asked_registration(lambda: open_one(sources), options),
        timezone=timezone,
        overwrite=overwrite,
    )
    click.echo(f"wrote {output}: {n_rois} masks, {n_samples} samples")
