"""Text that ScanImage 2016 and later puts into a TIFF: `SI.*` header, ROI JSON, page text.

Shares no code with the readers of this package, so that a misunderstanding cannot cancel itself out.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FULL_SCAN_ANGLE_DEG = 18.0
ZOOM = 2.5
OBJECTIVE_RESOLUTION_UM_PER_DEG = 15.0
FLYBACK_LINES = 4
FIRST_Z_UM = 92.0
Z_STEP_UM = 5.0

Epoch = tuple[int, int, int, int, int, float]


@dataclass(frozen=True, slots=True)
class RecordingLayout:
    """How a synthetic recording is scanned: all that its header text depends on."""

    channel_save: tuple[int, ...]
    """Saved detectors, counted from 1 as ScanImage does."""
    n_planes: int
    """Planes in a volume, flyback not counted."""
    n_flyback: int
    """Flyback frames on disk after each volume."""
    frames_per_slice: int
    """Frames on disk at one plane before z moves on."""
    n_volumes: int
    """Volumes in the recording."""
    shape: tuple[int, int]
    """Height and width of a page, in pixels."""
    averaging: int
    """Scanned frames averaged into one frame on disk (`logAverageFactor`)."""
    stack_mode: str
    """`fast` (z moves during the scan) or `slow` (one acquisition per slice, pauses between)."""
    frame_rate_hz: float
    """Rate of the scan before averaging."""
    slow_gap_s: float
    """Pause between two slices of a slow stack."""
    pages_per_file: int | None
    """Pages in a file, None for one file."""

    @property
    def n_channels(self) -> int:
        """Number of saved channels."""
        return len(self.channel_save)

    @property
    def frames_per_volume(self) -> int:
        """Frames on disk in a volume, flyback counted."""
        return self.n_planes * self.frames_per_slice + self.n_flyback

    @property
    def n_frames(self) -> int:
        """Frames of the recording before any is dropped, flyback counted."""
        return self.n_volumes * self.frames_per_volume

    @property
    def is_stack(self) -> bool:
        """Whether z moves at all."""
        return self.n_planes > 1 or self.n_flyback > 0

    @property
    def line_period_s(self) -> float:
        """Seconds from one scan line to the next, when a frame is its lines and `FLYBACK_LINES` more."""
        return 1 / (self.frame_rate_hz * (self.shape[0] + FLYBACK_LINES))

    @property
    def field_of_view_deg(self) -> tuple[float, float]:
        """Width and height of the image in scan degrees; pixels are square."""
        height, width = self.shape
        width_deg = FULL_SCAN_ANGLE_DEG / ZOOM
        return width_deg, width_deg * height / width

    @property
    def pixel_size_um(self) -> float:
        """Width, and height, of a pixel in micrometers."""
        return self.field_of_view_deg[0] * OBJECTIVE_RESOLUTION_UM_PER_DEG / self.shape[1]


def matlab_literal(value: Any) -> str:
    """Return `value` as ScanImage prints it.

    Parameters
    ----------
    value : bool, int, float, str, list or tuple
        A list is a row vector, a list of lists a matrix, a tuple a cell array.

    Examples
    --------
    >>> [matlab_literal(v) for v in (True, 4.149272e-05, "it's", [1, 4], [[1], [2]], ("a", [-1, 1]), [[7]])]
    ['true', '4.14927e-05', "'it''s'", '[1 4]', '[1;2]', "{'a' [-1 1]}", '7']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, float):
        return "Inf" if math.isinf(value) else f"{value:.6g}"
    if isinstance(value, tuple):
        return "{" + " ".join(matlab_literal(item) for item in value) + "}"
    if isinstance(value, list):
        return _matlab_matrix(value)
    return str(value)


def _matlab_matrix(rows: list[Any]) -> str:
    """Return a row vector or a matrix as MATLAB text; one element alone has no brackets."""
    if len(rows) == 1:
        return matlab_literal(rows[0])
    if rows and isinstance(rows[0], list):
        return "[" + ";".join(" ".join(matlab_literal(item) for item in row) for row in rows) + "]"
    return "[" + " ".join(matlab_literal(item) for item in rows) + "]"


