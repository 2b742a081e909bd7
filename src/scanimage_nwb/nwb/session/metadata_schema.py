"""What a session file may say under ``metadata``: the same keys as a metadata file, each with what is allowed."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Metadata", "Part"]

_AGE = r"^P(\d+W|(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)(/(P.+)?)?$"
_SPECIES = r"^([A-Z][a-z]+ [a-z]+|http://purl\.obolibrary\.org/obo/NCBITaxon_[0-9]+)$"

Time = Annotated[datetime | date, Field(union_mode="left_to_right")]


class Part(BaseModel):
    """A mapping of the session file: other keys than its own are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, regex_engine="python-re")


class _NWBFile(Part):
    session_start_time: Time | None = Field(
        None, description="time 0 of the file, such as 2025-04-24T16:43:57+02:00; by default when the first began"
    )
    session_id: str | None = Field(None, min_length=1, description='your name for the session, such as "20250424-1"')
    session_description: str | None = Field(None, description="text; by default what the files say")
    experimenter: list[str] | None = Field(None, description='a list of names, such as ["Doe, Jane"]')
    institution: str | None = Field(None, description="text")
    lab: str | None = Field(None, description="text")
    experiment_description: str | None = Field(None, description="text: what was studied, and how")
    keywords: list[str] | None = Field(None, description="a list of words, such as [two-photon, calcium imaging]")
    related_publications: list[str] | None = Field(None, description="a list of DOIs or URLs")
    identifier: str | None = Field(None, min_length=1, description="text that no other file has; made if not given")
    surgery: str | None = Field(None, description="text")
    pharmacology: str | None = Field(None, description="text")
    protocol: str | None = Field(None, description="text")
    slices: str | None = Field(None, description="text")
    virus: str | None = Field(None, description="text")
    notes: str | None = Field(None, description="text")
    data_collection: str | None = Field(None, description="text")
    stimulus_notes: str | None = Field(None, description="text")
    source_script: str | None = Field(None, description="text")
    source_script_file_name: str | None = Field(None, description="text")


class _Subject(Part):
    subject_id: str | None = Field(None, min_length=1, description="your name for the animal, such as m42")
    species: str | None = Field(
        None, pattern=_SPECIES, description="Latin name in two words, such as Mus musculus, or a link to NCBITaxon"
    )
    sex: Literal["M", "F", "U", "O", "XX", "XO"] | None = Field(
        None, description="M, F, U (unknown) or O (other); XX or XO of C. elegans"
    )
    age: str | None = Field(None, pattern=_AGE, description="ISO 8601, such as P90D for 90 days or P12W for 12 weeks")
    age__reference: Literal["birth", "gestational"] | None = Field(None, description="birth or gestational")
    date_of_birth: Time | None = Field(None, description="a day, such as 2025-01-24; in place of age")
    description: str | None = Field(None, description="text")
    genotype: str | None = Field(None, description="text")
    strain: str | None = Field(None, description="text")
    weight: str | None = Field(None, description='text with its unit, such as "0.022 kg"')


class _Device(Part):
    name: str | None = Field(None, min_length=1, description="text")
    description: str | None = Field(None, description="text")
    manufacturer: str | None = Field(None, description="text")
    model_number: str | None = Field(None, description="text")
    model_name: str | None = Field(None, description="text")
    serial_number: str | None = Field(None, description="text")


class _OpticalChannel(Part):
    name: str = Field(min_length=1, description="text")
    description: str = Field(description="text")
    emission_lambda: float | None = Field(None, gt=0, description="a number in nm, such as 525.0")


class _ImagingPlane(Part):
    name: str | None = Field(None, min_length=1, description="text")
    description: str | None = Field(None, description="text")
    location: str | None = Field(None, description="brain area, such as Primary visual area")
    indicator: str | None = Field(None, description="what is seen in this channel, such as GCaMP8m or tdTomato")
    excitation_lambda: float | None = Field(None, gt=0, description="a number in nm, such as 920.0")
    optical_channel: list[_OpticalChannel] | None = Field(None, description="a list of name, description, ...")
    device_metadata_key: str | None = Field(None, description="a key of Devices")
    imaging_rate: float | None = Field(None, gt=0, description="a number in Hz")
    reference_frame: str | None = Field(None, description="text")
    grid_spacing: list[float] | None = Field(None, description="a list of numbers")
    grid_spacing_unit: str | None = Field(None, description="text")
    origin_coords: list[float] | None = Field(None, description="a list of numbers")
    origin_coords_unit: str | None = Field(None, description="text")


class _Series(Part):
    name: str | None = Field(None, min_length=1, description="text")
    description: str | None = Field(None, description="text")
    comments: str | None = Field(None, description="text")
    unit: str | None = Field(None, description="text")
    imaging_plane_metadata_key: str | None = Field(None, description="a key of ImagingPlanes")
    pmt_gain: float | None = Field(None, description="a number")
    scan_line_rate: float | None = Field(None, gt=0, description="a number in Hz")
    field_of_view: list[float] | None = Field(None, description="a list of numbers in metres")
    conversion: float | None = Field(None, description="a number")
    offset: float | None = Field(None, description="a number")
    resolution: float | None = Field(None, description="a number")
    bits_per_pixel: int | None = Field(None, description="a whole number")


class _Ophys(Part):
    ImagingPlanes: dict[str, _ImagingPlane] | None = Field(
        None, description='entries by the keys of channels and planes; "*" for all'
    )
    MicroscopySeries: dict[str, _Series] | None = Field(
        None, description='entries by the keys of channels and planes; "*" for all'
    )


class Metadata(Part):
    """What only the experimenter knows, and what is to replace what the files say."""

    NWBFile: _NWBFile | None = Field(None, description="session and experimenter")
    Subject: _Subject | None = Field(None, description="the animal")
    Devices: dict[str, _Device] | None = Field(None, description="microscopes by their keys")
    DeviceModels: dict[str, dict[str, Any]] | None = Field(None, description="models of devices by their keys")
    Ophys: _Ophys | None = Field(None, description="ImagingPlanes and MicroscopySeries")
