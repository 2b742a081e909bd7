"""What is known of each page of a TIFF: the columns of the rows that the page walk fills."""

from typing import Final

__all__ = ["COLUMNS"]

COLUMNS: Final = (
    "ifd_offset",
    "width",
    "height",
    "bits",
    "compression",
    "samples_per_pixel",
    "sample_format",
    "text_offset",
    "text_bytes",
    "strip_offset",
    "strip_bytes",
    "n_strips",
    "strip_offset_type",
    "strip_bytes_type",
    "siff_compress",
    "software_offset",
    "software_bytes",
    "artist_offset",
    "artist_bytes",
    "frame_number",
    "acquisition_number",
    "frame_in_acquisition",
)
"""Names of the columns of the page rows; -1 stands for what a page does not say."""
