"""The frame index: which channel, plane, slice sample and volume every page is, by its frame number.

Pages run channel fastest, then the frames of a slice, slice, flyback, volume. A page's place follows from its
frame number, not from its rank in the file, so that dropped frames, short files and missing files leave every
later plane where it belongs. All arithmetic is int64.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError

__all__ = ["FrameIndex", "PageFacts", "VolumeLayout", "build_frame_index"]

_MAX_FRAMES_PER_VOLUME = 1 << 31
"""A header that claims more is damaged."""
_MAX_CHANNELS = 64
"""ScanImage offers at most 64 (virtual) channels; more pages a frame number mean that frame numbers are of no use."""


@dataclass(frozen=True, slots=True)
class VolumeLayout:
    """What the header claims of the order of pages."""

    n_channels: int
    """Channels saved."""
    n_planes: int = 1
    """Planes of a volume, without flyback."""
    frames_per_slice: int = 1
    """Pages of one channel that a plane gets in each volume."""
    n_flyback: int = 0
    """Pages of one channel recorded in each volume while z returns."""
    averaging: int = 1
    """Frames averaged into one page: frame numbers advance by it."""
    slow_stack: bool = False
    """True if the acquisition number steps with every slice."""

    @property
    def frames_per_volume(self) -> int:
        """Pages of one channel in each volume, flyback included."""
        return self.n_planes * self.frames_per_slice + self.n_flyback


@dataclass(frozen=True, slots=True, eq=False)
class PageFacts:
    """What the pages say of themselves, file after file; every array has shape (n_pages,)."""

    pages_per_file: NDArray[np.int64]
    """Number of pages of each file, shape (n_files,)."""
    frame_number: NDArray[np.int64]
    """ScanImage's frame number; -1 where the page has none."""
    frame_in_acquisition: NDArray[np.int64]
    """Frame number within the acquisition; -1 where the page has none."""
    new_clock: NDArray[np.bool_]
    """True for each file that starts counting anew, shape (n_files,); the first always does."""

    @property
    def n_pages(self) -> int:
        """Number of pages over all files."""
        return len(self.frame_number)


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Where every page belongs, and which pages make every sample."""

    layout: VolumeLayout
    """The order of pages as found; the number of channels may differ from the header's."""
    file_index: NDArray[np.int64]
    """File of each page, shape (n_pages,)."""
    page_in_file: NDArray[np.int64]
    """Rank of each page in its file, shape (n_pages,)."""
    frame: NDArray[np.int64]
    """Rank of each page's frame among all frames on disk (channels share one), shape (n_pages,)."""
    frame_number: NDArray[np.int64]
    """ScanImage's frame number of each page; where pages have none, counted from 1. Shape (n_pages,)."""
    channel: NDArray[np.int64]
    """0-based channel of each page; -1 where it cannot be told. Shape (n_pages,)."""
    plane: NDArray[np.int64]
    """0-based plane of each page; -1 for flyback. Shape (n_pages,)."""
    slice_sample: NDArray[np.int64]
    """Rank of each page among the frames of its slice; -1 for flyback. Shape (n_pages,)."""
    volume: NDArray[np.int64]
    """Rank of each page's volume among those on disk, complete or not, shape (n_pages,)."""
    sample_pages: NDArray[np.int64]
    """Global page of each complete volume, shape (n_volumes, frames_per_slice, n_planes, n_channels)."""
    n_missing_frames: int
    """Frames that frame numbers skip: dropped, or in a file that is not there."""
    n_partial_frames: int
    """Frames on disk that lack the page of a channel."""
    n_incomplete_volumes: int
    """Volumes that lack at least one frame and are in no sample."""
    n_pages_left_out: int
    """Pages in no sample that are not flyback either, for want of others or because another page took their place."""
    has_frame_numbers: bool
    """False if the order of pages had to do because pages have no usable frame numbers."""

    @property
    def n_pages(self) -> int:
        """Number of pages over all files."""
        return len(self.file_index)

    @property
    def is_flyback(self) -> NDArray[np.bool_]:
        """True for pages recorded while z returned, shape (n_pages,)."""
        return self.plane < 0


