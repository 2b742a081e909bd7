"""Options that several commands share, or that belong together, and what they ask for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from scanimage_nwb.nwb import RoiOptions, SyncOptions
    from scanimage_nwb.recording import Recording
    from scanimage_nwb.registration import RegistrationInfo

__all__ = [
    "JSON",
    "MOTION",
    "OVERWRITE",
    "PARTS",
    "PATH",
    "PHOTONS",
    "REGISTRATION",
    "REGISTRATION_FILE",
    "ROIS",
    "ROI_DETAILS",
    "SYNC",
    "TIMEZONE",
    "asked_motion",
    "asked_photons",
    "asked_registration",
    "asked_rois",
    "asked_sync",
    "with_options",
]

Option = Callable[[Any], Any]

PATH = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace the output if it is there.")
TIMEZONE = click.option(
    "--timezone", help="Time zone of the computer that recorded, such as Europe/Berlin; a .siff says UTC."
)
PARTS: tuple[Option, ...] = (
    click.option("--plane", type=int, help="Plane of the recording, from 0. Default: all, as volumes."),
    click.option(
        "--slice-sample", type=int, help="Frame of each slice to take, from 0. Default: all, one after the other."
    ),
)

MOTION: tuple[Option, ...] = (
    click.option(
        "--smoothness",
        type=float,
        help="Spread of the motion's step from volume to volume, in pixels: 0.2 for very dim data that hardly move, "
        "inf for frames that know nothing of each other. Default: learned.",
    ),
    click.option(
        "--share-planes/--own-planes",
        default=None,
        help="Whether the planes of a volume move together, or each on its own. Default: learned.",
    ),
)

REGISTRATION_FILE = click.option("--registration", type=PATH, help="Take the motion in this file (see register).")
REGISTRATION: tuple[Option, ...] = (
    REGISTRATION_FILE,
    click.option("--register", "register_first", is_flag=True, help="Find the motion first, and write it too."),
    *MOTION,
    click.option("--write-corrected", is_flag=True, help="Write the corrected movies too."),
)

ROI_DETAILS: tuple[Option, ...] = (
    click.option("--roi-plane", type=click.IntRange(min=0), help="Plane that masks without one were drawn in, from 0."),
    click.option(
        "--dff-window",
        type=float,
        help="Add dF/F, F0 being the 8th percentile of F less its neuropil in a window of so many seconds.",
    ),
)
ROIS: tuple[Option, ...] = (
    click.option(
        "--rois",
        type=PATH,
        help="Masks: suite2p folder, CaImAn .hdf5, label image (.tif, .npy), stack (.npy, .npz), ImageJ .roi or .zip, "
        ".json. Traces that come with them are taken over; else they are taken from the recording.",
    ),
    *ROI_DETAILS,
)

PHOTONS: tuple[Option, ...] = (
    click.option(
        "--count-dtype",
        type=click.Choice(["int16", "uint16", "uint32"]),
        default="int16",
        show_default=True,
        help="Type of the photon counts of a .siff; what does not fit is refused.",
    ),
    click.option(
        "--flim",
        multiple=True,
        help="Of a .siff, write also: photons, histograms, lifetime, phasor, fit; separated by commas, or repeat. With "
        "--rois, histograms, lifetime and fit of each mask too.",
    ),
    click.option("--flim-bin-factor", type=int, help="So many delay bins of the histograms are added up."),
    click.option("--flim-components", type=int, help="Exponentials of the fit. Default: 2."),
    click.option(
        "--flim-offset", type=float, help="Delay of the instrument in seconds, taken off mean delays (1.5e-9)."
    ),
)
_OF_FLIM = {
    "flim_bin_factor": ("bin_factor", "histograms"),
    "flim_components": ("fit", "fit"),
    "flim_offset": ("offset_s", "lifetime"),
}
"""Option of the command to that of the interface, and the product that it is of."""

SYNC: tuple[Option, ...] = (
    click.option("--sync", type=PATH, help="Sync pulses: .csv, .npy, .npz or .nwb, in seconds."),
    click.option("--sync-name", help="Column, array or object of the file that holds the pulses."),
    click.option(
        "--sync-fires-per",
        type=click.Choice(["page", "frame", "plane", "volume"]),
        default="frame",
        show_default=True,
        help="What fires a pulse.",
    ),
    click.option("--sync-first-pulse", type=int, help="Pulse of the first frame or volume, if known; from 0."),
    click.option(
        "--sync-start-near",
        type=float,
        help="When the first one began on the pulses' clock, to less than half a step.",
    ),
)


def with_options(*options: Option) -> Option:
    """Give a command options, in the order in which its help lists them.

    Parameters
    ----------
    *options : callable
        From `click.option`.

    Returns
    -------
    callable
        A decorator.
    """

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def asked_sync(options: Mapping[str, Any]) -> "SyncOptions | None":
    """Return the pulses that the options of `SYNC` name, None for none.

    Parameters
    ----------
    options : mapping
        Options of the command.

    Returns
    -------
    SyncOptions or None
    """
    if options["sync"] is None:
        return None
    from scanimage_nwb.nwb import SyncOptions

    details = ("sync_fires_per", "sync_name", "sync_first_pulse", "sync_start_near")
    return SyncOptions(options["sync"], *(options[name] for name in details))


def asked_rois(options: Mapping[str, Any]) -> "RoiOptions | None":
    """Return the masks that the options of `ROIS` name, None for none.

    Parameters
    ----------
    options : mapping
        Options of the command.

    Returns
    -------
    RoiOptions or None
    """
    if options["rois"] is None:
        return None
    from scanimage_nwb.nwb import RoiOptions

    return RoiOptions(options["rois"], plane=options["roi_plane"], dff_window_s=options["dff_window"])


def asked_photons(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options of `PHOTONS` ask for, as `convert_recording` takes it.

    Parameters
    ----------
    options : mapping
        Options of the command.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If an option is of what is not written.
    """
    products = [name.strip() for names in options["flim"] for name in names.split(",") if name.strip()]
    details = {}
    for name, (theirs, product) in _OF_FLIM.items():
        if options[name] is None:
            continue
        if product not in products:
            raise ValueError(f"--{name.replace('_', '-')} needs --flim {product}")
        details[theirs] = options[name]
    return {"flim": products, "flim_options": details, "count_dtype": options["count_dtype"]}