def header_text(layout: RecordingLayout, *, acq_state: str, overrides: Mapping[str, str | None], as_json: bool) -> str:
    """Return the header text shared by all pages of a file.

    Parameters
    ----------
    layout : RecordingLayout
        How the recording is scanned.
    acq_state : str
        `grab` or `loop`.
    overrides : mapping of str to str or None
        Key without `SI.` to raw text, MATLAB or with `as_json` JSON; None removes the entry.
    as_json : bool
        One nested JSON object instead of lines.
    """
    values = _header_values(layout, acq_state)
    for key in (key for key, text in overrides.items() if text is None):
        values.pop(key, None)
    raw = {key: text for key, text in overrides.items() if text is not None}
    if as_json:
        return _header_json(values | {key: json.loads(text) for key, text in raw.items()})
    lines = {key: matlab_literal(value) for key, value in values.items()} | raw
    return "".join(f"SI.{key} = {lines[key]}\n" for key in sorted(lines))


def _header_json(values: Mapping[str, Any]) -> str:
    """Return dotted keys as nested JSON objects under `SI`; infinity becomes `"_Inf_"`, as JSONLab writes it."""
    tree: dict[str, Any] = {}
    for key in sorted(values):
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        value = values[key]
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        node[leaf] = "_Inf_" if value == math.inf else value
    return json.dumps({"SI": tree}, indent=2) + "\n"


def _header_values(layout: RecordingLayout, acq_state: str) -> dict[str, Any]:
    """Return all header entries as Python values, keys without `SI.`."""
    top = {
        "LINE_FORMAT_VERSION": 1,
        "PREMIUM": True,
        "TIFF_FORMAT_VERSION": 4,
        "VERSION_COMMIT": "3baa4b74bec9938bfd4c7403bddbe78f2a0ccd93",
        "VERSION_MAJOR": 2021,
        "VERSION_MINOR": 0,
        "VERSION_UPDATE": 0,
        "acqState": acq_state,
        "acqsPerLoop": 10 if acq_state == "loop" else 1,
        "extTrigEnable": False,
        "imagingSystem": "vDAQ_main",
        "loopAcqInterval": 10,
        "name": "ScanImage",
        "objectiveResolution": OBJECTIVE_RESOLUTION_UM_PER_DEG,
        "hBeams.powerFractions": [0.15, 0],
        "hBeams.powers": [15, 0],
        "hConfigurationSaver.cfgFilename": "C:\\ScanImage\\config = two photon.cfg",
        "hMotors.samplePosition": [0, 0, 0],
        "hPmts.bandwidths": [4e6, 4e6],
        "hPmts.gains": [0.65, 0.6],
        "hPmts.names": ("PMT green", "PMT red"),
        "hPmts.offsets": [0, 0],
        "hPmts.powersOn": [True, True],
    }
    return top | _channel_values(layout) | _stack_values(layout) | _roi_values(layout) | _scan_values(layout)


def _channel_values(layout: RecordingLayout) -> dict[str, Any]:
    """Return the entries about detectors."""
    n_available = max(4, *layout.channel_save)
    colors = ("green", "red", "blue", "gray")
    return {
        "hChannels.channelAdcResolution": (16,) * n_available,
        "hChannels.channelDisplay": list(layout.channel_save),
        "hChannels.channelInputRange": ([-1, 1],) * n_available,
        "hChannels.channelLUT": ([0, 100],) * n_available,
        "hChannels.channelMergeColor": tuple(colors[k % len(colors)] for k in range(n_available)),
        "hChannels.channelName": tuple(f"Channel {k + 1}" for k in range(n_available)),
        "hChannels.channelOffset": [-1658, 1055, -4481, 486] + [0] * (n_available - 4),
        "hChannels.channelSave": list(layout.channel_save),
        "hChannels.channelSubtractOffset": [True] * n_available,
        "hChannels.channelType": ("stripe",) * n_available,
        "hChannels.channelsActive": list(layout.channel_save),
        "hChannels.channelsAvailable": n_available,
        "hChannels.loggingEnable": 1,
    }


