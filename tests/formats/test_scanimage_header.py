"""Header, layout, field of view, scanfields and page text: on real files, and on what real files may hold."""

import dataclasses
import json
import math
import pickle
import struct
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scanimage_nwb.formats.scanimage_header as header_module
from scanimage_nwb.errors import FormatError, HeaderFieldError, ScanImageNwbWarning, UnsupportedFormatError
from scanimage_nwb.formats.scanimage_fields import FieldOfView, Scanfield, parse_field_of_view, parse_scanfields
from scanimage_nwb.formats.scanimage_header import PageText, ScanImageHeader, epoch_to_datetime, parse_page_text
from scanimage_nwb.formats.scanimage_layout import AcquisitionLayout, parse_layout

DUMPS = {"SI2022.0_neuroconv_volume_a.json": "\n", "SI3.8_neuroconv_description.json": "\r"}

FAST = {
    "SI.VERSION_MAJOR": "2021",
    "SI.hChannels.channelName": "{'Green' 'Red' 'Channel 3' 'Channel 4'}",
    "SI.hChannels.channelSave": "[1;2]",
    "SI.hFastZ.enable": "true",
    "SI.hFastZ.discardFlybackFrames": "true",
    "SI.hFastZ.numDiscardFlybackFrames": "1",
    "SI.hRoiManager.linePeriod": "6e-05",
    "SI.hRoiManager.scanFrameRate": "30",
    "SI.hRoiManager.scanVolumeRate": "7.5",
    "SI.hScan2D.logAverageFactor": "1",
    "SI.hStackManager.actualNumSlices": "3",
    "SI.hStackManager.enable": "true",
    "SI.hStackManager.framesPerSlice": "1",
    "SI.hStackManager.numFramesPerVolume": "3",
    "SI.hStackManager.numFramesPerVolumeWithFlyback": "4",
    "SI.hStackManager.numSlices": "3",
    "SI.hStackManager.stackMode": "'fast'",
    "SI.hStackManager.zs": "[0 10 20]",
}


def make(roi: object = None, /, **changes: str | None) -> ScanImageHeader:
    """Return the header of a fast stack with some lines changed, added or (None) left out; "__" stands for a dot."""
    values: dict[str, str | None] = FAST | {"SI." + key.replace("__", "."): value for key, value in changes.items()}
    text = "\n".join(f"{key} = {value}" for key, value in values.items() if value is not None)
    roi_text = "" if roi is None else roi if isinstance(roi, str) else json.dumps(roi)
    return ScanImageHeader.from_text(text, roi_text, source="mouse_00001.tif")


def layout(**changes: str | None) -> AcquisitionLayout:
    """Return the layout of a fast stack with some lines changed."""
    return parse_layout(make(**changes))


def real(data_dir: Path, name: str) -> ScanImageHeader:
    """Return a real header, with its ROI JSON where there is one."""
    path = next((data_dir / "headers").glob(f"{name}*"))
    if path.name in DUMPS:
        lines = json.loads(path.read_text()).items()
        return ScanImageHeader.from_text(DUMPS[path.name].join(f"{k}={v}" for k, v in lines), source=path.name)
    if name.startswith(("SI2020", "SI2021", "SI2023")):
        path = data_dir / "headers" / f"{name}_Software.txt"
        roi = next((data_dir / "headers").glob(f"{name}_Artist.*"))
        return ScanImageHeader.from_text(path.read_text(), roi.read_text(), source=path.name)
    return ScanImageHeader.from_text(path.read_text(), source=path.name)


def from_file(path: Path) -> tuple[ScanImageHeader, str]:
    """Return the header of a file with ScanImage's magic block, and the text of its first page."""
    data = path.read_bytes()
    text_bytes, roi_bytes = struct.unpack_from("<II", data, 24)
    texts = (
        data[32 : 32 + text_bytes].decode("latin1"),
        data[32 + text_bytes : 32 + text_bytes + roi_bytes].decode("latin1"),
    )
    start = data.index(b"frameNumbers")
    return ScanImageHeader.from_text(*texts, source=path.name), data[start : start + 2000].decode("latin1")


# --------------------------------------------------------------------------------------------------- the text itself


@pytest.mark.parametrize(
    ("name", "generation", "version"),
    [
        ("SI2016b", "SI", "2016b.1"),
        ("SI2019b", "SI", "2019b.0"),
        ("SI2020.1.2_ibl_mroi8", "SI", "2020.1.2"),
        ("SI2021.0_gin_vol1ch", "SI", "2021.0.0"),
        ("SI2022.0", "SI", "2022.0.0"),
        ("SI2023.0_gin_noroi", "SI", "2023.0.0"),
        ("SI5.0", "SI5", "5.0"),
        ("SI3.8", "3.8", "3.8"),
    ],
)
def test_versions(data_dir: Path, name: str, generation: str, version: str) -> None:
    header = real(data_dir, name)
    assert header.generation == generation
    assert header.version == version


def test_reads_values(data_dir: Path) -> None:
    header = real(data_dir, "SI2021.0_gin_vol1ch")
    assert header.raw("SI.hStackManager.zs") == "[92 94 96 98 100 102 104 106 108]"
    assert header.get("SI.hStackManager.zs") == [92, 94, 96, 98, 100, 102, 104, 106, 108]
    assert header.get("SI.hStackManager.actualNumVolumes") == 100
    assert "SI.hFastZ.enable" in header
    assert "SI.hFastZ.enabled" not in header
    assert header.get("SI.hFastZ.enabled") is None
    assert header.get("SI.hFastZ.enabled", 3) == 3
    assert header.raw("SI.hFastZ.enabled", "x") == "x"
    assert header.keys()[:2] == ("SI.LINE_FORMAT_VERSION", "SI.PREMIUM")
    assert len(header.keys()) == 449 + 1  # wc -l does not count the last line
    assert header.as_dict()["SI.hRoiManager.linePeriod"] == 4.14927e-05


def test_page_lines_above_an_old_header_are_ignored(data_dir: Path) -> None:
    header = real(data_dir, "SI5.0")
    assert header.keys()[0] == "scanimage.SI5.VERSION_MAJOR"
    assert header.get("scanimage.SI5.userFunctionsCfg") == "<nonscalar struct/object>"


def test_2015_prefix() -> None:
    header = ScanImageHeader.from_text("scanimage.SI.VERSION_MAJOR = 2015\r\nscanimage.SI.hA.b = 2", source="a.tif")
    assert (header.generation, header.version, header.get("SI.hA.b")) == ("SI", "2015", 2)


