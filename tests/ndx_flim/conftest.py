"""One file with every type of ndx-flim, and the arrays that went into it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject
from pynwb.ophys import ImageSegmentation, OpticalChannel, PlaneSegmentation

from ndx_flim import (
    InstrumentResponse,
    LifetimeFitTable,
    LifetimeImageSeries,
    PhasorSeries,
    PhotonEventSeries,
    PhotonHistogram,
    PhotonHistogramSeries,
    TCSPCSettings,
)

T, X, Y, Z, H, ROIS, N = 40, 6, 5, 2, 16, 3, 3000


@dataclass
class Written:
    """A file, and what must be in it, by "name/field"."""

    path: Path
    truth: dict[str, NDArray] = field(default_factory=dict)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Every type, in every shape, in one file."""
    found = Written(tmp_path_factory.mktemp("ndx_flim") / "every_type.nwb")
    nwbfile = _empty_file()
    plane = _imaging_plane(nwbfile)
    settings = _settings(nwbfile, found.truth)
    photons = _add_photons(nwbfile, plane, settings, found.truth)
    module = nwbfile.create_processing_module("ophys", "fluorescence lifetime")
    rois = _segmentation(module, plane)
    shapes = {"Field": (), "Roi": (ROIS,), "Pixel": (X, Y), "Volume": (X, Y, Z)}
    rng = np.random.default_rng(3)
    common = {"tcspc_settings": settings, "motion_corrected": True}
    for name, shape in shapes.items():
        series = {"timestamps": photons, "description": f"of {name}"}
        own = {**common, "imaging_plane": plane}
        if name == "Roi":
            own["rois"] = rois.create_roi_table_region("all", region=list(range(ROIS)), name="rois")
        data = rng.integers(0, 9, (T, *shape, H)).astype(np.uint16)
        found.truth[f"PhotonHistogramSeries{name}/data"] = data
        module.add(
            PhotonHistogramSeries(
                name=f"PhotonHistogramSeries{name}",
                data=data,
                bin_edges=settings.bin_edges,
                samples_per_histogram=4,
                **series,
                **own,
            )
        )
        found.truth[f"PhotonHistogram{name}/data"] = data[0]
        if name == "Roi":
            own["rois"] = rois.create_roi_table_region("all", region=list(range(ROIS)), name="rois")
        module.add(
            PhotonHistogram(
                name=f"PhotonHistogram{name}",
                counts=data[0],
                bin_edges=settings.bin_edges,
                description="pooled",
                time_span=[0.4, 1.7],
                **own,
            )
        )
        phasor = rng.random((T, *shape, 2)).astype(np.float32)
        found.truth[f"PhasorSeries{name}/data"] = phasor
        if name == "Roi":
            own["rois"] = rois.create_roi_table_region("all", region=list(range(ROIS)), name="rois")
        module.add(
            PhasorSeries(
                name=f"PhasorSeries{name}",
                data=phasor,
                harmonic=2,
                frequency=160e6,
                calibration="reference",
                phase_zero=0.25,
                modulation_zero=1.125,
                reference_lifetime=4e-9,
                intensity=photons,
                **series,
                **own,
            )
        )
    for name, shape in (("Planar", (X, Y)), ("Volume", (X, Y, Z))):
        data = rng.random((T, *shape)).astype(np.float32) * np.float32(1e-9)
        data[3, 2] = np.nan
        found.truth[f"LifetimeImageSeries{name}/data"] = data
        module.add(
            LifetimeImageSeries(
                name=f"LifetimeImageSeries{name}",
                description="mean delay",
                data=data,
                method="mean_delay",
                time_offset=1.5e-9,
                timestamps=photons,
                imaging_plane=plane,
                intensity=photons,
                **common,
            )
        )
    _add_fits(module, settings, rois, found.truth)
    with NWBHDF5IO(found.path, "w") as io:
        io.write(nwbfile)
    return found


def _empty_file() -> NWBFile:
    return NWBFile(
        session_description="every type of ndx-flim",
        identifier="ndx-flim",
        session_id="1",
        session_start_time=datetime(2025, 4, 24, 12, tzinfo=UTC),
        experimenter=["Doe, Jane"],
        institution="Example University",
        lab="Example",
        experiment_description="FLIM of GCaMP",
        keywords=["FLIM"],
        subject=Subject(
            subject_id="m1", species="Mus musculus", sex="F", age="P90D", description="Adult.", strain="C57BL/6J"
        ),
    )


def _imaging_plane(nwbfile: NWBFile) -> object:
    nwbfile.create_device("Microscope", description="two-photon")
    return nwbfile.create_imaging_plane(
        name="ImagingPlane",
        optical_channel=OpticalChannel(name="green", description="525/50", emission_lambda=525.0),
        description="layer 2/3",
        device=nwbfile.devices["Microscope"],
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="Primary visual area",
        imaging_rate=30.0,
    )


