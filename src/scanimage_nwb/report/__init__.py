"""One self-contained HTML page that a person looks at before a file is uploaded.

It reads the NWB file only, and little of it: movies are sampled evenly, and the page says how much of them was read.
"""

from scanimage_nwb.report.page import need_packages, write_report

__all__ = ["need_packages", "write_report"]
