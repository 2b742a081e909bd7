"""What to do about the messages that files of this package most often get."""

__all__ = ["advice_for"]

_YAML = "say it in the YAML file given with --metadata, and convert again"
_ADVICE = {
    # subject
    "check_subject_exists": f"Add Subject with subject_id, species, sex and age: {_YAML}.",
    "check_subject_id_exists": f"Subject.subject_id: {_YAML}.",
    "check_subject_species_exists": f"Subject.species, for example Mus musculus: {_YAML}.",
    "check_subject_species_form": "Give the species in Latin, for example Mus musculus, or as a link to NCBI taxonomy.",
    "check_subject_sex": f"Subject.sex is one of M, F, U (unknown) and O (other): {_YAML}.",
    "check_subject_age": f"Subject.age as P90D (90 days) or P12W (12 weeks), or date_of_birth: {_YAML}.",
    "check_subject_proper_age_range": "Write a range of ages as P10D/P20D, the younger first.",
    "check_subject_weight": "Subject.weight as '0.025 kg'.",
    "check_subject_id_no_slashes": "Take the slashes out of subject_id: it becomes a part of file names.",
    # session
    "check_session_id_no_slashes": "Take the slashes out of session_id: it becomes a part of file names.",
    "check_session_start_time_future_date": "The clock of the computer that recorded, or the time zone, was wrong: "
    "set NWBFile.session_start_time.",
    "check_session_start_time_old_date": "The clock of the computer that recorded was wrong, or the header does not "
    "say the date: set NWBFile.session_start_time.",
    "check_experimenter_exists": f"NWBFile.experimenter, such as ['Doe, Jane']: {_YAML}.",
    "check_experimenter_form": "Write names as 'Last, First' or 'Last, First Middle'.",
    "check_experiment_description": f"NWBFile.experiment_description: {_YAML}.",
    "check_institution": f"NWBFile.institution: {_YAML}.",
    "check_keywords": f"NWBFile.keywords, a list: {_YAML}.",
    "check_doi_publications": "Write publications as 'doi: 10.…' or 'https://doi.org/10.…'.",
    # series
    "check_data_orientation": "Time is the first axis of what this package writes. A movie with fewer samples than "
    "pixels along a side gets this message all the same; then nothing is wrong.",
    "check_regular_timestamps": "The times are regular and could be a rate: convert with a current version, which "
    "writes one where it predicts every time within 1 µs. Harmless.",
    "check_timestamps_match_first_dimension": "Samples and timestamps differ in number: the file is damaged, or was "
    "cut by another program. Convert again.",
    "check_timestamps_ascending": "Times run backwards: look at the report's times, and at the sync pulses given.",
    "check_timestamps_without_nans": "Some times are not numbers: look at the source, and convert again.",
    "check_timestamp_of_the_first_sample_is_not_negative": "The session begins after its first sample: set "
    "NWBFile.session_start_time to when the first device began.",
    "check_rate_is_not_zero": "A single sample has no rate. Convert again with always_write_timestamps.",
    "check_rate_not_below_threshold": "Fewer than one sample in a long time: right for slow stacks, else look at the "
    "report's times.",
    "check_time_series_duration": "The series lasts very long: look at the report's times for a jump.",
    "check_time_series_data_is_not_empty": "Take the empty series out, or convert again if it should hold data.",
    "check_missing_unit": "Give the unit of the series.",
    "check_resolution": "Leave the resolution out if it is not known.",
    "check_large_dataset_compression": "Write the file with this package's writer, which compresses everything large.",
    "check_small_dataset_compression": "Harmless.",
    "check_image_series_external_file_valid": "Put the video beside the file, and name it by a relative path.",
    "check_image_series_external_file_relative": "Name external files by a path relative to the NWB file.",
    # optical physiology
    "check_emission_lambda_in_nm": "Give wavelengths in nanometres, for example 525.0.",
    "check_excitation_lambda_in_nm": "Give wavelengths in nanometres, for example 920.0.",
    "check_imaging_plane_location_allen_ccf": "Name the brain area as the Allen atlas does, for example 'Primary "
    "visual area', in ImagingPlanes.<plane>.location; of another species, leave it.",
    "check_roi_response_series_dims": "Traces are stored as (time, regions): turn them around.",
    "check_roi_response_series_link_to_plane_segmentation": "Let the traces refer to a PlaneSegmentation.",
    "check_plane_segmentation_image_mask_shape_against_ref_images": "Masks are (width, height), as the movie: "
    "transpose masks that are (rows, columns).",
    # tables and texts
    "check_description": "Say in a few words what the object is; NWBFile and series: --metadata.",
    "check_empty_string_for_optional_attribute": "Leave the field out instead of writing an empty text.",
    "check_single_row": "A table of one row is right where there is one of its kind.",
    "check_col_not_nan": "A column without any number can be left out.",
    "check_column_binary_capability": "A column of two values could be true/false. Harmless.",
    "check_empty_table": "Take the empty table out.",
    "check_table_time_columns_are_not_negative": "The session begins after the event: set "
    "NWBFile.session_start_time to when the first device began.",
    "check_name_slashes": "Take the slash out of the name of the object.",
    "check_name_colons": "Take the colon out of the name of the object.",
    "check_processing_module_name": "Use the module names of NWB: ophys, behavior, ecephys, misc.",
    "check_file_extension": "Name the file .nwb.",
    # dandi
    "DANDI.NO_DANDISET_FOUND": "Put the file into a folder with a dandiset.yaml: scanimage-nwb dandi DIR -o DANDISET.",
    "DANDI.NON_DANDI_FILENAME": "Give the file the name that DANDI wants: scanimage-nwb dandi DIR -o DANDISET.",
    "read": "The file is damaged or no NWB file: convert again, and copy it with a check of its size.",
    "dandi_name": f"Subject.subject_id, which the file is named after: {_YAML}.",
}
_GENERAL = "See the message; nwbinspector.readthedocs.io explains its checks, docs.dandiarchive.org those of DANDI."


def advice_for(check: str) -> str:
    """Return what to do about a message.

    Parameters
    ----------
    check : str
        Name of the check: of nwbinspector (``check_subject_age``), or of dandi (``NWBI.check_subject_age``).

    Returns
    -------
    str

    Examples
    --------
    >>> advice_for("check_subject_sex").split(":")[0]
    'Subject.sex is one of M, F, U (unknown) and O (other)'
    >>> advice_for("NWBI.check_subject_sex") == advice_for("check_subject_sex")
    True
    """
    return _ADVICE.get(check) or _ADVICE.get(check.rpartition(".")[2]) or _GENERAL
