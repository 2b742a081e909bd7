"""The command that writes TIFFs for other programs."""

from pathlib import Path
from typing import Literal

import click

from scanimage_nwb.command_line import command
from scanimage_nwb.commands.arguments import one_recording
from scanimage_nwb.commands.options import PATH

__all__ = ["to_tiff"]


@click.command("to-tiff")
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="TIFF to write.")
@click.option(
    "--layout",
    type=click.Choice(["scanimage", "ome"]),
    default="scanimage",
    show_default=True,
    help="As ScanImage writes it, with flyback; or OME-TIFF, of complete volumes.",
)
@click.option("--registration", type=PATH, help="Take out the motion in this file (see register).")
@click.option(
    "--count-dtype",
    type=click.Choice(["uint16", "int16", "uint32"]),
    default="uint16",
    show_default=True,
    help="Type of the photon counts of a .siff; what does not fit is refused.",
)
@click.option("--compress", is_flag=True, help="Compress without loss; an OME-TIFF only.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there; never the recording.")
@command
def to_tiff(
    paths: tuple[Path, ...],
    output: Path,
    layout: Literal["scanimage", "ome"],
    registration: Path | None,
    count_dtype: Literal["uint16", "int16", "uint32"],
    compress: bool,
    overwrite: bool,
) -> None:
    """Write photon counts as a TIFF that ScanImage's readers, Fiji and Python read; delays of photons are lost.

    PATHS is one file of the recording (the others are found beside it), exactly its files in the order of time, or a
    folder that holds one recording.
    """
    from scanimage_nwb.recording import open_recording
    from scanimage_nwb.siff_reader import SiffReader, siff_to_tiff

    files = one_recording(paths)
    recording = open_recording(files[0]) if len(files) == 1 else open_recording(file_paths=files)
    with SiffReader.from_recording(recording) as reader:
        if registration is not None:
            reader.use_registration(registration)
        written = siff_to_tiff(
            reader,
            output,
            layout=layout,
            registered=registration is not None,
            count_dtype=count_dtype,
            compress=compress,
            overwrite=overwrite,
            progress=True,
        )
    click.echo(f"wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")