def _settings(nwbfile: NWBFile, truth: dict[str, NDArray]) -> TCSPCSettings:
    truth["TCSPCSettings/irf"] = np.arange(H, dtype=np.uint32)
    settings = TCSPCSettings(
        name="TCSPCSettings",
        description="histograms",
        num_bins=H,
        repetition_rate=80e6,
        tcspc_resolution=0.75e-9,
        time_offset=0.125e-9,
        tcspc_device=nwbfile.create_device("TCSPC", description="MultiHarp 150"),
        detector=nwbfile.create_device("Detector", description="hybrid photomultiplier"),
        excitation_source=nwbfile.create_device("Laser", description="Ti:sapphire"),
        irf=InstrumentResponse(
            name="irf",
            description="urea",
            counts=truth["TCSPCSettings/irf"],
            bin_edges=0.125e-9 + np.arange(H + 1) * 0.75e-9,
            center=1.5e-9,
            sigma=80e-12,
            reference_lifetime=0.0,
            reference_lifetime__substance="urea crystals",
        ),
    )
    nwbfile.add_lab_meta_data(settings)
    return settings


def _add_photons(
    nwbfile: NWBFile, plane: object, settings: TCSPCSettings, truth: dict[str, NDArray]
) -> PhotonEventSeries:
    """Add photons of a plane and of a volume; some frames have none, the last among them."""
    rng = np.random.default_rng(2)
    times = np.sort(0.4 + rng.random(T))
    made = {}
    for name, shape in (("Planar", (T, X, Y)), ("Volume", (T, X, Y, Z))):
        n_frames = T * (Z if name == "Volume" else 1)
        frame = rng.choice(np.setdiff1d(np.arange(n_frames), [0, 7, 8, n_frames - 1]), N)
        pixel, delay_bin = rng.integers(0, X * Y, N), rng.integers(0, H, N)
        order = np.lexsort((pixel, frame))
        rows = np.stack([frame, pixel, delay_bin], axis=1)
        truth[f"PhotonEventSeries{name}/photons"] = rows[order]
        made[name] = PhotonEventSeries.from_photons(
            name=f"PhotonEventSeries{name}",
            description="every photon",
            frame=frame,
            pixel=pixel,
            delay_bin=delay_bin,
            pulse_number=np.arange(N),
            shape=shape,
            timestamps=times if name == "Planar" else made["Planar"],
            imaging_plane=plane,
            tcspc_settings=settings,
            motion_corrected=False,
        )
        truth[f"PhotonEventSeries{name}/pulse_number"] = np.arange(N)[order]
        nwbfile.add_acquisition(made[name])
    truth["timestamps"] = times
    return made["Planar"]


def _segmentation(module: object, plane: object) -> PlaneSegmentation:
    segmentation = ImageSegmentation(name="ImageSegmentation")
    table = segmentation.create_plane_segmentation(name="PlaneSegmentation", description="cells", imaging_plane=plane)
    for roi in range(ROIS):
        mask = np.zeros((X, Y))
        mask[roi] = 1
        table.add_roi(image_mask=mask)
    module.add(segmentation)
    return table


def _add_fits(module: object, settings: TCSPCSettings, rois: PlaneSegmentation, truth: dict[str, NDArray]) -> None:
    columns = {
        "lifetime": np.array([[0.6e-9, 2.6e-9], [2.2e-9, np.nan], [0.5e-9, 2.5e-9]]),
        "lifetime_error": np.array([[1e-11, 2e-11], [3e-11, np.nan], [np.nan, np.nan]]),
        "fraction": np.array([[0.4, 0.6], [1.0, np.nan], [0.25, 0.75]]),
        "fraction_error": np.full((3, 2), 0.01),
        "irf_center": np.full(3, 1.5e-9),
        "irf_sigma": np.full(3, 80e-12),
        "background": np.array([0.0, 0.05, 0.1]),
        "photon_count": np.array([2000, 10**6, 2**40], np.uint64),
        "reduced_chi_squared": np.array([0.9, 1.0, 1.1]),
        "reduced_deviance": np.array([1.0, 1.1, 1.2]),
        "log_likelihood": np.array([-3e3, -2e6, -1e9]),
        "converged": np.array([True, True, False]),
        "plane": np.array([0, 1, 0]),
        "start_time": np.full(3, 0.4),
        "stop_time": np.full(3, 1.4),
    }
    truth.update({f"LifetimeFitTable/{name}": values for name, values in columns.items()})
    module.add(
        LifetimeFitTable.from_arrays(
            model="two exponentials",
            estimator="poisson_maximum_likelihood",
            tcspc_settings=settings,
            source=module["PhotonHistogramSeriesRoi"],
            roi=rois.create_roi_table_region("fitted", region=[2, 0, 1], name="roi"),
            channel=["green", "green", "red"],
            **columns,
        )
    )