def test_no_header() -> None:
    header = ScanImageHeader.from_text("ImageJ=1.53\nimages=3\nmSI.x = 1", source="a.tif")
    assert (header.generation, header.version, header.keys()) == ("", "", ())
    with pytest.raises(UnsupportedFormatError, match=r"a\.tif.*ImageJ"):
        parse_layout(header)


def test_nul_and_line_ends() -> None:
    text = "SI.a = 1\r\n  SI.b=[1;2]  \rSI.c = 'x = y'\nSI.d\nSI.e = \n\0\0"
    header = ScanImageHeader.from_text(text, "\0", source="a.tif")
    assert header.as_dict() == {"SI.a": 1, "SI.b": [[1], [2]], "SI.c": "x = y", "SI.e": ""}
    assert "\0" not in header.text
    assert header.roi_groups is None


def test_code_in_a_header_is_text(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    header = make(userInfo=code, hStackManager__zs=f"[{code}]")
    assert header.get("SI.userInfo") == code
    with pytest.raises(HeaderFieldError):
        parse_layout(header)
    assert not mark.exists()


def test_pickle_and_equality() -> None:
    header = make({"RoiGroups": {}})
    header.as_dict()
    size = len(pickle.dumps(header))
    copy = pickle.loads(pickle.dumps(header))
    assert copy == header
    assert copy.get("SI.hStackManager.zs") == [0, 10, 20]
    assert size < len(header.text) + 300, "caches travel along"
    assert len(repr(header)) < 100


def test_long_header_is_indexed_fast_and_parsed_lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    parse = header_module.parse_matlab_literal
    monkeypatch.setattr(header_module, "parse_matlab_literal", lambda text: calls.append(text) or parse(text))
    lines = "\n".join(f"SI.hUser.key{i} = '{'x' * 80}'" for i in range(220_000))
    text = lines + "\nSI.big = [" + "1 " * 500_000 + "]\nSI.last = 7\n"
    assert len(text) > 20e6
    began = time.process_time()
    header = ScanImageHeader.from_text(text, source="long.tif")
    assert header.get("SI.last") == 7
    assert header.get("SI.last") == 7
    assert time.process_time() - began < 5
    assert calls == [" 7"]


def test_json_flavour() -> None:
    found = {
        "SI": {
            "VERSION_MAJOR": "2018b",
            "VERSION_MINOR": "1",
            "hChannels": {"channelSave": [2, 4], "channelName": ["A", "B", "C", "D"]},
            "hStackManager": {"enable": True, "actualNumSlices": 2, "framesPerSlice": "_Inf_", "zs": [5.5, 6.5]},
            "hBeams": {"powers": "_NaN_", "lengthConstants": "-_Inf_", "pzCustom": None},
            "hRois": {"_ArrayType_": "double", "_ArraySize_": [1, 0], "_ArrayData_": None},
            "hEmpty": {},
            "hList": [{"a": 1}, {"a": 2}],
            "formula": "[1 2]",
        },
        "other": {"x": 1},
    }
    header = ScanImageHeader.from_text(json.dumps(found) + "\0", source="a.tif")
    assert (header.generation, header.version) == ("SI", "2018b.1")
    assert header.keys()[:3] == ("SI.VERSION_MAJOR", "SI.VERSION_MINOR", "SI.hChannels.channelSave")
    assert "other.x" not in header
    assert header.get("SI.hChannels.channelSave") == [2, 4]
    assert header.raw("SI.hChannels.channelSave") == "[2, 4]"
    assert header.raw("SI.VERSION_MAJOR") == "2018b"
    assert header.get("SI.hStackManager.framesPerSlice") == math.inf
    assert header.get("SI.hBeams.lengthConstants") == -math.inf
    assert math.isnan(header.get("SI.hBeams.powers"))
    assert header.get("SI.hBeams.pzCustom") == []
    assert header.get("SI.hRois") == []
    assert header.get("SI.hEmpty") == []
    assert header.get("SI.hList") == [{"a": 1}, {"a": 2}]
    assert header.get("SI.formula") == "[1 2]"
    claimed = parse_layout(header)
    assert claimed.channel_names == ("B", "D")
    assert (claimed.n_planes, claimed.z_um) == (2, (5.5, 6.5))


@pytest.mark.parametrize("value", [10**400, -(10**400), True, 2.5])
def test_json_numbers_beyond_reason(value: float) -> None:
    found = {"SI": {"hStackManager": {"enable": True, "actualNumSlices": 3, "framesPerSlice": value}}}
    header = ScanImageHeader.from_text(json.dumps(found), source="a.tif")
    if value is True:
        assert parse_layout(header).frames_per_slice == 1
    else:
        with pytest.raises(HeaderFieldError, match=r"a\.tif: SI\.hStackManager\.framesPerSlice"):
            parse_layout(header)


def test_json_rate_beyond_reason() -> None:
    header = ScanImageHeader.from_text(json.dumps({"SI": {"hRoiManager": {"scanFrameRate": 10**400}}}), source="a.tif")
    with pytest.raises(HeaderFieldError, match="scanFrameRate"):
        parse_layout(header)


def test_json_flavour_equals_text_flavour() -> None:
    text = make()
    tree: dict[str, Any] = {}
    for key, value in text.as_dict().items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    flavoured = ScanImageHeader.from_text(json.dumps({"scanimage": tree}), source="mouse_00001.tif")
    assert flavoured.as_dict() == text.as_dict()
    assert parse_layout(flavoured) == parse_layout(text)


@pytest.mark.parametrize("text", ['{"SI": {"a": 1}', "{", "{" * 100_000, '{"a":' * 100_000])
def test_broken_json_header(text: str) -> None:
    header = ScanImageHeader.from_text(text, source="bad.tif")
    with pytest.raises(FormatError, match=r"bad\.tif"):
        header.keys()


@pytest.mark.parametrize("roi_text", ["{", '{"RoiGroups": ', "[" * 100_000, "nonsense"])
def test_malformed_roi_json_warns_once(roi_text: str) -> None:
    header = make(roi_text)
    with pytest.warns(ScanImageNwbWarning, match=r"mouse_00001\.tif"):
        assert header.roi_groups is None
    # a second warning would be an error
    assert header.roi_groups is None
    assert parse_scanfields(header, page_shape=(512, 512)) == ()


@pytest.mark.parametrize("roi_text", ["", " \0\n", "null", "[]", "{}", '{"RoiGroups": []}', '{"RoiGroups": null}'])
def test_no_roi_groups(roi_text: str) -> None:
    header = make(roi_text)
    assert header.roi_groups is None
    assert parse_scanfields(header, page_shape=(512, 512)) == ()


def test_roi_groups(data_dir: Path) -> None:
    groups = real(data_dir, "SI2020.1.2_ibl_mroi8").roi_groups
    assert groups is not None
    assert groups["imagingRoiGroup"]["name"] == "SP065_8rois_new"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="SI.scanimage45tate={}[];'\"\r\n 01abx\0"))
