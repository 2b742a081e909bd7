"""Masks and traces of other programs: real output, output made to their layout, and damage."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import roifile
import tifffile

from scanimage_nwb.errors import FormatError, RoiError
from scanimage_nwb.roi_traces import read_segmentations

SHAPE = (20, 30)


def write_plane(folder: Path, masks: list[tuple[np.ndarray, np.ndarray]], n_frames: int = 12, **ops: Any) -> None:
    """Write a folder as suite2p lays it out; masks are (pixels, weights)."""
    folder.mkdir(parents=True)
    stat = np.empty(len(masks), dtype=object)
    for i, (pixels, weights) in enumerate(masks):
        stat[i] = {"ypix": pixels[:, 0], "xpix": pixels[:, 1], "lam": weights, "npix": len(pixels), "med": [0, 0]}
        if "iplane" in ops:
            stat[i]["iplane"] = ops["iplane"][i]
    np.save(folder / "stat.npy", stat, allow_pickle=True)
    rng = np.random.default_rng(len(masks))
    for name in ("F", "Fneu", "spks"):
        np.save(folder / f"{name}.npy", rng.random((len(masks), n_frames)).astype("f4"))
    np.save(folder / "iscell.npy", np.column_stack([np.arange(len(masks)) % 2, np.linspace(0, 1, len(masks))]))
    known = {"Ly": SHAPE[0], "Lx": SHAPE[1], "nframes": n_frames, "fs": 7.5, "yoff": np.zeros(n_frames)}
    np.save(
        folder / "ops.npy", {**known, **{key: own for key, own in ops.items() if key != "iplane"}}, allow_pickle=True
    )


def square(row: int, column: int, size: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and weights of a square."""
    pixels = np.argwhere(np.ones((size, size))) + np.array([row, column])
    return pixels, np.linspace(0.5, 1, len(pixels)).astype("f4")


def test_real_suite2p(data_dir: Path) -> None:
    with pytest.warns(UserWarning, match="not taken over: med of stat.npy") as caught:
        planes = read_segmentations(data_dir / "suite2p")
    assert len(caught) == 1
    assert [own.plane for own in planes] == [0, 1]
    assert [own.sampling_rate_hz for own in planes] == [10.0, 10.0]
    for own in planes:
        folder = data_dir / "suite2p" / f"plane{own.plane}"
        stat = np.load(folder / "stat.npy", allow_pickle=True)
        masks = own.rois.to_masks()
        expected = np.zeros_like(masks)
        for i, found in enumerate(stat):
            expected[i, 0, found["ypix"], found["xpix"]] = found["lam"]
        np.testing.assert_array_equal(masks, expected)
        for kind, name in (("raw", "F"), ("neuropil", "Fneu"), ("deconvolved", "spks"), ("raw_channel2", "F_chan2")):
            np.testing.assert_array_equal(own.traces[kind].T, np.load(folder / f"{name}.npy"))
        iscell = np.load(folder / "iscell.npy")
        np.testing.assert_array_equal(own.rois.properties["accepted"], iscell[:, 0] == 1)
        np.testing.assert_array_equal(own.rois.properties["cell_probability"], iscell[:, 1])
        assert own.images["mean"].shape == (1, 128, 128)


