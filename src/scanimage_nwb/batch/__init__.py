"""Many sessions to NWB, on this computer or a cluster, through Dask."""

from scanimage_nwb.batch.cluster import ClusterOptions
from scanimage_nwb.batch.jobs import BatchOptions, find_sessions
from scanimage_nwb.batch.outcomes import Outcome, format_summary
from scanimage_nwb.batch.running import run_batch

__all__ = ["BatchOptions", "ClusterOptions", "Outcome", "find_sessions", "format_summary", "run_batch"]