def test_any_text_is_indexed(text: str) -> None:
    header = ScanImageHeader.from_text(text, source="a.tif")
    try:
        values = header.as_dict()
    except FormatError:
        assert text.replace("\0", "").lstrip().startswith("{")
        return
    assert set(values) == set(header.keys())
    assert all(key.startswith(("SI.", "scanimage.SI4.", "scanimage.SI5.", "state.")) for key in values)


# --------------------------------------------------------------------------------------------------------- the layout


FIVE_FRAMES_HZ = 1 / 0.0334177 / 5
NINE = (92.0, 94.0, 96.0, 98.0, 100.0, 102.0, 104.0, 106.0, 108.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "SI2021.0_gin_vol1ch",
            AcquisitionLayout(
                ("Channel 1",), (1,), 9, 1, 7, 1, False, True, 523.926, 32.7454, True, NINE, 4.14927e-05, ()
            ),
        ),
        (
            "SI2021.0_gin_noflyback",
            AcquisitionLayout(
                ("Channel 1",), (1,), 9, 1, 0, 1, False, True, 79.8033, 8.86703, True, NINE, 4.14927e-05, ()
            ),
        ),
        (
            "SI2023.0_gin_noroi",
            AcquisitionLayout(
                ("Channel 1", "Channel 4"),
                (1, 4),
                2,
                2,
                0,
                1,
                True,
                True,
                58.2068,
                14.5517,
                True,
                (-11179.5, -11178.5),
                6.31623e-05,
                (),
            ),
        ),
        (
            "SI2020.1.2_ibl_mroi8",
            AcquisitionLayout(
                ("Channel 2",), (2,), 1, 1, 0, 1, False, False, 5.07538, 5.07538, True, (245.0,), 4.16025e-05, ()
            ),
        ),
        (
            "SI2019b",  # framesPerSlice = 600 says how long the recording is, as the stack is off
            AcquisitionLayout(
                ("Channel 1", "Channel 2"),
                (1, 2),
                1,
                1,
                0,
                1,
                False,
                False,
                30.0209,
                30.0209,
                True,
                (-668.0,),
                6.30874e-05,
                (),
            ),
        ),
        (
            "SI5.0",
            AcquisitionLayout(
                ("Channel 1", "Channel 2"), (1, 2), 1, 1, 0, 5, False, False, FIVE_FRAMES_HZ, None, True, (), None, ()
            ),
        ),
        (
            "SI3.8",
            AcquisitionLayout(("Channel 1",), (1,), 1, 1, 0, 1, False, False, 3.90625, None, True, (), 0.001, ()),
        ),
    ],
)
def test_real_layouts(data_dir: Path, name: str, expected: AcquisitionLayout) -> None:
    found = parse_layout(real(data_dir, name))
    for item in dataclasses.fields(AcquisitionLayout):
        value = getattr(expected, item.name)
        assert getattr(found, item.name) == (pytest.approx(value) if isinstance(value, float) else value), item.name


def test_real_slow_stack_averaged_eightfold(data_dir: Path) -> None:
    found = parse_layout(real(data_dir, "SI2022.0"))
    assert (found.n_planes, found.frames_per_slice, found.n_flyback, found.averaging) == (20, 1, 0, 8)
    assert found.slow_stack
    assert found.planes_separable
    assert found.frame_rate_hz == pytest.approx(30.0141 / 8)
    assert found.volume_rate_hz == 0.187588
    assert len(found.z_um) == 20
    assert (found.z_um[0], found.z_um[1], found.z_um[-1]) == (742.467, 751.416, 912.489)
    assert found.missing_keys == ()


def test_real_partial_header_names_what_it_lacks(data_dir: Path) -> None:
    found = parse_layout(real(data_dir, "SI2016b"))
    assert (found.channel_names, found.channel_numbers) == ((), ())
    assert (found.n_planes, found.frames_per_slice, found.n_flyback) == (1, 1, 0)
    assert found.frame_rate_hz is None
    assert {"SI.hChannels.channelSave", "SI.hStackManager.enable", "SI.hRoiManager.scanFrameRate"} <= set(
        found.missing_keys
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vol_one_ch_multi_files_00001_00001.tif", ((1,), 9, 1, 7, False, 4.14927e-05)),
        ("vol_one_ch_multi_files_00001_00010.tif", ((1,), 9, 1, 7, False, 4.14927e-05)),
        ("scanimage_20220923_noroi.tif", ((1, 4), 2, 2, 0, True, 6.31623e-05)),
    ],
)
def test_known_numbers_of_real_files(data_dir: Path, name: str, expected: tuple[Any, ...]) -> None:
    header, page = from_file(data_dir / "scanimage" / name)
    found = parse_layout(header)
    assert (
        found.channel_numbers,
        found.n_planes,
        found.frames_per_slice,
        found.n_flyback,
        found.slow_stack,
        found.line_period_s,
    ) == expected
    assert found.missing_keys == ()
    assert parse_page_text(page).frame_number is not None


@pytest.mark.parametrize("name", ["mixed_pages", "plane_raw", "volume_two_colors"])
def test_siff_headers_against_their_truth(data_dir: Path, name: str) -> None:
    header, page = from_file(data_dir / "siff" / f"{name}.siff")
    truth = json.loads((data_dir / "siff" / f"{name}.truth.json").read_text())
    found = parse_layout(header)
    assert list(found.channel_numbers) == truth["channels"]
    assert found.n_planes == truth["n_slices"]
    assert found.n_flyback == (truth["flyback"] if truth["fastz_enable"] else 0)
    assert found.frame_rate_hz == pytest.approx(1 / truth["frame_period_s"])
    assert found.missing_keys == ()
    assert parse_page_text(page) == PageText(
        frame_number=0,
        frame_number_acquisition=0,
        timestamp_s=0.401724,
        dc_over_voltage=False,
        epoch_ns=1716838380668523800,
    )
    field = parse_field_of_view(header, page_shape=(truth["ny"], truth["nx"]))
    assert field is not None  # also where one ROI has a scanfield for each of six planes
    assert field.size_um == (0.9 * 15, 1.8 * 15)