def test_real_caiman(data_dir: Path) -> None:
    from scipy.sparse import csc_matrix

    path = data_dir / "caiman" / "caiman_analysis.hdf5"
    with pytest.warns(UserWarning, match=r"estimates/b, estimates/f"):
        (found,) = read_segmentations(path)
    with h5py.File(path) as file:
        group = file["estimates/A"]
        dense = csc_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), group["shape"][:]).toarray()
        c, residual, s, dff = (file[f"estimates/{name}"][:] for name in ("C", "YrA", "S", "F_dff"))
    np.testing.assert_array_equal(found.rois.to_masks()[:, 0], dense.T.reshape(72, 128, 128).transpose(0, 2, 1))
    np.testing.assert_array_equal(found.traces["raw"], (c + residual).T)
    np.testing.assert_array_equal(found.traces["denoised"], c.T)
    np.testing.assert_array_equal(found.traces["deconvolved"], s.T)
    np.testing.assert_array_equal(found.traces["dff"], dff.T)
    assert found.sampling_rate_hz == 30.0


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
@pytest.mark.parametrize("n_planes", [1, 2, 3, 5])
def test_combined_planes_are_taken_apart(tmp_path: Path, n_planes: int) -> None:
    n_columns = min(n_planes, int(np.ceil(np.sqrt(SHAPE[0] * SHAPE[1] * n_planes) / SHAPE[1])))  # as suite2p does
    corners = [(plane // n_columns * SHAPE[0], plane % n_columns * SHAPE[1]) for plane in range(n_planes)]
    n_rows = int(np.ceil(n_planes / n_columns))
    masks, iplane = [], []
    for plane in range(n_planes):
        own = [square(2, 3 + plane), square(10, 27), square(17, 0)]
        write_plane(tmp_path / "suite2p" / f"plane{plane}", own, nplanes=n_planes)
        masks += [(pixels + corners[plane], weights) for pixels, weights in own]
        iplane += [plane] * 3
    montage = {"Ly": n_rows * SHAPE[0], "Lx": n_columns * SHAPE[1]}
    image = np.arange(montage["Ly"] * montage["Lx"]).reshape(montage["Ly"], montage["Lx"])
    write_plane(tmp_path / "suite2p" / "combined", masks, nplanes=n_planes, iplane=iplane, meanImg=image, **montage)
    combined = read_segmentations(tmp_path / "suite2p" / "combined")
    planes = read_segmentations(tmp_path)
    assert [own.plane for own in combined] == [own.plane for own in planes] == list(range(n_planes))
    raw = np.load(tmp_path / "suite2p" / "combined" / "F.npy")
    for own, expected, (row, column) in zip(combined, planes, corners, strict=True):
        np.testing.assert_array_equal(own.rois.to_masks(), expected.rois.to_masks())
        cut = slice(3 * own.plane, 3 * own.plane + 3)
        np.testing.assert_array_equal(own.traces["raw"], raw[cut].T)
        assert own.rois.ids == tuple(range(cut.start, cut.stop))
        np.testing.assert_array_equal(own.images["mean"][0], image[row : row + SHAPE[0], column : column + SHAPE[1]])


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: (f / "stat.npy").unlink(), FileNotFoundError, r"plane0 lacks stat\.npy"),
        (lambda f: (f / "F.npy").unlink(), FileNotFoundError, r"plane0 lacks F\.npy"),
        (lambda f: np.save(f / "Fneu.npy", np.zeros((5, 12))), RoiError, r"Fneu\.npy has shape \(5, 12\).* 2 masks"),
        (lambda f: np.save(f / "spks.npy", np.zeros((2, 9))), RoiError, "deconvolved traces have 9 samples"),
        (lambda f: np.save(f / "F.npy", np.zeros((2, 9))), RoiError, "speaks of 12 frames, and F.npy of 9"),
        (lambda f: np.save(f / "iscell.npy", np.zeros((2, 1))), RoiError, r"iscell\.npy has shape \(2, 1\)"),
        (lambda f: np.save(f / "stat.npy", np.zeros(2)), FormatError, "no list of masks"),
        (lambda f: np.save(f / "ops.npy", np.array([{"Ly": 2}])), FormatError, "ndarray; expected a dictionary"),
        (lambda f: np.save(f / "ops.npy", np.array({"Lx": 2}, object)), FormatError, "lacks Ly and Lx"),
        (lambda f: (f / "ops.npy").write_bytes(b"\x93NUMPY"), FormatError, "cut short"),
        (
            lambda f: np.save(f / "ops.npy", np.array({"Ly": 5, "Lx": 30}, object)),
            RoiError,
            r"stat\.npy: mask 1 has a pixel at plane 0, row 10.*another recording",
        ),
    ],
)
def test_damaged_suite2p(tmp_path: Path, damage: Any, error: type[Exception], message: str) -> None:
    folder = tmp_path / "plane0"
    write_plane(folder, [square(0, 0), square(10, 10)])
    damage(folder)
    with pytest.raises(error, match=message):
        read_segmentations(folder)


