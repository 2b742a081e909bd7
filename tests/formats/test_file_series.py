"""Which files beside a given one belong to its acquisition: by name, by running frame numbers, by epoch."""

import pytest

from scanimage_nwb.errors import FormatError
from scanimage_nwb.formats.file_series import file_epoch, find_file_series
from scanimage_nwb.formats.tiff_pages import read_page_table
from scanimage_nwb.testing import write_legacy_recording, write_scanimage_recording

LATER = (2025, 4, 24, 16, 50, 0.0)
EVEN_LATER = (2025, 4, 24, 17, 0, 0.0)


def names(series):
    return [path.name for path in series.paths]


@pytest.fixture
def grab(tmp_path):
    """One grab of 12 frames over 4 files."""
    return write_scanimage_recording(tmp_path, name="m_00001", n_volumes=12, pages_per_file=3).paths


def assert_whole(series, paths):
    assert series.paths == tuple(paths)
    assert series.missing_names == ()
    assert series.unreadable == ()


@pytest.mark.parametrize("which", range(4))
def test_grab_is_found_from_any_of_its_files(grab, which):
    assert_whole(find_file_series(grab[which]), grab)


def test_grab_with_more_files_than_its_digits_sort(tmp_path):
    paths = write_scanimage_recording(tmp_path, n_volumes=12, pages_per_file=1, first_file_number=99_995).paths
    assert [path.stem[-6:] for path in paths[4:6]] == ["_99999", "100000"]
    assert_whole(find_file_series(paths[7]), paths)


def test_single_file_without_number(tmp_path):
    paths = write_scanimage_recording(tmp_path, name="lone").paths
    assert_whole(find_file_series(paths[0]), paths)


def loop(folder, n_acquisitions=3, **options):
    """Write a loop: one file an acquisition, frame numbers and clock running on."""
    return [
        write_scanimage_recording(
            folder,
            name="m",
            n_volumes=4,
            numbered=True,
            first_file_number=k + 1,
            first_frame_number=4 * k + 1,
            first_acquisition=k + 1,
            start_time_s=10.0 * k,
            acq_state="loop",
            **options,
        ).paths[0]
        for k in range(n_acquisitions)
    ]


@pytest.mark.parametrize("which", range(3))
def test_loop_of_one_file_an_acquisition(tmp_path, which):
    paths = loop(tmp_path)
    assert names(find_file_series(paths[which])) == ["m_00001.tif", "m_00002.tif", "m_00003.tif"]
    assert_whole(find_file_series(paths[which]), paths)


def test_loop_split_into_files(tmp_path):
    paths = []
    for k in range(3):
        paths += write_scanimage_recording(
            tmp_path,
            name=f"m_{k + 1:05d}",
            n_volumes=4,
            pages_per_file=2,
            first_frame_number=4 * k + 1,
            first_acquisition=k + 1,
            start_time_s=10.0 * k,
            acq_state="loop",
        ).paths
    assert len(paths) == 6
    for path in paths:
        assert_whole(find_file_series(path), paths)


def test_next_file_marker_makes_files_of_any_length(tmp_path):
    paths, first = [], 1
    for k, n_frames in enumerate([5, 1, 7]):
        paths += write_scanimage_recording(
            tmp_path,
            name="m_00001",
            n_volumes=n_frames,
            numbered=True,
            first_file_number=k + 1,
            first_frame_number=first,
            start_time_s=(first - 1) / 30,
        ).paths
        first += n_frames
    for path in paths:
        assert_whole(find_file_series(path), paths)


def test_other_grabs_of_the_same_base_name_are_left_out(tmp_path):
    grabs = [
        write_scanimage_recording(
            tmp_path, name="m", n_volumes=5, numbered=True, first_file_number=k, epoch=epoch
        ).paths
        for k, epoch in [(1, None), (2, LATER), (3, EVEN_LATER)]
    ]
    for paths in grabs:
        assert_whole(find_file_series(paths[0]), paths)