@pytest.mark.parametrize(("num_slices", "planes"), [(1, 3), (10, 4)])
def test_arbitrary_z_counts_the_actual_slices(num_slices: int, planes: int) -> None:
    found = layout(
        hStackManager__numSlices=str(num_slices),
        hStackManager__actualNumSlices=str(planes),
        hStackManager__stackDefinition="'arbitrary'",
        hStackManager__numFramesPerVolume=str(planes),
        hStackManager__numFramesPerVolumeWithFlyback=str(planes + 1),
        hStackManager__zs="[" + " ".join(str(7 * z) for z in range(planes)) + "]",
    )
    assert (found.n_planes, found.frames_per_slice, found.n_flyback) == (planes, 1, 1)
    assert found.z_um == tuple(7.0 * z for z in range(planes))


def test_planes_without_actual_num_slices() -> None:
    lacking = {"hStackManager__actualNumSlices": None, "hStackManager__numSlices": "1"}
    by_volume = layout(
        **lacking,
        hStackManager__numFramesPerVolume="10",
        hStackManager__numFramesPerVolumeWithFlyback="12",
        hStackManager__framesPerSlice="2",
        hStackManager__zs=None,
    )
    assert (by_volume.n_planes, by_volume.frames_per_slice, by_volume.n_flyback) == (5, 2, 2)
    assert by_volume.missing_keys == ("SI.hStackManager.actualNumSlices",)
    lacking |= {"hStackManager__numFramesPerVolume": None, "hStackManager__numFramesPerVolumeWithFlyback": None}
    by_z = layout(**lacking, hStackManager__zs="[0 0 10 10 20 20 30 30]", hStackManager__framesPerSlice="2")
    assert (by_z.n_planes, by_z.z_um) == (4, (0.0, 10.0, 20.0, 30.0))
    by_claim = layout(**lacking | {"hStackManager__numSlices": "6"}, hStackManager__zs=None)
    assert by_claim.n_planes == 6
    by_old_claim = layout(
        **lacking | {"hStackManager__numSlices": None}, hStackManager__slicesPerAcq="8", hStackManager__zs=None
    )
    assert by_old_claim.n_planes == 8


def test_three_hundred_planes_of_three_hundred_frames() -> None:
    found = layout(
        hStackManager__stackMode="'slow'",
        hFastZ__enable="false",
        hStackManager__actualNumSlices="300",
        hStackManager__framesPerSlice="300",
        hStackManager__numFramesPerVolume="90000",
        hStackManager__numFramesPerVolumeWithFlyback="90000",
        hStackManager__zs="[" + " ".join(str(i // 300) for i in range(90_000)) + "]",
    )
    assert (found.n_planes, found.frames_per_slice, found.n_flyback, found.slow_stack) == (300, 300, 0, True)
    assert found.z_um == tuple(float(z) for z in range(300))


@pytest.mark.parametrize(
    "changes",
    [
        {"hStackManager__enable": "false"},
        {"hStackManager__actualNumSlices": "1"},
        {"hStackManager__enable": "0", "hStackManager__framesPerSlice": "Inf"},
    ],
)
def test_planar(changes: dict[str, str]) -> None:
    found = layout(**changes, hScan2D__logAverageFactor="4")
    assert (found.n_planes, found.frames_per_slice, found.n_flyback, found.slow_stack) == (1, 1, 0, False)
    assert found.planes_separable
    assert found.frame_rate_hz == 7.5
    assert found.stack_enabled == (changes.get("hStackManager__enable") is None)


def test_frames_per_slice_may_be_inf() -> None:
    found = layout(
        hStackManager__framesPerSlice="Inf",
        hStackManager__numFramesPerVolume="6",
        hStackManager__numFramesPerVolumeWithFlyback="6",
    )
    assert found.frames_per_slice == 2
    # ScanImage computes actualNumSlices = numel(zs) / framesPerSlice, which is then 0
    endless = layout(
        hStackManager__framesPerSlice="Inf",
        hStackManager__actualNumSlices="0",
        hStackManager__numFramesPerVolume=None,
        hStackManager__stackMode="'slow'",
    )
    assert (endless.n_planes, endless.frames_per_slice) == (3, 1)


@pytest.mark.parametrize(
    ("averaging", "frames", "flyback", "expected"),
    [
        ("1", 2, 3, (2, 3, True)),
        ("2", 2, 2, (1, 1, True)),
        ("4", 8, 4, (2, 1, True)),
        ("2", 1, 0, (1, 0, False)),
        ("4", 6, 0, (1, 0, False)),
        ("2", 2, 1, (1, 0, False)),  # a real rig: page 3 blends flyback with the next volume
    ],
)
def test_averaging(averaging: str, frames: int, flyback: int, expected: tuple[int, int, bool]) -> None:
    found = layout(
        hScan2D__logAverageFactor=averaging,
        hStackManager__framesPerSlice=str(frames),
        hStackManager__numFramesPerVolume=str(3 * frames),
        hStackManager__numFramesPerVolumeWithFlyback=str(3 * frames + flyback),
    )
    assert (found.frames_per_slice, found.n_flyback, found.planes_separable) == expected
    assert found.frame_rate_hz == 30 / int(averaging)
    assert found.volume_rate_hz == 7.5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1),
        ({"hStackManager__numFramesPerVolumeWithFlyback": "3"}, 0),
        ({"hStackManager__numFramesPerVolumeWithFlyback": None}, 1),
        ({"hStackManager__numFramesPerVolumeWithFlyback": None, "hFastZ__discardFlybackFrames": "false"}, 0),
        ({"hStackManager__numFramesPerVolumeWithFlyback": None, "hFastZ__enable": "false"}, 0),
        ({"hStackManager__numFramesPerVolumeWithFlyback": "7", "hFastZ__discardFlybackFrames": "false"}, 4),
        ({"hStackManager__stackMode": "'slow'"}, 0),
    ],
)
def test_flyback(changes: dict[str, str | None], expected: int) -> None:
    assert layout(**changes).n_flyback == expected


def test_older_versions_lack_the_stack_switch() -> None:
    old = {
        "hStackManager__enable": None,
        "hStackManager__actualNumSlices": None,
        "hStackManager__numFramesPerVolume": None,
        "hStackManager__numFramesPerVolumeWithFlyback": None,
        "hStackManager__stackMode": None,
    }
    fast = layout(**old, hStackManager__framesPerSlice="600")
    assert (fast.n_planes, fast.frames_per_slice, fast.n_flyback, fast.slow_stack) == (3, 1, 1, False)
    slow = layout(**old, hFastZ__enable="false", hStackManager__framesPerSlice="5")
    assert (slow.n_planes, slow.frames_per_slice, slow.n_flyback, slow.slow_stack) == (3, 5, 0, True)
    planar = layout(**old, hFastZ__enable="false", hStackManager__zs="-5", hStackManager__framesPerSlice="600")
    assert (planar.n_planes, planar.frames_per_slice, planar.stack_enabled) == (1, 1, False)
    assert "SI.hStackManager.enable" in planar.missing_keys


