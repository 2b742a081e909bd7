"""Pages to channel, plane, slice sample and volume, against recordings simulated frame by frame."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scanimage_nwb.errors import FormatError
from scanimage_nwb.frame_index import PageFacts, VolumeLayout, build_frame_index
from scanimage_nwb.testing import write_scanimage_recording


@dataclass
class Simulated:
    """A recording made page by page in plain Python, with what must come out."""

    layout: VolumeLayout
    number: list[int] = field(default_factory=list)
    in_acquisition: list[int] = field(default_factory=list)
    truth: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Run of volumes with volume, channel, plane, slice sample of each page on disk; flyback has plane -1."""
    pages_per_file: list[int] = field(default_factory=list)
    new_clock: list[bool] = field(default_factory=list)

    def facts(self) -> PageFacts:
        return PageFacts(
            np.array(self.pages_per_file),
            np.array(self.number),
            np.array(self.in_acquisition),
            np.array(self.new_clock),
        )

    def index(self):
        return build_frame_index(self.facts(), self.layout)

    def expected_samples(self) -> list:
        """Return pages by volume, slice sample, plane, channel of every complete volume."""
        of_volume: dict = {}
        pages_of_frame: dict = {}
        for page, number in enumerate(self.number):
            pages_of_frame.setdefault((self.clock_of(page), number), []).append(page)
        for page, (volume, channel, plane, sample) in enumerate(self.truth):
            whole = len(pages_of_frame[self.clock_of(page), self.number[page]]) == self.layout.n_channels
            if plane >= 0 and whole:
                of_volume.setdefault(volume, {})[sample, plane, channel] = page
        shape = (self.layout.frames_per_slice, self.layout.n_planes, self.layout.n_channels)
        return [
            [[[pages[s, p, c] for c in range(shape[2])] for p in range(shape[1])] for s in range(shape[0])]
            for _, pages in sorted(of_volume.items())
            if len(pages) == np.prod(shape)
        ]

    def clock_of(self, page: int) -> int:
        file = int(np.searchsorted(np.cumsum(self.pages_per_file), page, side="right"))
        return sum(self.new_clock[: file + 1])


def simulate(
    layout: VolumeLayout,
    frames_of_acquisitions: list[int],
    *,
    dropped: set[int] = frozenset(),
    dropped_pages: set[int] = frozenset(),
    first_number: int = 1,
    files: list[int] | None = None,
    clocks: list[int] | None = None,
) -> Simulated:
    """Simulate acquisitions; ordinals of dropped frames and pages count over all of them.

    A slow stack is one run of volumes, whatever its acquisitions; `clocks` lists acquisitions that start a clock.
    """
    made = Simulated(layout)
    per_volume = layout.n_planes * layout.frames_per_slice + layout.n_flyback
    number, ordinal, rank_in_clock = first_number, 0, 0
    file_starts = []
    for acquisition, n_frames in enumerate(frames_of_acquisitions):
        if acquisition in (clocks or []):
            number, rank_in_clock = first_number, 0
            file_starts.append(len(made.number))
        for rank in range(n_frames):
            in_run = rank_in_clock if layout.slow_stack or layout.n_planes == 1 else rank
            volume, slot = divmod(in_run, per_volume)
            imaging = slot < layout.n_planes * layout.frames_per_slice
            plane, sample = divmod(slot, layout.frames_per_slice) if imaging else (-1, -1)
            for channel in range(layout.n_channels):
                page = ordinal * layout.n_channels + channel
                if ordinal in dropped or page in dropped_pages:
                    continue
                made.number.append(number)
                made.in_acquisition.append(rank * layout.averaging + first_number)
                run = 0 if layout.slow_stack or layout.n_planes == 1 else acquisition
                made.truth.append(((sum(c <= acquisition for c in clocks or []), run, volume), channel, plane, sample))
            number += layout.averaging
            ordinal += 1
            rank_in_clock += 1
    bounds = sorted({0, *file_starts, *[b for b in files or [] if 0 < b < len(made.number)]})
    made.pages_per_file = np.diff([*bounds, len(made.number)]).tolist()
    made.new_clock = [b == 0 or b in file_starts for b in bounds]
    return made