def test_other_acquisitions_beside_a_split_grab_are_left_out(tmp_path, grab):
    other = write_scanimage_recording(tmp_path, name="m_00002", n_volumes=6, pages_per_file=2, epoch=LATER).paths
    single = write_scanimage_recording(tmp_path, name="m_00003", n_volumes=6, epoch=EVEN_LATER).paths
    write_scanimage_recording(tmp_path, name="n_00001", n_volumes=12, pages_per_file=3)
    write_scanimage_recording(tmp_path, name="m", n_volumes=12)
    (tmp_path / "m_00001_notes.txt").write_text("x")
    (tmp_path / "m_00001_00002.txt").write_text("x")
    (tmp_path / "m_00001_00009.dir").mkdir()
    assert_whole(find_file_series(grab[2]), grab)
    assert_whole(find_file_series(other[0]), other)
    assert_whole(find_file_series(single[0]), single)


def test_grab_later_the_same_day_whose_numbers_seem_to_run_on(tmp_path):
    """A grab of one frame beside one of many: frame 1 does not continue frame 1."""
    one = write_scanimage_recording(tmp_path, name="m", n_volumes=1, numbered=True, first_file_number=1).paths
    many = write_scanimage_recording(
        tmp_path, name="m", n_volumes=9, numbered=True, first_file_number=2, epoch=LATER
    ).paths
    assert_whole(find_file_series(one[0]), one)
    assert_whole(find_file_series(many[0]), many)


def test_frame_numbers_that_run_on_join_files_with_epochs_of_their_own(tmp_path):
    first = write_scanimage_recording(tmp_path, name="m", n_volumes=5, numbered=True).paths
    second = write_scanimage_recording(
        tmp_path, name="m", n_volumes=5, numbered=True, first_file_number=2, first_frame_number=6, epoch=LATER
    ).paths
    third = write_scanimage_recording(
        tmp_path, name="m", n_volumes=5, numbered=True, first_file_number=3, first_frame_number=17, epoch=EVEN_LATER
    ).paths
    assert_whole(find_file_series(second[0]), [*first, *second])
    assert_whole(find_file_series(third[0]), third)


def test_missing_file_is_named(grab):
    grab[1].unlink()
    series = find_file_series(grab[0])
    assert names(series) == ["m_00001_00001.tif", "m_00001_00003.tif", "m_00001_00004.tif"]
    assert series.missing_names == ("m_00001_00002.tif",)


def test_missing_first_file_still_finds_the_others(grab):
    grab[0].unlink()
    assert names(find_file_series(grab[3])) == ["m_00001_00002.tif", "m_00001_00003.tif", "m_00001_00004.tif"]


@pytest.mark.parametrize("content", [b"", b"II+\0", b"nonsense" * 100], ids=["empty", "cut", "nonsense"])
@pytest.mark.parametrize("which", [0, 1, 3], ids=["first", "middle", "last"])
def test_unreadable_file_among_several_is_stepped_over_and_named(grab, which, content):
    grab[which].write_bytes(content)
    series = find_file_series(grab[2])
    assert series.paths == tuple(path for i, path in enumerate(grab) if i != which)
    assert [path for path, _ in series.unreadable] == [grab[which]]
    assert grab[which].name in series.unreadable[0][1]


def test_unreadable_file_of_a_loop_is_named_if_files_behind_it_continue(tmp_path):
    paths = loop(tmp_path)
    paths[1].write_bytes(b"")
    series = find_file_series(paths[0])
    assert series.paths == (paths[0], paths[2])
    assert [path for path, _ in series.unreadable] == [paths[1]]


def test_unreadable_file_behind_a_lone_grab_is_not_ours(tmp_path):
    paths = write_scanimage_recording(tmp_path, name="m", numbered=True).paths
    (tmp_path / "m_00002.tif").write_bytes(b"")
    assert_whole(find_file_series(paths[0]), paths)