@pytest.mark.parametrize(
    ("save", "names", "numbers"),
    [
        ("1", ("Green",), (1,)),
        ("[1 2]", ("Green", "Red"), (1, 2)),
        ("[1;2]", ("Green", "Red"), (1, 2)),
        ("[2 4]", ("Red", "Channel 4"), (2, 4)),
        ("[4 9]", ("Channel 4", "Channel 9"), (4, 9)),
    ],
)
def test_channels(save: str, names: tuple[str, ...], numbers: tuple[int, ...]) -> None:
    found = layout(hChannels__channelSave=save)
    assert (found.channel_names, found.channel_numbers) == (names, numbers)


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ("{'Only'}", "Only"),
        ("'Only'", "Only"),
        ("{'Only';'b'}", "Only"),
        ("{'' 'b'}", "Channel 1"),
        (None, "Channel 1"),
    ],
)
def test_channel_name(available: str | None, expected: str) -> None:
    assert layout(hChannels__channelSave="1", hChannels__channelName=available).channel_names == (expected,)


def test_active_channels_stand_in_for_saved_ones() -> None:
    assert layout(hChannels__channelsActive="[2;3]").channel_numbers == (1, 2)
    stand_in = layout(hChannels__channelSave=None, hChannels__channelsActive="[2;3]")
    assert (stand_in.channel_numbers, stand_in.missing_keys) == ((2, 3), ("SI.hChannels.channelSave",))
    assert layout(hChannels__channelSave="[]", hChannels__channelsActive="2").channel_numbers == (2,)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hStackManager__zs": "[0;10;20]"}, (0.0, 10.0, 20.0)),
        ({"hStackManager__zs": "[0 0 10 10 20 20]"}, (0.0, 10.0, 20.0)),
        ({"hStackManager__zs": "[0 10 20 30]"}, ()),
        ({"hStackManager__zs": "[0 1 10 11 20 21]"}, ()),
        ({"hStackManager__zs": "[0 10 Inf]"}, ()),
        ({"hStackManager__zs": None}, ()),
        ({"hStackManager__zs": None, "hStackManager__zsAllActuators": "[1 -1;2 -2;3 -3]"}, (1.0, 2.0, 3.0)),
        ({"hStackManager__zs": "[]", "hStackManager__arbitraryZs": "[-10 -10;0 0;10 10]"}, (-10.0, 0.0, 10.0)),
        ({"hStackManager__zs": "[0 1]", "hStackManager__arbitraryZs": "[4;5;6]"}, (4.0, 5.0, 6.0)),
        (
            {
                "hStackManager__zs": None,
                "hStackManager__arbitraryZs": "[4;5;6]",
                "hStackManager__stackDefinition": "'uniform'",
            },
            (),
        ),
    ],
)
def test_plane_depths(changes: dict[str, str | None], expected: tuple[float, ...]) -> None:
    assert layout(**changes).z_um == expected


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("hStackManager.framesPerSlice", "garbage", "number"),
        ("hStackManager.framesPerSlice", "-2", "whole number >= 1"),
        ("hStackManager.framesPerSlice", "2.5", "whole number >= 1"),
        ("hStackManager.framesPerSlice", "NaN", "number"),
        ("hStackManager.framesPerSlice", "[1 2]", "one number"),
        ("hStackManager.actualNumSlices", "'three'", "number"),
        ("hStackManager.actualNumSlices", "Inf", "whole number"),
        ("hStackManager.actualNumSlices", "1e300", "whole number"),
        ("hStackManager.actualNumSlices", "9" * 299, "number"),
        ("hStackManager.enable", "maybe", "number"),
        ("hStackManager.numFramesPerVolumeWithFlyback", "2", "at least numFramesPerVolume = 3"),
        ("hScan2D.logAverageFactor", "0", "whole number >= 1"),
        ("hScan2D.logAverageFactor", "1.5", "whole number >= 1"),
        ("hChannels.channelSave", "[0 1]", "channel numbers from 1"),
        ("hChannels.channelSave", "[1.5 2]", "channel numbers from 1"),
        ("hChannels.channelSave", "{'a'}", "numbers"),
        ("hRoiManager.scanFrameRate", "fast", "number"),
        ("hRoiManager.linePeriod", "{}}", "number"),
    ],
)
def test_values_that_make_no_sense(key: str, value: str, wanted: str) -> None:
    with pytest.raises(HeaderFieldError) as caught:
        layout(**{key.replace(".", "__"): value})
    message = str(caught.value)
    assert message.startswith(f"mouse_00001.tif: SI.{key} = ")
    assert value[:40].strip("'") in message
    assert wanted in message
    assert len(message) < 300


@pytest.mark.parametrize("value", ["NaN", "Inf", "0", "-1", "[]", ""])
def test_useless_rates_are_unknown(value: str) -> None:
    found = layout(hRoiManager__scanFrameRate=value, hRoiManager__scanVolumeRate=value, hRoiManager__linePeriod=value)
    assert (found.frame_rate_hz, found.volume_rate_hz, found.line_period_s) == (None, None, None)


def si5(generation: str = "SI5", **values: object) -> AcquisitionLayout:
    """Return the layout of a 4.x or 5.0 header."""
    lines = [f"scanimage.{generation}.{key} = {value}" for key, value in values.items()]
    return parse_layout(ScanImageHeader.from_text("\n".join(["Frame Number = 1", *lines]), source="old.tif"))


@pytest.mark.parametrize("generation", ["SI4", "SI5"])
def test_version_4_and_5(generation: str) -> None:
    common = {"generation": generation, "channelsSave": "[1;3]", "acqNumAveragedFrames": 2, "scanFramePeriod": 0.05}
    fast = si5(
        **common,
        fastZEnable="true",
        stackNumSlices=5,
        fastZNumDiscardFrames=2,
        fastZDiscardFlybackFrames="true",
        acqNumFrames=1,
    )
    assert (fast.channel_numbers, fast.channel_names) == ((1, 3), ("Channel 1", "Channel 3"))
    assert (fast.n_planes, fast.frames_per_slice, fast.n_flyback, fast.averaging) == (5, 1, 1, 2)
    assert (fast.slow_stack, fast.stack_enabled, fast.planes_separable) == (False, True, False)
    assert fast.frame_rate_hz == pytest.approx(10)
    kept = si5(**common, fastZEnable=1, stackNumSlices=5, fastZNumDiscardFrames=2, fastZDiscardFlybackFrames="false")
    assert kept.n_flyback == 0
    slow = si5(**common, fastZEnable="false", stackNumSlices=5, acqNumFrames=10, fastZNumDiscardFrames=2)
    assert (slow.n_planes, slow.frames_per_slice, slow.n_flyback) == (5, 5, 0)
    assert (slow.slow_stack, slow.planes_separable) == (True, True)