def _stack_values(layout: RecordingLayout) -> dict[str, Any]:
    """Return the entries about planes, volumes and flyback; they count frames before averaging."""
    slow = layout.stack_mode == "slow"
    frames_per_slice = layout.frames_per_slice * layout.averaging
    repeats = frames_per_slice if slow else 1
    zs = [FIRST_Z_UM + Z_STEP_UM * plane for plane in range(layout.n_planes) for _ in range(repeats)]
    return {
        "hFastZ.discardFlybackFrames": layout.n_flyback > 0,
        "hFastZ.enable": layout.is_stack and not slow,
        "hFastZ.flybackTime": 0.0117,
        "hFastZ.hasFastZ": True,
        "hFastZ.numDiscardFlybackFrames": layout.n_flyback * layout.averaging,
        "hFastZ.position": FIRST_Z_UM,
        "hFastZ.waveformType": "sawtooth",
        "hStackManager.actualNumSlices": layout.n_planes,
        "hStackManager.actualNumVolumes": layout.n_volumes,
        "hStackManager.actualStackZStepSize": Z_STEP_UM,
        "hStackManager.arbitraryZs": [[0], [1]],
        "hStackManager.enable": layout.is_stack,
        "hStackManager.framesPerSlice": frames_per_slice,
        "hStackManager.numFastZActuators": 1,
        "hStackManager.numFramesPerVolume": layout.n_planes * frames_per_slice,
        "hStackManager.numFramesPerVolumeWithFlyback": layout.frames_per_volume * layout.averaging,
        "hStackManager.numSlices": layout.n_planes,
        "hStackManager.numVolumes": layout.n_volumes,
        "hStackManager.stackActuator": "motor" if slow else "fastZ",
        "hStackManager.stackDefinition": "uniform",
        "hStackManager.stackMode": layout.stack_mode,
        "hStackManager.stackZEndPos": [],
        "hStackManager.stackZStartPos": [],
        "hStackManager.stackZStepSize": Z_STEP_UM,
        "hStackManager.zs": zs,
        "hStackManager.zsAllActuators": [[z] for z in zs],
        "hStackManager.zsRelative": [[0.0 if slow else z] for z in zs],
    }


def _roi_values(layout: RecordingLayout) -> dict[str, Any]:
    """Return the entries about frame geometry and rates."""
    height, width = layout.shape
    half_x, half_y = (angle / 2 for angle in layout.field_of_view_deg)
    corners = [[-half_x, -half_y], [half_x, -half_y], [half_x, half_y], [-half_x, half_y]]
    return {
        "hRoiManager.forceSquarePixels": True,
        "hRoiManager.imagingFovDeg": corners,
        "hRoiManager.imagingFovUm": [[angle * OBJECTIVE_RESOLUTION_UM_PER_DEG for angle in row] for row in corners],
        "hRoiManager.linePeriod": layout.line_period_s,
        "hRoiManager.linesPerFrame": height,
        "hRoiManager.mroiEnable": False,
        "hRoiManager.pixelsPerLine": width,
        "hRoiManager.scanAngleMultiplierFast": 1,
        "hRoiManager.scanAngleMultiplierSlow": 1,
        "hRoiManager.scanFramePeriod": 1 / layout.frame_rate_hz,
        "hRoiManager.scanFrameRate": layout.frame_rate_hz,
        "hRoiManager.scanRotation": 0,
        "hRoiManager.scanType": "frame",
        "hRoiManager.scanVolumeRate": layout.frame_rate_hz / (layout.frames_per_volume * layout.averaging),
        "hRoiManager.scanZoomFactor": ZOOM,
    }