def asked_motion(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options of `MOTION` say of how motion is found, as `SiffReader.register` takes it.

    Parameters
    ----------
    options : mapping
        Options of the command.

    Returns
    -------
    dict
        Those that were given.
    """
    return {name: options[name] for name in ("smoothness", "share_planes") if options.get(name) is not None}


def asked_registration(
    open_recording: "Callable[[], Recording]", options: Mapping[str, Any]
) -> "RegistrationInfo | None":
    """Return the motion that the options of `REGISTRATION` name or ask for, None for none.

    Parameters
    ----------
    open_recording : callable
        Opens the recording; not called if no motion is asked for.
    options : mapping
        Options of the command; it may have `REGISTRATION_FILE` only.

    Returns
    -------
    RegistrationInfo or None

    Raises
    ------
    ValueError
        If they exclude each other.
    """
    path, register_first = options["registration"], options.get("register_first", False)
    if path is not None and register_first:
        raise ValueError("--registration and --register exclude each other; give one")
    motion = asked_motion(options)
    if motion and not register_first:
        raise ValueError(f"--{next(iter(motion)).replace('_', '-')} says how motion is found; it needs --register")
    if path is None and not register_first:
        if options.get("write_corrected", False):
            raise ValueError("--write-corrected needs --registration FILE or --register")
        return None
    from scanimage_nwb.siff_reader import SiffReader

    with SiffReader.from_recording(open_recording()) as reader:
        if path is None:
            reader.register(**motion)
        else:
            reader.use_registration(path)
        return reader.registration_info