def test_version_3_8_stack() -> None:
    text = "\r".join(
        [
            "state.software.version=3.8",
            "state.acq.savingChannel1=0",
            "state.acq.savingChannel2=1",
            "state.acq.savingChannel3=1",
            "state.acq.numberOfZSlices=30",
            "state.acq.numberOfFrames=8",
            "state.acq.numAvgFramesSave=4",
            "state.acq.frameRate=2",
            "state.acq.msPerLine=2",
        ]
    )
    found = parse_layout(ScanImageHeader.from_text(text, source="old.tif"))
    assert found == AcquisitionLayout(
        ("Channel 2", "Channel 3"), (2, 3), 30, 2, 0, 4, True, True, 0.5, None, True, (), 0.002, ()
    )


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(FAST)),
    st.text(alphabet="[]{};,' 0123456789.-eInfNatrueabc")
    | st.sampled_from(["Inf", "NaN", "-1", "0", "1e308", "[]", "true", "'a'", "[1;2]", "{1 2}", "9" * 400]),
)
def test_any_value_gives_a_layout_or_a_format_error(key: str, value: str) -> None:
    header = make(**{key.removeprefix("SI.").replace(".", "__"): value})
    try:
        found = parse_layout(header)
    except FormatError as error:
        assert str(error).startswith("mouse_00001.tif: ")  # noqa: PT017
        return
    assert found.n_planes >= 1
    assert found.frames_per_slice >= 1
    assert found.n_flyback >= 0
    assert found.averaging >= 1
    assert len(found.z_um) in (0, found.n_planes)


# ------------------------------------------------------------------------------------------------------------- space


def scanfield(rows: int = 256, **changes: object) -> dict[str, object]:
    """Return a scanfield as the ROI JSON has it."""
    field = {"name": "", "centerXY": [1, 2], "sizeXY": [4, 2], "rotationDegrees": 0, "enable": 1}
    return field | {"pixelResolutionXY": [256, rows]} | changes


def group(*scanfields: object) -> dict[str, object]:
    """Return ROI JSON with one ROI for each scanfield."""
    rois = [{"name": f"ROI {i}", "zs": 5, "enable": 1, "scanfields": field} for i, field in enumerate(scanfields)]
    return {"RoiGroups": {"imagingRoiGroup": {"rois": rois}}}


MROI = {"objectiveResolution": "100", "hScan2D__flytoTimePerScanfield": "0.001", "hRoiManager__linePeriod": "6.31e-05"}


@pytest.mark.parametrize(
    ("name", "page_shape", "size_um"),
    [
        ("SI2023.0_gin_noroi", (256, 256), 4302.22),  # imagingFovUm +-2151.11
        ("SI2021.0_gin_vol1ch", (20, 20), 16.875),  # imagingFovUm +-8.4375
        ("SI2021.0_gin_noflyback", (20, 20), 16.875),
    ],
)
def test_degrees_become_microns(data_dir: Path, name: str, page_shape: tuple[int, int], size_um: float) -> None:
    header = real(data_dir, name)
    by_roi = parse_field_of_view(header, page_shape=page_shape)
    by_corners = parse_field_of_view(ScanImageHeader.from_text(header.text, source=name), page_shape=page_shape)
    for field in (by_roi, by_corners):
        assert field is not None
        assert field.size_um == pytest.approx((size_um, size_um), rel=1e-5)
        assert field.center_um == (0, 0)
        assert field.pixel_size_um == pytest.approx((size_um / page_shape[1], size_um / page_shape[0]), rel=1e-5)
        assert field.rotation_deg == 0


def test_pixel_size_is_that_of_the_page_not_of_the_claim() -> None:
    header = make(group(scanfield(512)), objectiveResolution="15")
    assert parse_field_of_view(header, page_shape=(30, 60)) == FieldOfView((60.0, 30.0), (15.0, 30.0), (1.0, 1.0), 0.0)


def test_field_of_view_of_degrees_alone() -> None:
    header = make(objectiveResolution="2", hRoiManager__imagingFovDeg="[0 0;3 4;-1 7;-4 3]")
    field = parse_field_of_view(header, page_shape=(10, 10))
    assert field is not None
    assert field.size_um == pytest.approx((10, 10))
    assert field.center_um == pytest.approx((-1, 7))
    assert field.rotation_deg == pytest.approx(53.1301, abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hRoiManager__imagingFovDeg": "[-9 -9;9 -9;9 9;-9 9]"},
        {"hRoiManager__imagingFovDeg": "[-9 -9;9 -9;9 9;-9 9]", "objectiveResolution": "NaN"},
        {"hRoiManager__imagingFovUm": "[]"},
        {"hRoiManager__imagingFovUm": "[NaN -9;9 -9;9 9;-9 9]"},
    ],
)
def test_unknown_field_of_view(changes: dict[str, str]) -> None:
    assert parse_field_of_view(make(**changes), page_shape=(512, 512)) is None


@pytest.mark.parametrize("corners", ["garbage", "[1 2 3 4]", "[1 2;3 4]", "[1 2 3;1 2 3;1 2 3;1 2 3]", "7"])
def test_malformed_corners(corners: str) -> None:
    with pytest.raises(HeaderFieldError, match=r"mouse_00001\.tif: SI\.hRoiManager\.imagingFovUm"):
        parse_field_of_view(make(hRoiManager__imagingFovUm=corners), page_shape=(512, 512))


def test_real_mroi_of_eight(data_dir: Path) -> None:
    header = real(data_dir, "SI2020.1.2_ibl_mroi8")
    assert parse_field_of_view(header, page_shape=(4614, 512)) is None
    found = parse_scanfields(header, page_shape=(4614, 512))
    assert [field.rows for field in found] == [(586 * i, 586 * i + 512) for i in range(8)]  # 586 = 512 + 74
    assert found[-1].rows[1] == 4614
    assert [field.name for field in found] == ["ROI 8", "ROI 7", "ROI 4", "ROI 2", "ROI 5", "ROI 1", "ROI 3", "ROI 3"]
    assert found[0].size_um == pytest.approx((699.975, 699.975))  # 4.6665 degrees at 150 um
    assert found[0].center_um == pytest.approx((-1591.1, -84.8), abs=0.01)
    assert {field.z for field in found} == {120.0}
    assert {field.pixel_resolution_xy for field in found} == {(512, 512)}