def build_frame_index(facts: PageFacts, layout: VolumeLayout) -> FrameIndex:
    """Place every page by its frame number.

    Parameters
    ----------
    facts : PageFacts
        What the pages say.
    layout : VolumeLayout
        What the header says. Where the pages contradict its number of channels, the pages are believed.

    Returns
    -------
    FrameIndex

    Raises
    ------
    FormatError
        If there is no page, or a volume is said to have more than 2^31 frames.

    Examples
    --------
    Two channels, two planes, one flyback frame; frame 2 was dropped:

    >>> numbers = np.repeat([1, 3, 4, 5, 6], 2)
    >>> facts = PageFacts(np.array([10]), numbers, np.full(10, -1), np.array([True]))
    >>> index = build_frame_index(facts, VolumeLayout(n_channels=2, n_planes=2, n_flyback=1))
    >>> index.sample_pages.reshape(-1, 2).tolist()
    [[4, 5], [6, 7]]
    >>> index.n_missing_frames, index.n_incomplete_volumes
    (1, 1)
    """
    if facts.n_pages == 0:
        raise FormatError("a recording without pages cannot be indexed; expected at least one whole page")
    if layout.frames_per_volume > _MAX_FRAMES_PER_VOLUME:
        raise FormatError(
            f"the header says {layout.n_planes} planes x {layout.frames_per_slice} frames + {layout.n_flyback} flyback "
            "frames a volume; expected fewer than 2^31 in all. The header is damaged: copy the file again"
        )
    file_index = np.repeat(np.arange(len(facts.pages_per_file)), facts.pages_per_file)
    first_page = np.cumsum(facts.pages_per_file) - facts.pages_per_file
    clock = np.cumsum(facts.new_clock)[file_index] - 1
    n_channels, usable = _channels_on_disk(facts.frame_number, clock, layout.n_channels)
    layout = replace(layout, n_channels=n_channels)
    numbers = facts.frame_number if usable else np.arange(facts.n_pages) // n_channels * layout.averaging + 1
    clock = clock if usable else np.zeros_like(clock)
    frame, channel, whole = _split_frames(numbers, clock, n_channels)
    run, position, n_missing_first = _positions(numbers, facts.frame_in_acquisition, clock, layout, usable)
    slot = position % layout.frames_per_volume
    imaging = slot < layout.n_planes * layout.frames_per_slice
    volume = _ranks(run, position // layout.frames_per_volume)
    plane = np.where(imaging, slot // layout.frames_per_slice, -1)
    slice_sample = np.where(imaging, slot % layout.frames_per_slice, -1)
    if layout.n_planes == 1:  # every frame is a sample of its own; one plane may still have flyback
        layout, volume, slice_sample = replace(layout, frames_per_slice=1), frame, np.where(imaging, 0, -1)
    sample_pages, complete = _fill_samples(layout, imaging & whole, volume, (slice_sample, plane, channel))
    in_sample = np.zeros(facts.n_pages, bool)
    in_sample[sample_pages] = True
    has_imaging = np.zeros(len(complete), bool)
    has_imaging[volume[imaging]] = True
    return FrameIndex(
        layout=layout,
        file_index=file_index,
        page_in_file=np.arange(facts.n_pages) - first_page[file_index],
        frame=frame,
        frame_number=numbers,
        channel=np.where(whole, channel, -1),
        plane=plane,
        slice_sample=slice_sample,
        volume=volume,
        sample_pages=sample_pages,
        n_missing_frames=_count_missing(run, position) + n_missing_first,
        n_partial_frames=len(np.unique(frame[~whole])),
        n_incomplete_volumes=int((has_imaging & ~complete).sum()),
        n_pages_left_out=int((imaging & ~in_sample).sum()),
        has_frame_numbers=usable,
    )


def _channels_on_disk(numbers: NDArray[np.int64], clock: NDArray[np.int64], claimed: int) -> tuple[int, bool]:
    """Return how many pages share a frame number, and whether frame numbers are of use at all.

    The commonest count is believed: dropped pages make some frames smaller, never most of them. Frame numbers
    that are missing, go back, or stand for more pages than there can be channels are of no use.
    """
    steps = np.diff(numbers)
    same_clock = np.diff(clock) == 0
    if (numbers < 0).any() or (steps[same_clock] < 0).any():
        return claimed, False
    new_frame = np.flatnonzero((steps != 0) | ~same_clock) + 1
    pages_per_frame = np.diff(np.concatenate([[0], new_frame, [len(numbers)]]))
    counts = np.bincount(pages_per_frame[:-1] if len(pages_per_frame) > 1 else pages_per_frame)
    found = int(counts.argmax())
    if found > _MAX_CHANNELS:
        return claimed, False
    if claimed < counts.size and counts[claimed] == counts[found]:
        return claimed, True
    only_one_cut_frame = len(pages_per_frame) == 1 and pages_per_frame[0] < claimed
    return (claimed if only_one_cut_frame else found), True


def _split_frames(
    numbers: NDArray[np.int64], clock: NDArray[np.int64], n_channels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rank of each page's frame, its channel, and whether the frame has all its channels."""
    starts = np.ones(len(numbers), bool)
    starts[1:] = (np.diff(numbers) != 0) | (np.diff(clock) != 0)
    frame = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    channel = np.arange(len(numbers)) - first[frame]
    whole = np.bincount(frame)[frame] == n_channels
    return frame, channel, whole


def _positions(
    numbers: NDArray[np.int64],
    in_acquisition: NDArray[np.int64],
    clock: NDArray[np.int64],
    layout: VolumeLayout,
    usable: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return for each page the run of volumes that it belongs to, its frame's rank in that run, and what is missing.

    Ranks count from 0; missing are the frames before the first page of each run. Each acquisition of a fast stack
    starts with the first plane, so its own frame numbers count; the slices of a slow stack are acquisitions
    themselves, so there the frame numbers of the whole recording count. They start at 1 (in .siff files at 0).
    """
    first = 0 if numbers.min() == 0 else 1
    position = (numbers - first) // layout.averaging
    has_acquisitions = usable and not layout.slow_stack and not (in_acquisition < 0).any()
    if not has_acquisitions:
        return clock, position, int(position[_starts(clock)].sum())
    in_acquisition = (in_acquisition - min(first, int(in_acquisition.min()))) // layout.averaging
    if layout.n_planes == 1:  # the frame numbers of a loop run on, so that a later acquisition may stand alone
        return clock, position, int(in_acquisition[_starts(clock)].sum())
    base = position - in_acquisition
    acquisition = np.zeros(len(numbers), np.int64)
    acquisition[1:] = np.cumsum((np.diff(base) != 0) | (np.diff(clock) != 0))
    if acquisition[-1] > clock[-1] and in_acquisition.max() < layout.frames_per_slice:
        return clock, position, int(position[_starts(clock)].sum())  # slices, though the header says otherwise
    return acquisition, in_acquisition, int(in_acquisition[_starts(acquisition)].sum())


def _starts(run: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first page of each run."""
    return np.flatnonzero(np.diff(run, prepend=-1))


def _ranks(run: NDArray[np.int64], volume_in_run: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of each page's volume among those that occur, from 0."""
    changes = (np.diff(run) != 0) | (np.diff(volume_in_run) != 0)
    return np.concatenate([[0], np.cumsum(changes)])


def _fill_samples(
    layout: VolumeLayout,
    placed: NDArray[np.bool_],
    volume: NDArray[np.int64],
    place: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the pages of each complete volume, and which volumes are complete.

    Only volumes with enough pages get a row, so that memory follows from the pages, whatever the header claims.
    """
    shape = (layout.frames_per_slice, layout.n_planes, layout.n_channels)
    complete = np.bincount(volume[placed], minlength=int(volume[-1]) + 1) >= math.prod(shape)
    row = np.cumsum(complete) - 1
    pages = np.flatnonzero(placed & complete[volume])
    table = np.full((int(complete.sum()), *shape), -1, np.int64)
    table[(row[volume[pages]], *(rank[pages] for rank in place))] = pages
    has_all = (table >= 0).all(axis=(1, 2, 3))
    complete[complete] = has_all
    return table[has_all], complete


def _count_missing(run: NDArray[np.int64], position: NDArray[np.int64]) -> int:
    """Count the frames that are skipped between pages of one run."""
    skipped = np.diff(position) - 1
    return int(skipped[(np.diff(run) == 0) & (skipped > 0)].sum())