def test_a_cell_is_what_a_person_said_whatever_its_probability(tmp_path: Path) -> None:
    folder = tmp_path / "plane0"
    write_plane(folder, [square(0, 0), square(10, 10)])
    np.save(folder / "iscell.npy", [[1, 0.2], [0, 0.9]])
    np.save(folder / "redcell.npy", [[0, 0.8], [1, 0.1]])
    with pytest.warns(UserWarning, match="not taken over: med"):
        properties = read_segmentations(folder)[0].rois.properties
    assert properties["accepted"].tolist() == [True, False]
    assert properties["cell_probability"].tolist() == [0.2, 0.9]
    assert properties["is_red"].tolist() == [False, True]
    assert properties["red_probability"].tolist() == [0.8, 0.1]


@pytest.mark.parametrize("name", ["", "suite2p"])
def test_a_folder_that_is_not_of_suite2p(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(exist_ok=True)
    with pytest.raises(FileNotFoundError, match="expected suite2p"):
        read_segmentations(tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda file: file.__delitem__("estimates/A"), FormatError, "no estimates/A"),
        (lambda file: file.__delitem__("estimates/A/data"), FormatError, "expected data, indices"),
        (lambda file: file["dims"].write_direct(np.array([128, 127], np.int32)), FormatError, r"field of \(128, 127\)"),
        (
            lambda file: file["estimates/A/indices"].__setitem__(7, 99_999),
            FormatError,
            "weight at pixel 99999, of 16384",
        ),
        (lambda file: file["estimates/A/indices"].__setitem__(7, -1), FormatError, "weight at pixel"),
        (lambda file: file["estimates/A/indptr"].__setitem__(3, 1), FormatError, "73 starts"),
        (lambda file: file["estimates/A/data"].__setitem__(3, np.nan), RoiError, "mask 0 has a weight of nan"),
    ],
)
def test_damaged_caiman(data_dir: Path, tmp_path: Path, change: Any, error: type[Exception], message: str) -> None:
    path = tmp_path / "caiman.hdf5"
    shutil.copy(data_dir / "caiman" / "caiman_analysis.hdf5", path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(error, match=message):
        read_segmentations(path)


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
def test_accepted_components_of_caiman(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "caiman.hdf5"
    shutil.copy(data_dir / "caiman" / "caiman_analysis.hdf5", path)
    with h5py.File(path, "r+") as file:
        del file["estimates/idx_components"], file["estimates/SNR_comp"]
        file["estimates/idx_components"] = np.array([3, 70])
        file["estimates/SNR_comp"] = np.arange(72.0)
    (found,) = read_segmentations(path)
    assert np.flatnonzero(found.rois.properties["accepted"]).tolist() == [3, 70]
    np.testing.assert_array_equal(found.rois.properties["snr"], np.arange(72))


def test_label_images_and_stacks(tmp_path: Path) -> None:
    labels = np.zeros((2, 5, 6), np.uint16)
    labels[0, :2, :2], labels[1, 3:, 3:] = 4, 9
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="minisblack")
    np.save(tmp_path / "b.npy", labels)
    for name in ("a.tif", "b.npy"):
        (found,) = read_segmentations(tmp_path / name)
        assert found.rois.ids == (4, 9)
        np.testing.assert_array_equal(found.rois.to_masks(), [labels == 4, labels == 9])
    masks = np.stack([labels[0] == 4, labels[1] == 9])
    np.save(tmp_path / "c.npy", masks)
    np.savez(tmp_path / "d.npz", masks)
    np.savez(tmp_path / "e.npz", masks=masks * 0.5, ids=["a", "b"], names=["soma", "dendrite"])
    for name in ("c.npy", "d.npz", "e.npz"):
        (found,) = read_segmentations(tmp_path / name)
        np.testing.assert_array_equal(found.rois.to_masks()[:, 0] > 0, masks)
    assert (found.rois.ids, found.rois.names) == (("a", "b"), ("soma", "dendrite"))
    np.savez(tmp_path / "f.npz", masks=masks, note=np.arange(3))
    with pytest.warns(UserWarning, match="not taken over: note"):
        read_segmentations(tmp_path / "f.npz")


def test_imagej_rois(tmp_path: Path) -> None:
    paths = tmp_path / "rois.zip"
    polygon = roifile.ImagejRoi.frompoints([(2, 1), (6, 1), (6, 4), (2, 4)], name="square")
    polygon.roitype, polygon.z_position = roifile.ROI_TYPE.POLYGON, 2
    oval = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.OVAL, top=5, left=10, bottom=15, right=20, name="disk", version=228, byteorder=">"
    )
    rectangle = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, top=0, left=20, bottom=2, right=25, name="box", version=228, byteorder=">"
    )
    line = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.LINE, x1=0, y1=0, x2=5, y2=5, name="ruler", version=228, byteorder=">"
    )
    roifile.roiwrite(paths, [polygon, oval, rectangle, line])
    with pytest.warns(UserWarning, match=r"not taken over: ruler \(line\)"):
        (found,) = read_segmentations(paths, shape=(3, *SHAPE))
    assert found.rois.names == ("square", "disk", "box")
    assert found.rois.plane.tolist() == [1, 0, 0]
    masks = found.rois.to_masks().any(axis=1)
    expected = np.zeros((3, *SHAPE), bool)
    expected[0, 1:4, 2:6] = True
    row, column = np.indices(SHAPE)
    expected[1] = (row + 0.5 - 10) ** 2 + (column + 0.5 - 15) ** 2 <= 25
    expected[2, 0:2, 20:25] = True
    np.testing.assert_array_equal(masks, expected)
    polygon.tofile(tmp_path / "one.roi")
    (alone,) = read_segmentations(tmp_path / "one.roi", shape=SHAPE)
    np.testing.assert_array_equal(alone.rois.to_masks()[0, 0], expected[0])
    triangle = roifile.ImagejRoi.frompoints([(0, 0), (5, 0), (0, 5)], name="triangle")
    triangle.roitype = roifile.ROI_TYPE.POLYGON
    triangle.tofile(tmp_path / "triangle.roi")
    (sloped,) = read_segmentations(tmp_path / "triangle.roi", shape=SHAPE)
    # pixels have their centres between whole numbers: on the slope lie those of row + column = 4
    np.testing.assert_array_equal(sloped.rois.to_masks()[0, 0], row + column < 4)
    with pytest.raises(RoiError, match="how large the field is"):
        read_segmentations(paths)


