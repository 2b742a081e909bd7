"""Metadata: what the files say, what the user adds, and what is refused."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pynwb
import pytest
from neuroconv import ConverterPipe, NWBConverter
from neuroconv.utils import dict_deep_update, load_dict_from_file

from scanimage_nwb.errors import MetadataError, ScanImageNwbWarning
from scanimage_nwb.nwb import (
    ScanImageConverter,
    ScanImageImagingInterface,
    convert_recording,
    load_metadata_file,
    merge_metadata,
)
from scanimage_nwb.nwb.metadata import name_suffix, registry_key
from scanimage_nwb.nwb.start_time import with_timezone
from scanimage_nwb.recording import open_recording
from scanimage_nwb.testing import SyntheticRecording, write_scanimage_recording

KEYS = ["scan_image_imaging_channel_1", "scan_image_imaging_channel_2"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRecording:
    """Two channels, square pages of square pixels: x and y are equal."""
    return write_scanimage_recording(tmp_path_factory.mktemp("metadata"), n_channels=2, shape=(12, 12), n_volumes=4)


@pytest.fixture(scope="module")
def clockless(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRecording:
    return write_scanimage_recording(tmp_path_factory.mktemp("clockless"), epoch=None)


@pytest.fixture
def converter(written: SyntheticRecording) -> ScanImageConverter:
    return ScanImageConverter(written.paths[0], timezone="UTC")


@pytest.fixture
def yaml_file(tmp_path: Path) -> Callable[[str], Path]:
    """Write text to a YAML file."""

    def write(text: str) -> Path:
        path = tmp_path / "metadata.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def convert(written: SyntheticRecording, folder: Path, metadata: dict[str, Any], **options: Any) -> pynwb.NWBFile:
    """Convert with metadata and read."""
    options.setdefault("timezone", "UTC")
    return pynwb.read_nwb(convert_recording(written.paths[:1], folder / "out.nwb", metadata=metadata, **options))


# ---- start time


def test_epoch_is_local_time_of_the_zone_given(written: SyntheticRecording) -> None:
    metadata = ScanImageConverter(written.paths[0], timezone="Europe/Berlin").get_metadata()
    start = metadata["NWBFile"]["session_start_time"]
    assert start == datetime(2025, 4, 24, 14, 43, 57, 206000, tzinfo=UTC)
    assert start.isoformat() == "2025-04-24T16:43:57.206000+02:00"


@pytest.mark.parametrize(("name", "near"), [("Europe/Berln", "Europe/Berlin"), ("US/Pacifik", "US/Pacific")])
def test_unknown_timezone_names_near_ones(written: SyntheticRecording, name: str, near: str) -> None:
    with pytest.raises(MetadataError, match=f"{name}.* is not known.*did you mean.*{near}"):
        ScanImageConverter(written.paths[0], timezone=name).get_metadata()


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "/etc/localtime", "qqqqq", "Europe"])
def test_no_timezone_at_all(written: SyntheticRecording, name: str) -> None:
    with pytest.raises(MetadataError, match="is not known; expected a name of the IANA list"):
        ScanImageConverter(written.paths[0], timezone=name).get_metadata()


def test_assumed_timezone_is_said_once(written: SyntheticRecording, tmp_path: Path) -> None:
    converter = ScanImageConverter(written.paths[0])
    assert len(converter.data_interface_objects) == 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metadata = converter.get_metadata()
        converter.run_conversion(nwbfile_path=str(tmp_path / "out.nwb"), metadata=metadata)
        converter.get_metadata()
    messages = [str(w.message) for w in caught if issubclass(w.category, ScanImageNwbWarning)]
    assert len(messages) == 1
    assert "not in which time zone" in messages[0]
    assert metadata["NWBFile"]["session_start_time"].replace(tzinfo=None) == datetime(2025, 4, 24, 16, 43, 57, 206000)
    assert metadata["NWBFile"]["session_start_time"].tzinfo is not None


def test_damage_is_said_once_for_all_channels(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_channels=2, drop_frames=[3])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        converter = ScanImageConverter(written.paths[0], timezone="UTC")
        converter.run_conversion(nwbfile_path=str(tmp_path / "out.nwb"))
    messages = [str(w.message) for w in caught if issubclass(w.category, ScanImageNwbWarning)]
    assert len(messages) == 1
    assert "1 frame(s) are missing" in messages[0]


def test_recording_without_epoch_says_what_to_do(clockless: SyntheticRecording, tmp_path: Path) -> None:
    with pytest.raises(
        MetadataError, match=r"session_00001\.tif does not say when.*give NWBFile: session_start_time: '2"
    ):
        convert(clockless, tmp_path, {})
    for source in (ScanImageConverter, ScanImageImagingInterface):
        with pytest.raises(MetadataError, match=r"no session_start_time.*give NWBFile: session_start_time: '2"):
            source(clockless.paths[0]).run_conversion(nwbfile_path=str(tmp_path / "out.nwb"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "timezone", "expected"),
    [
        ("'2024-02-03T04:05:06+05:00'", None, "2024-02-03T04:05:06+05:00"),
        ("2024-02-03T04:05:06+05:00", "Europe/Berlin", "2024-02-03T04:05:06+05:00"),
        ("2024-02-03 04:05:06", "Europe/Berlin", "2024-02-03T04:05:06+01:00"),
        ("'2024-02-03T04:05:06'", "Europe/Berlin", "2024-02-03T04:05:06+01:00"),
        ("2024-02-03", "Asia/Tokyo", "2024-02-03T00:00:00+09:00"),
    ],
)
def test_start_time_from_yaml(
    clockless: SyntheticRecording,
    tmp_path: Path,
    yaml_file: Callable[[str], Path],
    text: str,
    timezone: str | None,
    expected: str,
) -> None:
    metadata = load_metadata_file(yaml_file(f"NWBFile:\n  session_start_time: {text}\n"))
    nwbfile = convert(clockless, tmp_path, metadata, timezone=timezone)
    assert nwbfile.session_start_time == datetime.fromisoformat(expected)
    assert nwbfile.session_start_time.utcoffset() == datetime.fromisoformat(expected).utcoffset()
    nwbfile.read_io.close()


def test_start_time_that_is_none(clockless: SyntheticRecording, tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="session_start_time is 'yesterday'; expected a time such as"):
        convert(clockless, tmp_path, {"NWBFile": {"session_start_time": "yesterday"}})
    assert with_timezone(datetime(2024, 1, 1), None, where="x").tzinfo is not None


# ---- merging


def test_star_goes_into_every_entry_and_one_entry_wins(written: SyntheticRecording, tmp_path: Path) -> None:
    metadata = {
        "Ophys": {
            "ImagingPlanes": {
                KEYS[1]: {"location": "CA1"},
                "*": {"location": "V1", "indicator": "GCaMP8m", "excitation_lambda": 920.0},
            }
        },
        "Devices": {"*": {"manufacturer": "Bruker"}},
    }
    before = deepcopy(metadata)
    nwbfile = convert(written, tmp_path, metadata)
    planes = [nwbfile.imaging_planes[f"ImagingPlaneChannel{i}"] for i in (1, 2)]
    assert [plane.location for plane in planes] == ["V1", "CA1"]
    assert [plane.indicator for plane in planes] == ["GCaMP8m"] * 2
    assert [plane.excitation_lambda for plane in planes] == [920.0] * 2
    assert nwbfile.devices["Microscope"].manufacturer == "Bruker"
    assert metadata == before
    nwbfile.read_io.close()


def test_star_is_understood_by_the_interfaces_themselves(converter: ScanImageConverter) -> None:
    metadata = dict_deep_update(
        converter.get_metadata(), {"Ophys": {"ImagingPlanes": {"*": {"location": "V1"}, KEYS[1]: {"location": "CA1"}}}}
    )
    nwbfile = converter.create_nwbfile(metadata)
    assert nwbfile.imaging_planes["ImagingPlaneChannel1"].location == "V1"
    assert nwbfile.imaging_planes["ImagingPlaneChannel2"].location == "CA1"
    alone = {"NWBFile": metadata["NWBFile"], "Ophys": {"ImagingPlanes": {"*": {"location": "V1"}}}}
    planes = converter.create_nwbfile(alone).imaging_planes.values()
    assert [plane.location for plane in planes] == ["V1", "V1"]


def test_lists_are_replaced(converter: ScanImageConverter) -> None:
    found = converter.get_metadata()
    green = [{"name": "Green", "description": "525/50", "emission_lambda": 525.0}]
    updates = {"Ophys": {"ImagingPlanes": {KEYS[0]: {"optical_channel": green, "grid_spacing": [2e-6, 2e-6]}}}}
    merged = merge_metadata(found, updates)
    assert merged["Ophys"]["ImagingPlanes"][KEYS[0]]["optical_channel"] == green
    nwbfile = converter.create_nwbfile(merged)
    plane = nwbfile.imaging_planes["ImagingPlaneChannel1"]
    assert [channel.emission_lambda for channel in plane.optical_channel] == [525.0]
    assert list(plane.grid_spacing) == [2e-6, 2e-6]
    assert found["Ophys"] == converter.get_metadata()["Ophys"]


def test_metadata_are_not_changed(converter: ScanImageConverter, tmp_path: Path) -> None:
    metadata = converter.get_metadata()
    metadata["Ophys"]["ImagingPlanes"]["*"] = {"location": "V1"}
    before = deepcopy(metadata.to_dict())
    converter.run_conversion(nwbfile_path=str(tmp_path / "out.nwb"), metadata=metadata)
    assert metadata.to_dict() == before


def test_deleted_keys_stay_deleted(converter: ScanImageConverter, tmp_path: Path) -> None:
    metadata = converter.get_metadata()
    for name in ("scan_line_rate", "field_of_view", "pmt_gain"):
        del metadata["Ophys"]["MicroscopySeries"][KEYS[0]][name]
    for name in ("grid_spacing", "origin_coords", "imaging_rate"):
        del metadata["Ophys"]["ImagingPlanes"][KEYS[0]][name]
    del metadata["NWBFile"]["session_description"]
    converter.run_conversion(nwbfile_path=str(tmp_path / "out.nwb"), metadata=metadata)
    nwbfile = pynwb.read_nwb(tmp_path / "out.nwb")
    first, second = (nwbfile.acquisition[f"TwoPhotonSeriesChannel{i}"] for i in (1, 2))
    assert (first.scan_line_rate, first.field_of_view, first.pmt_gain) == (None, None, None)
    assert None not in (second.scan_line_rate, second.pmt_gain)
    plane = first.imaging_plane
    assert (plane.grid_spacing, plane.origin_coords, plane.imaging_rate) == (None, None, None)
    assert second.imaging_plane.imaging_rate == pytest.approx(30)
    nwbfile.read_io.close()


def test_equal_spacings_survive_every_merge_of_neuroconv(
    written: SyntheticRecording, converter: ScanImageConverter, yaml_file: Callable[[str], Path]
) -> None:
    class TwoChannels(NWBConverter):
        data_interface_classes: ClassVar = {"One": ScanImageImagingInterface, "Two": ScanImageImagingInterface}

    source = {"file_path": str(written.paths[0]), "timezone": "UTC"}
    inside = TwoChannels(
        {"One": {**source, "channel_name": "Channel 1"}, "Two": {**source, "channel_name": "Channel 2"}}
    )
    pipe = ConverterPipe([ScanImageImagingInterface(**source, channel_name=f"Channel {i}") for i in (1, 2)])
    path = yaml_file("Ophys:\n  ImagingPlanes:\n    scan_image_imaging_channel_1:\n      location: V1\n")
    for source_of_metadata in (converter, inside, pipe):
        metadata = dict_deep_update(source_of_metadata.get_metadata(), load_dict_from_file(path))
        nwbfile = source_of_metadata.create_nwbfile(metadata)
        for number in (1, 2):
            series = nwbfile.acquisition[f"TwoPhotonSeriesChannel{number}"]
            assert list(series.imaging_plane.grid_spacing) == pytest.approx([9e-6, 9e-6])
            assert list(series.imaging_plane.origin_coords) == pytest.approx([-54e-6, -54e-6, 92e-6])
            assert list(series.field_of_view) == pytest.approx([108e-6, 108e-6])
        assert nwbfile.imaging_planes["ImagingPlaneChannel1"].location == "V1"
        assert nwbfile.imaging_planes["ImagingPlaneChannel2"].location == "unknown"


def test_gain_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_channels=2, header_overrides={"hPmts.gains": "[NaN 0.5]"})
    series = ScanImageConverter(written.paths[0], timezone="UTC").get_metadata()["Ophys"]["MicroscopySeries"]
    assert [series[key].get("pmt_gain") for key in KEYS] == [None, 0.5]


# ---- what is refused


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"Ophys": {"ImagingPlanes": {"*": {"indicater": "x"}}}},
            rf"ImagingPlanes\.{KEYS[0]}: 'indicater'.*mean indicator",
        ),
        (
            {"Ophys": {"MicroscopySeries": {KEYS[1]: {"pmt_gian": 1.0}}}},
            rf"{KEYS[1]}: 'pmt_gian'.*did you mean pmt_gain",
        ),
        (
            {"Devices": {"*": {"manufacturor": "x"}}},
            r"Devices\.scan_image_microscope: 'manufacturor'.*mean manufacturer",
        ),
        (
            {"Ophys": {"ImagingPlanes": {"*": {"excitation_lambda": "920"}}}},
            r"cannot be written as ImagingPlane.*'excit",
        ),
        ({"Ophys": {"ImagingPlanes": {"*": {"optical_channel": [{"nam": "x"}]}}}}, "optical_channel: 'nam'.*mean name"),
        ({"Ophys": {"ImagingPlanes": {"*": "V1"}}}, r"entry '\*' is 'V1'; expected fields"),
        ({"Ophys": {"ImagingPlanes": [{"location": "V1"}]}}, r"Ophys\.ImagingPlanes.*is not of type 'object'"),
        ({"Subject": {"subject_id": 12}}, r"metadata Subject\.subject_id: 12 .*put it in quotes"),
        ({"Subject": {"subject_id": "a", "speces": "x"}}, r"Subject: 'speces' is no key.*did you mean species"),
        (
            {"Subject": {"subject_id": "a", "species": "mouse"}},
            r"Subject\.species: 'mouse' has not the right form.*latin",
        ),
        ({"NWBFile": {"experimentr": "x"}}, r"NWBFile: 'experimentr' is no key.*did you mean experimenter"),
        ({"NWBFile": {"experimenter": "Doe"}}, r"NWBFile\.experimenter: 'Doe'.*put it in brackets"),
        ({"NWBFile": {"notes": object()}}, "metadata hold a value that cannot be written"),
    ],
)
def test_metadata_that_cannot_be_used(
    written: SyntheticRecording, tmp_path: Path, metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(MetadataError, match=message):
        convert(written, tmp_path, metadata)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Subjects: {}", "'Subjects' is no key of the metadata; did you mean Subject"),
        ("Ophys: {ImagingPlane: []}", "Ophys: 'ImagingPlane' is no key of the metadata; did you mean ImagingPlanes"),
        ("Ophys: {Xyz: []}", "'Xyz' is no key of the metadata; known are ImagingPlanes, MicroscopySeries"),
        ("a: [b", "is no YAML"),
        ("- a\n- b", "holds list; expected keys such as NWBFile"),
        ("just words", "holds str; expected keys"),
        ("a: !!python/object/apply:os.system ['true']", "is no YAML"),
    ],
)
def test_yaml_that_cannot_be_used(yaml_file: Callable[[str], Path], text: str, message: str) -> None:
    with pytest.raises(MetadataError, match=f"metadata.yaml.*{message}"):
        load_metadata_file(yaml_file(text))


def test_yaml_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("NWBFile: {lab: Müller}".encode("latin-1"))
    with pytest.raises(MetadataError, match=r"latin\.yaml is no YAML"):
        load_metadata_file(path)


def test_missing_yaml(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_metadata_file(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}"])
def test_empty_yaml(yaml_file: Callable[[str], Path], text: str) -> None:
    assert load_metadata_file(yaml_file(text)) == {}


def test_fields_left_empty_say_nothing(
    written: SyntheticRecording, tmp_path: Path, yaml_file: Callable[[str], Path]
) -> None:
    text = "NWBFile:\n  session_id:\n  lab: L\nSubject:\nOphys:\n  ImagingPlanes:\n    '*':\n      location:\n"
    metadata = load_metadata_file(yaml_file(text))
    assert metadata == {"NWBFile": {"lab": "L"}, "Ophys": {"ImagingPlanes": {"*": {}}}}
    nwbfile = convert(written, tmp_path, metadata)
    assert (nwbfile.lab, nwbfile.session_id, nwbfile.subject) == ("L", None, None)
    nwbfile.read_io.close()


def test_a_day_in_yaml_is_a_date_of_birth(
    written: SyntheticRecording, tmp_path: Path, yaml_file: Callable[[str], Path]
) -> None:
    metadata = load_metadata_file(yaml_file("Subject: {subject_id: a, date_of_birth: 2025-01-02}"))
    nwbfile = convert(written, tmp_path, metadata)
    assert nwbfile.subject.date_of_birth.date().isoformat() == "2025-01-02"
    nwbfile.read_io.close()


def test_entry_of_another_recording_is_named(written: SyntheticRecording, tmp_path: Path) -> None:
    metadata = {
        "Ophys": {"ImagingPlanes": {"scan_image_imaging": {"location": "V1"}, "mine": {"name": "Mine"}}},
        "Devices": {"scope": {"name": "Scope"}},
    }
    metadata["Ophys"]["MicroscopySeries"] = {KEYS[0]: {"imaging_plane_metadata_key": "mine"}}
    metadata["Ophys"]["ImagingPlanes"]["mine"]["device_metadata_key"] = "scope"
    metadata["Ophys"]["ImagingPlanes"]["mine"]["optical_channel"] = [{"name": "a", "description": "b"}]
    metadata["Ophys"]["ImagingPlanes"]["mine"]["description"] = "c"
    with pytest.warns(ScanImageNwbWarning) as caught:
        nwbfile = convert(written, tmp_path, metadata)
    (message,) = [str(w.message) for w in caught if issubclass(w.category, ScanImageNwbWarning)]
    assert message.startswith("metadata ImagingPlanes: scan_image_imaging is no entry of this recording and is not")
    assert ", ".join(KEYS) in message
    assert nwbfile.acquisition["TwoPhotonSeriesChannel1"].imaging_plane.name == "Mine"
    assert nwbfile.acquisition["TwoPhotonSeriesChannel1"].imaging_plane.device.name == "Scope"
    nwbfile.read_io.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_list_format_is_refused(converter: ScanImageConverter, tmp_path: Path) -> None:
    start = converter.get_metadata()["NWBFile"]
    old = {"NWBFile": start, "Ophys": {"ImagingPlane": [{"name": "P"}], "TwoPhotonSeries": [{"name": "S"}]}}
    with pytest.raises(MetadataError, match="neuroconv's old format; expected ImagingPlanes and MicroscopySeries"):
        converter.create_nwbfile(old)


def test_a_missing_entry_is_named(converter: ScanImageConverter) -> None:
    metadata = converter.get_metadata()
    metadata["Ophys"]["MicroscopySeries"][KEYS[0]]["imaging_plane_metadata_key"] = "elsewhere"
    with pytest.raises(MetadataError, match=r"Ophys\.ImagingPlanes\.elsewhere is missing at 'elsewhere'"):
        converter.create_nwbfile(metadata)


# ---- names


@pytest.mark.parametrize(
    ("names", "suffixes", "keys"),
    [
        (["Channel 1", "PMT-red"], ["Channel1", "PMTRed"], ["channel_1", "pmt_red"]),
        (["Green", "green"], ["Channel1", "Channel2"], ["channel1", "channel2"]),
        (["A B", "A_B"], ["Channel1", "Channel2"], ["channel1", "channel2"]),
        (["緑", "赤"], ["Channel1", "Channel2"], ["channel1", "channel2"]),
    ],
)
def test_channels_keep_apart_whatever_they_are_called(
    tmp_path: Path, names: list[str], suffixes: list[str], keys: list[str]
) -> None:
    header = {"hChannels.channelName": "{" + " ".join(f"'{name}'" for name in names) + "}"}
    written = write_scanimage_recording(tmp_path, n_channels=2, header_overrides=header, n_volumes=3)
    recording = open_recording(written.paths[0])
    assert list(recording.channel_names) == names
    assert [name_suffix(recording, name, None) for name in names] == suffixes
    assert [registry_key(recording, name, None) for name in names] == [f"scan_image_imaging_{key}" for key in keys]
    nwbfile = convert(written, tmp_path, {})
    for channel, suffix in enumerate(suffixes):
        data = nwbfile.acquisition[f"TwoPhotonSeries{suffix}"].data[:]
        assert (data == written.pages[channel::2].transpose(0, 2, 1)).all()
    nwbfile.read_io.close()
