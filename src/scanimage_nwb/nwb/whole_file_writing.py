"""`run_conversion` of our interfaces and converters: a file is written whole or not at all, by our writer."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from jsonschema.exceptions import ValidationError
from neuroconv import BaseDataInterface
from pynwb import NWBFile

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.nwb.progress import WriteProgress
from scanimage_nwb.nwb.start_time import EXPECTED_START_TIME
from scanimage_nwb.nwb.user_metadata import check_keys
from scanimage_nwb.nwb.writing import write_nwbfile

__all__ = ["WholeFileWriting"]


class WholeFileWriting:
    """Makes `run_conversion` of an interface or a converter write its file whole or not at all.

    Metadata that cannot be used end in a `MetadataError`.
    """

    show_progress: bool | Callable[[WriteProgress], None] = False
    """Whether to show a progress bar while a file is written, or what to call instead; see `write_nwbfile`."""
    writer_options: Mapping[str, Any] = {}
    """Further options of `write_nwbfile`, such as ``workers`` and ``cloud``."""

    def validate_metadata(self, metadata: dict[str, Any], append_mode: bool = False) -> None:
        """Refuse metadata that do not have the form that NWB needs.

        Parameters
        ----------
        metadata : dict
            What goes into the file.
        append_mode : bool
            The file is there already, with a start time.

        Raises
        ------
        MetadataError
            Names the field.
        """
        try:
            super().validate_metadata(metadata, append_mode)  # type: ignore[misc]
        except ValidationError as error:
            raise MetadataError(_say_what_is_wrong(error)) from error
        except TypeError as error:  # neuroconv goes through JSON
            raise MetadataError(f"metadata hold a value that cannot be written: {error}") from error

    def _write_nwbfile(
        self,
        nwbfile_path: str | Path,
        nwbfile: NWBFile | None,
        metadata: dict[str, Any],
        backend: Literal["hdf5", "zarr"] | None,
        backend_configuration: Any,
        conversion_options: dict[str, Any],
    ) -> None:
        # Interfaces take their options as keywords, converters as one dictionary.
        as_keywords = isinstance(self, BaseDataInterface)
        options = (conversion_options or {}) if as_keywords else {"conversion_options": conversion_options}
        if nwbfile is None:
            nwbfile = self.create_nwbfile(metadata=metadata, **options)  # type: ignore[attr-defined]
        else:
            self.add_to_nwbfile(nwbfile=nwbfile, metadata=metadata, **options)  # type: ignore[attr-defined]
        # run_conversion has refused before if there is a file that may not be overwritten
        write_nwbfile(
            nwbfile,
            nwbfile_path,
            backend=backend or "hdf5",
            backend_configuration=backend_configuration,
            overwrite=True,
            progress=self.show_progress,
            **self.writer_options,
        )


_WAYS_OUT = {
    "string": "; put it in quotes",
    "array": "; put it in brackets, such as [a, b]",
    "object": "; give fields by their names, such as name: Microscope",
}
"""What to do about a value of the wrong type, by the right type."""


def _say_what_is_wrong(error: ValidationError) -> str:
    """Put an error of JSON schema into one line: the field, what it is, what was expected, and a way out."""
    where = "metadata " + ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.schema.get("properties"), dict):
        try:
            check_keys(error.instance, tuple(error.schema["properties"]), where)
        except MetadataError as unknown:
            return str(unknown)
    if error.validator == "required" and "session_start_time" in error.message:
        return f"{where} has no session_start_time, and the files do not say it; {EXPECTED_START_TIME}"
    message = f"{error.instance!r} has not the right form" if error.validator == "pattern" else error.message
    expected = f"; expected: {error.schema['description']}" if "description" in error.schema else ""
    way_out = _WAYS_OUT.get(error.schema.get("type"), "") if error.validator == "type" else ""
    return f"{where}: {message}{expected}{way_out}"