def test_processed_copy_in_the_place_of_a_file_does_not_hide_the_files_behind_it(grab):
    """Nothing is lost quietly: a file that another program saved over is named, the rest stays."""
    other = write_scanimage_recording(
        grab[1].parent / "other", name="m_00001", n_volumes=3, numbered=True, first_file_number=2, epoch=LATER
    ).paths[0]
    other.replace(grab[1])
    series = find_file_series(grab[0])
    assert series.paths == (grab[0], grab[2], grab[3])
    assert [path for path, _ in series.unreadable] == [grab[1]]
    assert "does not continue" in series.unreadable[0][1]


def test_the_named_file_itself_must_be_readable(grab, tmp_path):
    grab[0].write_bytes(b"")
    with pytest.raises(FormatError, match="m_00001_00001"):
        find_file_series(grab[0])
    with pytest.raises(FileNotFoundError, match="m_00001_00009"):
        find_file_series(tmp_path / "m_00001_00009.tif")


@pytest.mark.parametrize(
    "name",
    [
        "mouse [1] left_00001",
        "Maus é ü 日本_00001",
        "a b  c_00001",
        "x.y.z_00001",
        "m(1)+$^_00001",
        "m*?_00001",
        "_00001",
    ],
)
def test_names_with_brackets_spaces_accents(tmp_path, name):
    paths = write_scanimage_recording(tmp_path / "in [it] é", name=name, n_volumes=6, pages_per_file=2).paths
    assert_whole(find_file_series(paths[1]), paths)


def test_renamed_files(tmp_path, grab):
    renamed = [path.rename(tmp_path / f"Tuesday {word}.tif") for path, word in zip(grab, "abcd", strict=True)]
    for path in renamed:
        assert_whole(find_file_series(path), [path])


def test_renamed_with_the_numbers_kept(tmp_path, grab):
    renamed = [path.rename(tmp_path / path.name.replace("m_00001", "mouse 7_run")) for path in grab]
    assert_whole(find_file_series(renamed[2]), renamed)


def test_upper_case_suffix(tmp_path, grab):
    renamed = [path.rename(path.with_suffix(".TIF")) for path in grab]
    assert_whole(find_file_series(renamed[0]), renamed)


def test_files_without_page_text_are_joined_within_one_acquisition_number(tmp_path):
    ours = write_scanimage_recording(
        tmp_path, name="m_00001", n_volumes=6, pages_per_file=2, with_page_text=False
    ).paths
    write_scanimage_recording(tmp_path, name="m_00002", n_volumes=6, pages_per_file=2, with_page_text=False)
    assert_whole(find_file_series(ours[1]), ours)


def test_files_without_page_text_and_with_one_number_stand_alone(tmp_path):
    paths = [
        write_scanimage_recording(tmp_path, name="m", numbered=True, first_file_number=k, with_page_text=False).paths[0]
        for k in (1, 2)
    ]
    assert_whole(find_file_series(paths[0]), paths[:1])


def test_version_3_8_files_stand_alone(tmp_path):
    paths = [write_legacy_recording(tmp_path / f"m_{k:05d}.tif").paths[0] for k in (1, 2)]
    assert_whole(find_file_series(paths[1]), paths[1:])


def test_epoch_of_a_file(tmp_path):
    path = write_scanimage_recording(tmp_path, name="a").paths[0]
    assert file_epoch(read_page_table(path)).isoformat() == "2025-04-24T16:43:57.206000"
    path = write_scanimage_recording(tmp_path, name="b", epoch=None).paths[0]
    assert file_epoch(read_page_table(path)) is None


def test_epoch_that_is_no_date_is_none(tmp_path):
    path = write_scanimage_recording(tmp_path, epoch=(2025, 13, 45, 99, 0, 0.0)).paths[0]
    assert file_epoch(read_page_table(path)) is None


def test_real_series_from_any_file(data_dir):
    folder = data_dir / "scanimage"
    paths = sorted(folder.glob("vol_one_ch_multi_files_*.tif"))
    for which in (0, 4, 9):
        assert_whole(find_file_series(paths[which]), paths)
    alone = folder / "scanimage_20220923_noroi.tif"
    assert_whole(find_file_series(alone), [alone])