def test_polygons_as_json(tmp_path: Path) -> None:
    path = tmp_path / "rois.json"
    box = [[1.5, 0.5], [4.5, 0.5], [4.5, 2.5], [1.5, 2.5]]
    path.write_text(json.dumps({"rois": [{"id": "a", "name": "soma", "polygon": box, "plane": 1, "colour": "red"}]}))
    with pytest.warns(UserWarning, match="not taken over: colour"):
        (found,) = read_segmentations(path, shape=(2, *SHAPE))
    expected = np.zeros((2, *SHAPE), bool)
    expected[1, 1:3, 2:5] = True
    np.testing.assert_array_equal(found.rois.to_masks()[0], expected)
    assert (found.rois.ids, found.rois.names) == (("a",), ("soma",))


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.json", b"{", FormatError, "no JSON"),
        ("a.json", b'{"rois": 3}', FormatError, "expected a list"),
        ("a.json", b'[{"polygon": [1, 2]}]', FormatError, "no list of"),
        ("a.json", b'[{"polygon": [[1, 2], [3, 4]]}]', RoiError, "at least three"),
        ("a.json", b'[{"polygon": [[1, 2]], "id": 1.5}]', FormatError, "whole number or text"),
        ("a.json", b'[{"polygon": [[1,2],[5,2],[5,5]], "plane": 3}]', RoiError, "plane 3"),
        ("a.tif", b"no tiff", FormatError, "cannot be read as TIFF"),
        ("a.npz", b"PK", FormatError, r"no \.npz"),
        ("a.npy", b"x", FormatError, r"no \.npy"),
        ("a.roi", b"Iout", FormatError, "cannot be read as ImageJ"),
        ("a.h5", b"x", FormatError, "cannot be read as HDF5"),
        ("a.xyz", b"x", FormatError, "of no kind"),
        ("a.zip", b"x", FormatError, "of no kind"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, error: type[Exception], message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_segmentations(tmp_path / name, shape=SHAPE)
    assert name in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.tif is not there"):
        read_segmentations(tmp_path / "none.tif")
