"""The commands of `scanimage-nwb`, by what they are about; `scanimage_nwb.cli` gathers them."""
