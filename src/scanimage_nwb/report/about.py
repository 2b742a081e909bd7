"""Metadata: session, subject, devices, planes, and the recording's own header."""

from typing import Any

import numpy as np
from pynwb import NWBFile

from scanimage_nwb.report.contents import is_a, plain
from scanimage_nwb.report.parts import Group, Section, Table

__all__ = ["about_section", "summary_rows"]

_SESSION = (
    "identifier",
    "session_id",
    "session_description",
    "session_start_time",
    "timestamps_reference_time",
    "experimenter",
    "institution",
    "lab",
    "experiment_description",
    "keywords",
    "related_publications",
    "protocol",
    "pharmacology",
    "surgery",
    "virus",
    "notes",
    "source_script",
)
_SUBJECT = ("subject_id", "species", "sex", "age", "date_of_birth", "genotype", "strain", "weight", "description")
_WANTED = {"subject_id", "species", "sex"}


def summary_rows(nwbfile: NWBFile) -> list[tuple[str, str]]:
    """Return what a reader wants to know first.

    Parameters
    ----------
    nwbfile : NWBFile
        Open file.

    Returns
    -------
    list of (str, str)
    """
    subject = nwbfile.subject
    return [
        ("subject", plain(subject.subject_id) if subject is not None and subject.subject_id else "not given"),
        ("session", plain(nwbfile.session_id) if nwbfile.session_id else "not given"),
        ("start", plain(nwbfile.session_start_time)),
        ("description", plain(nwbfile.session_description)),
    ]


def about_section(nwbfile: NWBFile) -> Section:
    """Show the metadata of a file.

    Parameters
    ----------
    nwbfile : NWBFile
        Open file.

    Returns
    -------
    Section
    """
    session = Group("Session", tables=[Table(_fields(nwbfile, _SESSION))])
    subject = Group("Subject")
    if nwbfile.subject is None:
        subject.warnings.append("The file has no subject; DANDI asks for one.")
    else:
        subject.tables.append(Table(_fields(nwbfile.subject, _SUBJECT)))
        missing = sorted(name for name in _WANTED if getattr(nwbfile.subject, name) in (None, ""))
        if nwbfile.subject.age is None and nwbfile.subject.date_of_birth is None:
            missing.append("age (or date_of_birth)")
        if missing:
            subject.warnings.append(f"DANDI asks for {', '.join(missing)} of the subject.")
    section = Section("metadata", "Metadata", [session, subject])
    for plane in nwbfile.imaging_planes.values():
        section.groups.append(_plane(plane))
    devices = [
        (device.name, "; ".join(_values(device, ("description", "manufacturer", "model_name"))))
        for device in nwbfile.devices.values()
    ]
    if devices:
        section.groups.append(Group("Devices", tables=[Table(devices)]))
    for settings in nwbfile.lab_meta_data.values():
        names = [name for name in settings.fields if isinstance(settings.fields[name], str | int | float | np.number)]
        section.groups.append(Group(settings.name, tables=[Table(_fields(settings, tuple(names)))]))
    objects = _objects(nwbfile)
    table = Table(objects, ("where", "type", "shape"), f"{len(objects)} objects", folded=True)
    section.groups.append(Group("Contents", tables=[table]))
    section.groups += _headers(nwbfile)
    return section


def _fields(item: Any, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return those fields of an object that have a value."""
    return [
        (name.replace("_", " "), plain(value)) for name in names if (value := getattr(item, name, None)) is not None
    ]


def _values(item: Any, names: tuple[str, ...]) -> list[str]:
    return [text for _, text in _fields(item, names)]


def _plane(plane: Any) -> Group:
    """Show an imaging plane and its optical channels."""
    names = (
        "description",
        "location",
        "indicator",
        "excitation_lambda",
        "imaging_rate",
        "grid_spacing",
        "grid_spacing_unit",
        "origin_coords",
        "origin_coords_unit",
        "reference_frame",
    )
    rows = _fields(plane, names)
    for channel in plane.optical_channel:
        said = "; ".join(_values(channel, ("description",)))
        rows.append((f"channel {channel.name}", f"{said}; emission {plain(channel.emission_lambda)} nm"))
    group = Group(plane.name, tables=[Table(rows)])
    unknown = [text for text, value in rows if value in ("unknown", "nan")]
    if unknown:
        group.warnings.append(f"Not known: {', '.join(unknown)}. Give it with --metadata.")
    return group


def _objects(nwbfile: NWBFile) -> list[tuple[str, ...]]:
    """Return a row for each data object of the file."""
    rows: list[tuple[str, ...]] = []
    places = {
        "acquisition": nwbfile.acquisition,
        "stimulus": nwbfile.stimulus,
        "events": getattr(nwbfile, "events", {}),
    }
    places |= {f"processing/{name}": module.data_interfaces for name, module in nwbfile.processing.items()}
    for place, items in places.items():
        for item in items.values():
            shape = getattr(getattr(item, "data", None), "shape", None)
            size = (
                " × ".join(f"{n:,}" for n in shape)
                if shape
                else (f"{len(item)} rows" if is_a(item, "DynamicTable") else "")
            )
            rows.append((f"{place}/{item.name}", type(item).__name__, size))
    return rows


def _headers(nwbfile: NWBFile) -> list[Group]:
    """Show the recording's header and files, folded."""
    groups = []
    for module in nwbfile.processing.values():
        for item in module.data_interfaces.values():
            if item.name.startswith("ScanImageHeader") and "setting" in getattr(item, "colnames", ()):
                pairs = [(plain(key), plain(value)[:2000]) for key, value in item["setting"].data[:]]
                groups.append(Group(item.name, tables=[Table(pairs, caption=f"{len(pairs)} settings", folded=True)]))
            elif item.name.startswith("ScanImageFiles") and "file_name" in getattr(item, "colnames", ()):
                files = [
                    (plain(name), f"{int(n):,}")
                    for name, n in zip(item["file_name"][:], item["n_pages"][:], strict=True)
                ]
                groups.append(
                    Group(
                        item.name,
                        tables=[Table(files, ("file", "pages"), f"{len(files)} files", folded=len(files) > 5)],
                    )
                )
    return groups
