"""The command `scanimage-nwb`.

Errors that a user can mend end in one line and exit status 1; with `--debug` in a traceback.
"""

import click

from scanimage_nwb import __version__
from scanimage_nwb.command_line import run_plainly
from scanimage_nwb.commands.archive import dandi, report, validate
from scanimage_nwb.commands.convert import convert, verify
from scanimage_nwb.commands.recording import inspect, register, traces
from scanimage_nwb.commands.session import batch, init
from scanimage_nwb.commands.tiff import to_tiff

__all__ = ["main", "run_plainly"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scanimage-nwb")
def main() -> None:
    """ScanImage two-photon recordings (TIFF, .siff) to NWB."""


for one in (inspect, init, convert, verify, report, validate, dandi, batch, register, traces, to_tiff):
    main.add_command(one)