def assert_true(made: Simulated) -> None:
    index = made.index()
    partial = {p for p in range(len(made.number)) if index.channel[p] < 0}
    for page, (_, channel, plane, sample) in enumerate(made.truth):
        assert index.channel[page] == (-1 if page in partial else channel)
        assert (index.plane[page], index.slice_sample[page]) == (plane, sample)
    changes = [a[0] != b[0] for a, b in zip(made.truth, made.truth[1:], strict=False)]
    assert index.volume.tolist() == [0, *np.cumsum(changes).tolist()]
    assert index.sample_pages.tolist() == made.expected_samples()
    assert index.sample_pages.dtype == np.int64
    assert index.is_flyback.tolist() == [plane < 0 for _, _, plane, _ in made.truth]


layouts = st.builds(
    VolumeLayout,
    n_channels=st.integers(1, 4),
    n_planes=st.integers(1, 5),
    frames_per_slice=st.integers(1, 3),
    n_flyback=st.integers(0, 3),
    averaging=st.sampled_from([1, 1, 2, 5]),
).map(
    lambda x: (
        x
        if x.n_planes > 1
        else VolumeLayout(n_channels=x.n_channels, averaging=x.averaging)  # planar data have neither
    )
)


@settings(max_examples=150, deadline=None)
@given(layout=layouts, data=st.data())
def test_random_acquisitions_with_random_drops(layout, data):
    n_acquisitions = data.draw(st.integers(1, 4))
    per_volume = layout.frames_per_volume
    lengths = data.draw(st.lists(st.integers(1, 3 * per_volume + 2), min_size=n_acquisitions, max_size=n_acquisitions))
    n_frames = sum(lengths)
    n_drops = data.draw(st.integers(0, n_frames // 4))
    dropped = data.draw(st.sets(st.integers(0, n_frames - 1), max_size=n_drops))
    n_pages = n_frames * layout.n_channels
    n_page_drops = (n_frames // 6) if layout.n_channels > 1 else 0
    dropped_pages = data.draw(st.sets(st.integers(0, n_pages - 1), max_size=n_page_drops))
    files = data.draw(st.lists(st.integers(1, max(1, n_pages - 1)), max_size=3))
    clocks = data.draw(st.sets(st.integers(1, n_acquisitions), max_size=2)) - {n_acquisitions}
    assume(all(set(range(sum(lengths[:i]), sum(lengths[: i + 1]))) - dropped for i in range(n_acquisitions)))
    made = simulate(layout, lengths, dropped=dropped, dropped_pages=dropped_pages, files=files, clocks=sorted(clocks))
    sizes = np.unique(
        [(made.clock_of(p), made.number[p]) for p in range(len(made.number))], axis=0, return_counts=True
    )[1]
    assume((sizes[:-1] == layout.n_channels).sum() * 2 > len(sizes))
    assume(max(made.in_acquisition) > layout.frames_per_slice * layout.averaging or n_acquisitions == 1 + len(clocks))
    assert_true(made)


@settings(max_examples=60, deadline=None)
@given(
    n_channels=st.integers(1, 2),
    n_planes=st.integers(2, 4),
    frames_per_slice=st.integers(1, 3),
    n_volumes=st.integers(1, 4),
    averaging=st.sampled_from([1, 3]),
    data=st.data(),
)
def test_random_slow_stacks_with_random_drops(n_channels, n_planes, frames_per_slice, n_volumes, averaging, data):
    layout = VolumeLayout(n_channels, n_planes, frames_per_slice, 0, averaging, slow_stack=True)
    n_frames = n_planes * frames_per_slice * n_volumes
    dropped = data.draw(st.sets(st.integers(0, n_frames - 1), max_size=n_frames // 3))
    assume(len(dropped) < n_frames)
    made = simulate(layout, [frames_per_slice] * (n_planes * n_volumes), dropped=dropped)
    assert_true(made)
    n_trailing = next(k for k in range(n_frames) if n_frames - 1 - k not in dropped)
    assert made.index().n_missing_frames == len(dropped) - n_trailing


@settings(max_examples=60, deadline=None)
@given(
    arguments=st.fixed_dictionaries(
        {
            "n_channels": st.integers(1, 3),
            "n_planes": st.integers(1, 4),
            "frames_per_slice": st.integers(1, 2),
            "averaging": st.integers(1, 3),
            "n_volumes": st.integers(3, 6),
        }
    ),
    n_flyback=st.integers(0, 2),
    drops=st.sets(st.integers(0, 100), max_size=2),
)
def test_written_recordings_with_drops(tmp_path_factory, arguments, n_flyback, drops):
    """The writer's truth, which shares no code with the simulation above."""
    if arguments["n_planes"] == 1:
        arguments, n_flyback = arguments | {"frames_per_slice": 1}, 0
    truth = write_scanimage_recording(
        tmp_path_factory.mktemp("index"), drop_frames=sorted(drops), n_flyback=n_flyback, shape=(1, 2), **arguments
    )
    n_pages = len(truth.frame_numbers)
    layout = {name: arguments[name] for name in ("n_channels", "n_planes", "frames_per_slice", "averaging")}
    facts = PageFacts(np.array([n_pages]), truth.frame_numbers, truth.frame_numbers, np.array([True]))
    index = build_frame_index(facts, VolumeLayout(n_flyback=n_flyback, **layout))
    for name in ("channel", "plane", "slice_sample"):
        assert getattr(index, name).tolist() == getattr(truth, name).tolist()
    kept = np.unique(truth.volume)
    assert index.volume.tolist() == np.searchsorted(kept, truth.volume).tolist()
    assert index.frame_number.tolist() == truth.frame_numbers.tolist()


def test_order_of_pages_by_hand():
    """Two channels, two planes of two frames, one flyback frame: channel fastest, then frame of the slice, slice."""
    numbers = np.repeat(np.arange(1, 11), 2)
    layout = VolumeLayout(n_channels=2, n_planes=2, frames_per_slice=2, n_flyback=1)
    index = build_frame_index(PageFacts(np.array([20]), numbers, numbers, np.array([True])), layout)
    assert index.channel.tolist() == [0, 1] * 10
    assert index.plane.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, -1, -1] * 2
    assert index.slice_sample.tolist() == [0, 0, 1, 1, 0, 0, 1, 1, -1, -1] * 2
    assert index.volume.tolist() == [0] * 10 + [1] * 10
    assert index.sample_pages.tolist() == [
        [[[0, 1], [4, 5]], [[2, 3], [6, 7]]],
        [[[10, 11], [14, 15]], [[12, 13], [16, 17]]],
    ]
    assert (index.n_missing_frames, index.n_partial_frames, index.n_incomplete_volumes, index.n_pages_left_out) == (
        0,
    ) * 4
    assert index.frame.tolist() == np.repeat(np.arange(10), 2).tolist()


def planar(numbers, n_channels=1, in_acquisition=None, files=None, clocks=None, **layout):
    numbers = np.array(numbers)
    files = [len(numbers)] if files is None else files
    in_acquisition = np.full(len(numbers), -1) if in_acquisition is None else np.array(in_acquisition)
    new_clock = np.array([True] + [False] * (len(files) - 1) if clocks is None else clocks)
    return build_frame_index(
        PageFacts(np.array(files), numbers, in_acquisition, new_clock), VolumeLayout(n_channels, **layout)
    )


def test_pages_of_files_count_from_zero_in_each():
    index = planar(range(1, 8), files=[3, 0, 4])
    assert index.file_index.tolist() == [0, 0, 0, 2, 2, 2, 2]
    assert index.page_in_file.tolist() == [0, 1, 2, 0, 1, 2, 3]


def test_a_frame_whose_channels_lie_in_two_files():
    index = planar([1, 1, 2, 2, 3, 3], n_channels=2, files=[3, 3])
    assert index.channel.tolist() == [0, 1] * 3
    assert index.sample_pages.reshape(-1, 2).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert index.n_partial_frames == 0


def test_the_same_frame_number_under_two_clocks_is_two_frames():
    index = planar([1, 1, 2], files=[1, 2], clocks=[True, True])
    assert index.layout.n_channels == 1
    assert index.sample_pages.reshape(-1).tolist() == [0, 1, 2]


def test_a_frame_cut_between_its_channels_is_left_out():
    index = planar([1, 1, 2, 2, 3], n_channels=2)
    assert index.sample_pages.reshape(-1, 2).tolist() == [[0, 1], [2, 3]]
    assert (index.n_partial_frames, index.n_pages_left_out) == (1, 1)
    assert index.channel.tolist() == [0, 1, 0, 1, -1]


def test_pages_are_believed_where_the_header_is_wrong_about_channels():
    assert planar([1, 1, 2, 2, 3, 3], n_channels=1).layout.n_channels == 2
    assert planar([1, 2, 3, 4], n_channels=2).layout.n_channels == 1
    assert planar([1], n_channels=2).layout.n_channels == 2
    assert planar([1, 1], n_channels=1).layout.n_channels == 2


def test_missing_frames_are_counted_between_pages_and_before_the_first():
    assert planar([1, 2, 5, 6]).n_missing_frames == 2
    assert planar([4, 5, 6]).n_missing_frames == 3
    assert planar([4, 5, 6], in_acquisition=[4, 5, 6]).n_missing_frames == 3
    assert planar([1, 5, 13], averaging=4).n_missing_frames == 1
    assert planar([4, 8, 16], averaging=4).n_missing_frames == 1


def test_a_later_acquisition_of_a_loop_alone_misses_nothing():
    assert planar([101, 102, 103], in_acquisition=[1, 2, 3]).n_missing_frames == 0
    assert planar([101, 103], in_acquisition=[1, 3]).n_missing_frames == 1
    assert planar([102, 103], in_acquisition=[2, 3]).n_missing_frames == 1


def test_frames_missing_between_acquisitions_of_a_planar_loop_are_counted():
    assert planar([1, 2, 3, 7, 8], in_acquisition=[1, 2, 3, 1, 2]).n_missing_frames == 3


def test_frame_numbers_that_start_at_zero_as_in_siff_files():
    index = planar(range(6), n_planes=2, n_flyback=1)
    assert index.plane.tolist() == [0, 1, -1] * 2
    assert index.n_missing_frames == 0


@pytest.mark.parametrize("averaging", [2, 4, 5])
@pytest.mark.parametrize("starts_at_one", [True, False], ids=["1, 1 + N", "N, 2N"])
def test_averaged_pages_whatever_number_the_first_has(averaging, starts_at_one):
    numbers = np.arange(6) * averaging + (1 if starts_at_one else averaging)
    index = planar(numbers, in_acquisition=numbers, n_planes=2, n_flyback=1, averaging=averaging)
    assert index.plane.tolist() == [0, 1, -1] * 2
    assert index.sample_pages.reshape(-1, 2).tolist() == [[0, 1], [3, 4]]
    assert index.n_missing_frames == 0


def test_acquisition_aborted_within_a_volume_is_followed_by_the_first_plane():
    numbers = np.arange(1, 13)
    index = planar(numbers, in_acquisition=[1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7], n_planes=3, n_flyback=1)
    assert index.plane.tolist() == [0, 1, 2, -1, 0, 0, 1, 2, -1, 0, 1, 2]
    assert index.sample_pages.reshape(-1, 3).tolist() == [[0, 1, 2], [5, 6, 7], [9, 10, 11]]
    assert (index.n_incomplete_volumes, index.n_pages_left_out, index.n_missing_frames) == (1, 1, 0)


def test_short_aborted_acquisition_before_a_whole_one():
    """The mean acquisition is shorter than a volume here, and yet each starts with the first plane."""
    index = planar(range(1, 8), in_acquisition=[1, 2, 1, 2, 3, 4, 5], n_planes=5)
    assert index.plane.tolist() == [0, 1, 0, 1, 2, 3, 4]
    assert index.sample_pages.reshape(-1, 5).tolist() == [[2, 3, 4, 5, 6]]


def test_slices_as_acquisitions_although_the_header_says_fast():
    index = planar(range(1, 13), in_acquisition=[1, 2] * 6, n_planes=3, frames_per_slice=2)
    assert index.plane.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert len(index.sample_pages) == 2


def test_last_volume_that_lacks_only_flyback_is_complete():
    index = planar(range(1, 8), n_planes=3, n_flyback=1)
    assert index.sample_pages.reshape(-1, 3).tolist() == [[0, 1, 2], [4, 5, 6]]
    assert (index.n_incomplete_volumes, index.n_pages_left_out) == (0, 0)


def test_volume_of_which_only_flyback_is_there_is_not_incomplete():
    index = planar([1, 2, 3, 4, 5, 10, 11, 12, 13], n_planes=3, n_flyback=2)
    assert index.plane.tolist() == [0, 1, 2, -1, -1, -1, 0, 1, 2]
    assert (index.n_incomplete_volumes, index.n_missing_frames, len(index.sample_pages)) == (0, 4, 2)


def test_three_hundred_planes_and_three_hundred_frames_a_slice():
    n_frames = 300 * 300 + 7
    index = planar(range(1, n_frames + 8), n_planes=300, frames_per_slice=300, n_flyback=7)
    assert index.sample_pages.shape == (1, 300, 300, 1)
    assert index.plane[[0, 299, 300, 89_999, 90_000, 90_006, 90_007]].tolist() == [0, 0, 1, 299, -1, -1, 0]
    assert index.slice_sample[[299, 300]].tolist() == [299, 0]
    assert index.sample_pages[0, 299, 299, 0] == 89_999


def test_more_frames_than_16_and_32_bits_count():
    index = planar(np.arange(70_000) + 2**33, n_planes=7)
    assert index.plane[[0, 65_536]].tolist() == [(2**33 - 1) % 7, (2**33 - 1 + 65_536) % 7]
    assert index.sample_pages.max() >= 69_990


@pytest.mark.parametrize(
    "numbers",
    [[-1] * 6, [1, 2, 3, -1, 5, 6], [1, 2, 3, 1, 2, 3], [0] * 70],
    ids=["none", "one lacks", "go back", "all 0"],
)
def test_order_of_pages_where_frame_numbers_are_of_no_use(numbers):
    index = planar(numbers, n_channels=2, averaging=3)
    assert not index.has_frame_numbers
    assert index.channel.tolist() == [0, 1] * (len(numbers) // 2)
    assert index.frame_number.tolist() == (np.repeat(np.arange(len(numbers) // 2), 2) * 3 + 1).tolist()
    assert len(index.sample_pages) == len(numbers) // 2


def test_frames_that_claim_one_place_are_not_lost_quietly():
    index = planar([1, 2, 3, 4, 5, 6, 7, 8], averaging=2, n_planes=2)
    used = index.sample_pages.reshape(-1)
    assert index.n_pages_left_out == 8 - used.size > 0


def test_a_volume_with_pages_enough_but_a_plane_empty_is_incomplete():
    index = planar([1, 2, 3, 4], averaging=2, n_planes=4)
    assert index.sample_pages.size == 0
    assert (index.n_incomplete_volumes, index.n_pages_left_out) == (1, 4)


def test_too_few_pages_for_one_volume_make_no_sample():
    index = planar([1, 2], n_planes=3, frames_per_slice=10**5)
    assert index.sample_pages.shape == (0, 10**5, 3, 1)
    assert index.n_incomplete_volumes == 1


def test_headers_that_claim_huge_volumes_cost_no_memory():
    assert planar([1, 2], n_planes=10**6, frames_per_slice=1000).sample_pages.size == 0
    for layout in ({"n_planes": 2**62}, {"n_planes": 2**40, "frames_per_slice": 2**40}, {"n_flyback": 2**63}):
        with pytest.raises(FormatError, match="damaged"):
            planar([1, 2], **layout)


def test_no_page_is_an_error():
    with pytest.raises(FormatError, match="at least one whole page"):
        planar([])