def test_real_mroi_of_two(data_dir: Path) -> None:
    roi_text = (data_dir / "headers" / "SI2023.0_gin_20220923_roi_mroi2_RoiGroups.json").read_text()
    found = parse_scanfields(make(roi_text, **MROI), page_shape=(528, 256))
    assert [field.rows for field in found] == [(0, 256), (272, 528)]
    assert [field.name for field in found] == ["ROI 1", "ROI 2"]
    assert found[1].size_um == pytest.approx((361.6638935, 375.9400998))


def test_real_single_scanfield_takes_the_page(data_dir: Path) -> None:
    found = parse_scanfields(real(data_dir, "SI2021.0_gin_vol1ch"), page_shape=(512, 512))
    assert found == (
        Scanfield("Default Imaging Scanfield", (0, 512), (16.875, 16.875), (0.0, 0.0), (20, 20), 0.0, 0.0),
    )


@pytest.mark.parametrize(
    ("fly_s", "line_s", "gap"),
    [
        ("0.002", "4.162192309933489e-05", 50),  # a real rig: 48.05 lines become 50
        ("0.001", "4.162192309933489e-05", 26),
        ("0.004", "4.162192309933489e-05", 98),
        ("0.001", "0.0001", 10),
        ("0.0035", "7e-05", 50),  # 50.00000000000001 in floating point
        ("0.0003", "0.0001", 4),
        ("0", "0.0001", 0),
    ],
)
def test_gap_is_rounded_up_to_even(fly_s: str, line_s: str, gap: int) -> None:
    header = make(
        group(scanfield(200), scanfield(100), scanfield(200)),
        hScan2D__flytoTimePerScanfield=fly_s,
        hRoiManager__linePeriod=line_s,
        hScan2D__scanMode="'resonant'",
    )
    found = parse_scanfields(header, page_shape=(500 + 2 * gap, 256))
    assert [field.rows for field in found] == [(0, 200), (200 + gap, 300 + gap), (300 + 2 * gap, 500 + 2 * gap)]
    assert {field.size_um for field in found} == {None}  # no objectiveResolution


def test_no_gap_without_a_resonant_scanner() -> None:
    header = make(group(scanfield(), scanfield()), **MROI, hScan2D__scanMode="'linear'")
    assert [field.rows for field in parse_scanfields(header, page_shape=(512, 256))] == [(0, 256), (256, 512)]


def test_gap_of_the_page_is_believed() -> None:
    header = make(group(scanfield(), scanfield()), **MROI)
    with pytest.warns(ScanImageNwbWarning, match=r"mouse_00001\.tif.* 16 rows.* 530 rows leaves 18") as caught:
        found = parse_scanfields(header, page_shape=(530, 256))
    assert [field.rows for field in found] == [(0, 256), (274, 530)]
    assert len(caught) == 1


def test_gap_comes_from_the_page_where_the_header_is_silent() -> None:
    header = make(group(scanfield(), scanfield()), hRoiManager__linePeriod=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [field.rows for field in parse_scanfields(header, page_shape=(515, 256))] == [(0, 256), (259, 515)]


@pytest.mark.parametrize("rows", [511, 100, 256])
def test_scanfields_that_do_not_fit(rows: int) -> None:
    header = make(group(scanfield(), scanfield()), **MROI)
    with pytest.raises(FormatError, match=rf"mouse_00001\.tif.*256.*{rows} rows.*16"):
        parse_scanfields(header, page_shape=(rows, 256))


def test_gap_must_be_whole() -> None:
    header = make(group(scanfield(), scanfield(), scanfield()), **MROI)
    with pytest.raises(FormatError, match="801 rows"):
        parse_scanfields(header, page_shape=(801, 256))


def test_disabled_scanfields_and_rois_are_not_on_the_page() -> None:
    groups = group(scanfield(), scanfield(enable=0), scanfield(100))
    rois = groups["RoiGroups"]["imagingRoiGroup"]["rois"]  # type: ignore[index]
    rois.append({"name": "off", "enable": 0, "scanfields": scanfield()})
    rois.append({"name": "none", "enable": 1, "scanfields": {"_ArrayType_": "double", "_ArrayData_": None}})
    found = parse_scanfields(make(groups, **MROI), page_shape=(372, 256))
    assert [(field.name, field.rows) for field in found] == [("ROI 0", (0, 256)), ("ROI 2", (272, 372))]


def test_one_roi_with_a_scanfield_for_each_plane() -> None:
    fields = [scanfield(), scanfield()]
    roi = {"name": "tower", "zs": [0, 20], "enable": 1, "scanfields": fields}
    groups = {"RoiGroups": {"imagingRoiGroup": {"rois": roi}}}
    (found,) = parse_scanfields(make(groups, **MROI), page_shape=(256, 256))
    assert (found.name, found.rows, found.z) == ("tower", (0, 256), None)
    field = parse_field_of_view(make(groups, **MROI), page_shape=(256, 256))
    assert field is not None
    assert field.size_um == (400.0, 200.0)
    fields[1] = scanfield(sizeXY=[4, 3])
    assert parse_field_of_view(make(groups, **MROI), page_shape=(256, 256)) is None


def test_empty_imaging_group() -> None:
    groups = {"RoiGroups": {"imagingRoiGroup": {"rois": {"_ArrayType_": "double", "_ArraySize_": [1, 0]}}}}
    assert parse_scanfields(make(groups), page_shape=(512, 512)) == ()
    assert parse_scanfields(make({"RoiGroups": {"imagingRoiGroup": None}}), page_shape=(512, 512)) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"sizeXY": None},
        {"sizeXY": [1]},
        {"sizeXY": [1, "x"]},
        {"centerXY": [math.nan, 0]},
        {"centerXY": [10**400, 0]},
        {"rotationDegrees": "left"},
        {"pixelResolutionXY": [256, 0]},
        {"pixelResolutionXY": [256, 2.5]},
    ],
)
def test_malformed_scanfields(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError, match=r"mouse_00001\.tif.*ROI JSON"):
        parse_scanfields(make(group(scanfield(**changes)), **MROI), page_shape=(256, 256))


# -------------------------------------------------------------------------------------------------------- page texts


