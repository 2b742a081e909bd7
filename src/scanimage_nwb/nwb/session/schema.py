"""What a session file may say: recordings, what is made of them, and the metadata.

A new section needs a class here, a field of `SessionFile`, and a function in `assembling`.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from scanimage_nwb.flim.fit_plan import MAX_COMPONENTS
from scanimage_nwb.nwb.session.metadata_schema import Metadata, Part, Time

__all__ = [
    "FlimEntry",
    "RecordingEntry",
    "RegistrationEntry",
    "RoisEntry",
    "SessionFile",
    "SyncEntry",
]


def _as_list(value: Any) -> Any:
    """Return one entry as a list of it: a dash may be left out."""
    return value if isinstance(value, list) else [value]


_OF = Field(None, description="name of a recording; may be left out if there is one")


class RecordingEntry(Part):
    """One recording, and which part of it is written."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="letters, digits and _, such as tiff or run1")
    files: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        min_length=1, description="one file, whose series is found beside it, or exactly its files in order of time"
    )
    kind: Literal["tiff", "siff"] | None = Field(None, description="tiff or siff")
    channels: list[str] | None = Field(None, min_length=1, description="a list of channel names; by default all")
    plane: int | None = Field(None, ge=0, description="a plane, from 0; by default all, as volumes")
    slice_sample: int | None = Field(
        None, ge=0, description="a frame of each slice, from 0; by default all, one after the other"
    )
    count_dtype: Literal["int16", "uint16", "uint32"] = Field("int16", description="int16, uint16 or uint32")
    num_bins: int | None = Field(None, ge=1, description="delay bins of a .siff, in place of what it says")
    tcspc_resolution_s: float | None = Field(None, gt=0, description="their width in seconds, such as 2e-11")
    repetition_rate_hz: float | None = Field(None, gt=0, description="of the laser in Hz, such as 80e6")
    start: Time | None = Field(
        None, description="when it began, such as 2025-04-24T16:43:57+02:00, in place of what its files say"
    )


class FlimEntry(Part):
    """What is written of the photons of a .siff recording, beside their counts; of its masks, too, if it has rois."""

    recording: str | None = _OF
    channels: list[str] | None = Field(None, min_length=1, description="a list of channel names; by default all")
    photons: bool = Field(True, description="true or false: every photon")
    histograms: Literal["field", "pixel"] | None = Field(None, description="field or pixel")
    bin_factor: int = Field(1, ge=1, description="a whole number of delay bins that are added up")
    samples_per_histogram: int | None = Field(None, ge=1, description="a whole number, with histograms: pixel")
    lifetime: bool = Field(False, description="true or false: mean delay of every pixel")
    offset_s: float = Field(0.0, description="seconds taken off the lifetimes")
    phasor: bool = Field(False, description="true or false: phasor of every pixel")
    harmonic: int = Field(1, ge=1, description="harmonic of the phasor, from 1")
    fit: int | None = Field(
        None, ge=1, le=MAX_COMPONENTS, description=f"exponentials that are fitted to the decays, 1 to {MAX_COMPONENTS}"
    )
    motion_corrected: bool = Field(False, description="true or false; true needs a registration of the recording")


class RegistrationEntry(Part):
    """Motion of a recording: read from a file, or found."""

    recording: str | None = _OF
    file: str | None = Field(None, description="shifts: of scanimage-nwb register, suite2p, CaImAn or SiffPy")
    find: bool = Field(False, alias="register", description="true, to find the motion while converting")
    method: Literal["poisson", "phase"] = Field("poisson", description="poisson or phase")
    channel: int = Field(0, ge=0, description="channel that motion is found from, from 0")
    max_shift: int | None = Field(None, ge=1, description="a whole number of pixels")
    subpixel: bool = Field(False, description="true or false")
    smoothness: float | None = Field(None, ge=0, description="pixels the motion steps by; .inf for no prior")
    share_planes: bool | None = Field(None, description="true or false: planes of a volume move together")
    write_corrected: bool = Field(False, description="true or false: the corrected movies too")


class RoisEntry(Part):
    """Masks of a recording, and their traces."""

    recording: str | None = _OF
    file: str = Field(
        min_length=1,
        description="masks: a suite2p folder, CaImAn's .hdf5, a label image (.tif, .npy), a stack of masks (.npy, "
        ".npz), ImageJ's .roi or .zip, or polygons (.json)",
    )
    plane: int | None = Field(None, ge=0, description="plane that masks without one were drawn in, from 0")
    dff_window: float | None = Field(
        None, gt=0, description="seconds; adds dF/F, F0 being the 8th percentile of F in a window so long"
    )
    motion_corrected: bool | None = Field(
        None,
        description="true or false: take the motion of the registration off before masks alone are summed; by default "
        "true if the recording has a registration",
    )


class SyncEntry(Part):
    """Sync pulses whose clock becomes that of the file."""

    recording: str | None = _OF
    file: str = Field(min_length=1, description="a file of pulse times in seconds: .csv, .npy, .npz, .nwb, .tif ...")
    name: str | None = Field(None, description="column, array or object that holds the pulses")
    fires_per: Literal["page", "frame", "plane", "volume"] = Field(
        "frame", description="page, frame, plane or volume: what fires a pulse"
    )
    first_pulse: int | None = Field(None, description="the pulse of the first event, from 0")
    start_near: float | None = Field(None, description="seconds of the pulses' clock when the recording began, about")


class SessionFile(Part):
    """A whole session file."""

    output: str | None = Field(
        None, pattern=r"\.nwb$", description="a name that ends in .nwb; by default as DANDI names files"
    )
    timezone: str | None = Field(
        None, description="time zone of the computer that recorded TIFFs, such as Europe/Berlin"
    )
    recordings: Annotated[list[RecordingEntry], BeforeValidator(_as_list)] = Field(
        min_length=1, description="a list of recordings, each with name and files"
    )
    flim: Annotated[list[FlimEntry], BeforeValidator(_as_list)] = Field([], description="entries of photons")
    registration: Annotated[list[RegistrationEntry], BeforeValidator(_as_list)] = Field(
        [], description="entries of motion"
    )
    rois: Annotated[list[RoisEntry], BeforeValidator(_as_list)] = Field([], description="entries of masks")
    sync: Annotated[list[SyncEntry], BeforeValidator(_as_list)] = Field([], description="entries of sync pulses")
    metadata: Metadata | None = Field(None, description="NWBFile, Subject, Devices and Ophys")