def _scan_values(layout: RecordingLayout) -> dict[str, Any]:
    """Return the entries about the scanner and the log file."""
    log_frames = math.inf if layout.pages_per_file is None else layout.pages_per_file // layout.n_channels
    return {
        "hScan2D.bidirectional": True,
        "hScan2D.channels": (),
        "hScan2D.channelsDataType": "int16",
        "hScan2D.fillFractionSpatial": 0.9,
        "hScan2D.fillFractionTemporal": 0.712867,
        "hScan2D.flybackTimePerFrame": FLYBACK_LINES * layout.line_period_s,
        "hScan2D.flytoTimePerScanfield": 0.001,
        "hScan2D.fovCornerPoints": [[-5, -10], [5, -10], [5, 10], [-5, 10]],
        "hScan2D.hasResonantMirror": True,
        "hScan2D.linePhase": -7.44e-07,
        "hScan2D.logAverageFactor": layout.averaging,
        "hScan2D.logFramesPerFile": log_frames,
        "hScan2D.name": "vDAQ_main",
        "hScan2D.pixelBinFactor": 1,
        "hScan2D.sampleRate": 1.25e08,
        "hScan2D.scanMode": "resonant",
        "hScan2D.scannerFrequency": 1 / (2 * layout.line_period_s),
        "hScan2D.scannerToRefTransform": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "hScan2D.scannerType": "RGG",
        "hScan2D.simulated": False,
    }


def roi_json(layout: RecordingLayout) -> str:
    """Return the ROI text of a recording with one imaging scanfield; sizes are in scan degrees."""
    height, width = layout.shape
    size_x, size_y = layout.field_of_view_deg
    scanfield = {
        "ver": 1,
        "classname": "scanimage.mroi.scanfield.fields.RotatedRectangle",
        "name": "Default Imaging Scanfield",
        "centerXY": [0, 0],
        "sizeXY": [size_x, size_y],
        "rotationDegrees": 0,
        "enable": 1,
        "pixelResolutionXY": [width, height],
        "affine": [[size_x, 0, -size_x / 2], [0, size_y, -size_y / 2], [0, 0, 1]],
    }
    roi = {
        "ver": 1,
        "classname": "scanimage.mroi.Roi",
        "name": "Default Imaging Roi",
        "zs": 0,
        "scanfields": scanfield,
        "discretePlaneMode": 0,
        "enable": 1,
    }
    imaging = {"ver": 1, "classname": "scanimage.mroi.RoiGroup", "name": "Default Imaging ROI Group", "rois": roi}
    groups = {"imagingRoiGroup": imaging, "photostimRoiGroups": None, "integrationRoiGroup": {"ver": 1, "rois": []}}
    return json.dumps({"RoiGroups": groups}, indent=2) + "\n"


def epoch_line(epoch: Epoch | None) -> str:
    """Return the `epoch` line of a page text, empty for None."""
    if epoch is None:
        return ""
    year, month, day, hour, minute, second = epoch
    return f"epoch = [{year} {month:2d} {day:2d} {hour:2d} {minute:2d} {second:.3f}]\n"


def page_text(
    *,
    frame_number: int,
    acquisition: int,
    frame_in_acquisition: int,
    timestamp_s: float | None,
    trigger_s: float,
    ends_acquisition: bool,
    ends_recording: bool,
    epoch: str,
    aux_trigger_s: Sequence[float],
) -> str:
    """Return the text of one page; `timestamp_s` None leaves its line out, `epoch` is a line ready to use."""
    timestamp = "" if timestamp_s is None else f"frameTimestamps_sec = {timestamp_s:.9f}\n"
    aux = " ".join(f"{time:.9f}" for time in aux_trigger_s)
    return (
        f"frameNumbers = {frame_number}\nacquisitionNumbers = {acquisition}\n"
        f"frameNumberAcquisition = {frame_in_acquisition}\n{timestamp}"
        f"acqTriggerTimestamps_sec = {trigger_s:.9f}\nnextFileMarkerTimestamps_sec = -1.000000000\n"
        f"endOfAcquisition = {ends_acquisition:d}\nendOfAcquisitionMode = {ends_recording:d}\n"
        f"dcOverVoltage = 0\n{epoch}auxTrigger0 = [{aux}]\nauxTrigger1 = []\nauxTrigger2 = []\nauxTrigger3 = []\n"
        "I2CData = {}\n"
    )