@pytest.mark.parametrize(
    ("name", "trigger", "epoch"),
    [
        ("SI2020.1.2_ibl_mroi8_ImageDescription0", -0.000010335, (2025, 1, 28, 10, 49, 53.448)),
        ("SI2021.0_gin_noflyback_ImageDescription", -0.000078460, (2025, 4, 30, 14, 51, 53.601)),
        ("SI2023.0_gin_noroi_ImageDescription", -0.000019700, (2023, 9, 22, 12, 46, 9.383)),
    ],
)
def test_real_page_texts(data_dir: Path, name: str, trigger: float, epoch: tuple[float, ...]) -> None:
    text = (data_dir / "headers" / f"{name}.txt").read_text()
    assert parse_page_text(text) == PageText(
        frame_number=1,
        acquisition_number=1,
        frame_number_acquisition=1,
        timestamp_s=0.0,
        acq_trigger_timestamp_s=trigger,
        next_file_marker_timestamp_s=-1.0,
        end_of_acquisition=False,
        end_of_acquisition_mode=0,
        dc_over_voltage=False,
        epoch=epoch,
    )


def test_real_page_text_of_version_5(data_dir: Path) -> None:
    text = (data_dir / "headers" / "SI5.0_ImageDescription_dump.txt").read_text()
    assert parse_page_text(text) == PageText(
        frame_number=5,
        timestamp_s=0.133179812,
        acq_trigger_timestamp_s=-0.0000833,
        next_file_marker_timestamp_s=230584300921.36932,
        dc_over_voltage=False,
    )


def test_page_text_of_3_8_says_nothing() -> None:
    assert parse_page_text("state.acq.frameRate=2\rstate.configName='x'\r") == PageText()
    assert parse_page_text("") == PageText()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{12.807774195, [1,0,1,0,83,2]} }", ((12.807774195, bytes([1, 0, 1, 0, 83, 2])),)),
        ("{{1, 'on'} {2.5, 'it''s'} {3, [255]}}", ((1.0, "on"), (2.5, "it's"), (3.0, b"\xff"))),
        ("{{1, 7} {2, []}}", ((1.0, b"\x07"), (2.0, b""))),
        ("{}", ()),
    ],
)
def test_i2c(text: str, expected: object) -> None:
    assert parse_page_text(f"frameNumbers = 2\nI2CData = {text}\n").i2c_data == expected


@pytest.mark.parametrize("text", ["{{1, [256]} }", "{{1} }", "{{1, 'a'} {2", "noise", "{{'a', 'b'}}", "{{1, [-1]} }"])
def test_i2c_that_cannot_be_read_is_kept_as_text(text: str) -> None:
    ((time_s, content),) = parse_page_text(f"I2CData = {text} \n").i2c_data
    assert math.isnan(time_s)
    assert content == text


def test_triggers() -> None:
    page = parse_page_text("auxTrigger0 = [0.5 0.75]\nauxTrigger2 = 3\nauxTrigger3 = [1;2]\nauxTrigger1 = []")
    assert page.aux_triggers == ((0.5, 0.75), (), (3.0,), (1.0, 2.0))


def test_appended_text_changes_nothing() -> None:
    text = (
        "frameNumbers = 7\nframeTimestamps_sec = 0.5\nepoch = 1716838380668523801\nauxTrigger0 = []\n"
        "Appended text = cheat\nframeNumbers = 99\nepoch = [2001 1 1 0 0 0]\nauxTrigger0 = [1]\nText timestamp = 3"
    )
    page = parse_page_text(text)
    assert (page.frame_number, page.epoch_ns, page.epoch) == (7, 1716838380668523801, None)
    assert page.aux_triggers == ((), (), (), ())


def test_padded_page_text() -> None:
    page = parse_page_text(
        "  frameNumbers = 70000   \r\nendOfAcquisition = 1\nendOfAcquisitionMode = 2 \0\0" + " " * 900
    )
    assert (page.frame_number, page.end_of_acquisition, page.end_of_acquisition_mode) == (70000, True, 2)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("frameNumbers = garbage", "whole number"),
        ("frameNumbers = 1.5", "whole number"),
        ("frameNumbers = Inf", "whole number"),
        ("frameTimestamps_sec = [1 2]", "a number"),
        ("Frame Timestamp(s) = later", "a number"),
        ("auxTrigger1 = [0.5 x]", "a number"),
        ("epoch = [2023 9 22]", "year month day"),
        ("epoch = [2023 9 22 12 51 x]", "a number"),
        ("epoch = 1.7e18", "whole nanoseconds"),
    ],
)
def test_malformed_page_text(line: str, wanted: str) -> None:
    key = line.split(" =", maxsplit=1)[0]
    with pytest.raises(HeaderFieldError, match=wanted) as caught:
        parse_page_text(f"acquisitionNumbers = 1\n{line}\n", source="a.tif, page 3")
    assert str(caught.value).startswith(f"a.tif, page 3: {key} = ")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["frameNumbers", "frameTimestamps_sec", "endOfAcquisition", "epoch", "auxTrigger0", "I2CData"]),
    st.text(alphabet="[]{};,' 0123456789.-eInfNa\r\n")
    | st.sampled_from(["9" * 400, "[" + "9" * 299 + "]", "{{1e400, 'a'} }"]),
)
def test_any_page_text_gives_a_page_or_a_format_error(key: str, value: str) -> None:
    try:
        page = parse_page_text(f"{key} = {value}")
        if page.epoch is not None:
            assert isinstance(epoch_to_datetime(page.epoch), datetime)
    except FormatError:
        return
    assert len(page.aux_triggers) == 4


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        ((2023, 9, 22, 12, 51, 34.124), datetime(2023, 9, 22, 12, 51, 34, 124000)),
        ((2023, 12, 31, 23, 59, 59.9999999), datetime(2024, 1, 1)),
        ((2023, 9, 22, 12, 51, 60), datetime(2023, 9, 22, 12, 52)),
        ((2024, 2, 29, 0, 0, 0.0000004), datetime(2024, 2, 29)),
    ],
)
def test_epoch_to_datetime(epoch: tuple[float, ...], expected: datetime) -> None:
    assert epoch_to_datetime(epoch) == expected
    assert epoch_to_datetime(epoch).tzinfo is None


@pytest.mark.parametrize(
    "epoch",
    [(2023, 13, 1, 0, 0, 0), (2023, 9), (2023, 9, 22, 12, 51, math.nan), (2023, 9, 22, 12, 51, math.inf), (9**99,) * 6],
)
def test_epoch_that_is_no_date(epoch: tuple[float, ...]) -> None:
    with pytest.raises(FormatError, match="epoch"):
        epoch_to_datetime(epoch)
