"""All parameters of the node in one table: type, default, range, meaning. No rclpy here.

docs/ros_parameters.md is generated from this table, and so are the descriptors that `ros2 param
describe` and rqt show.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oryx_scene.config import (
    AnswersConfig,
    BudgetConfig,
    MarksConfig,
    PipelineConfig,
    SettingsGroup,
    ViewsConfig,
    settings_of,
)
from oryx_scene.geometry.turning import TURNS
from oryx_scene.memory.recorder import MemoryConfig
from oryx_scene.model.api import Limits

CAMERA_NAME = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
MAX_CAMERAS = 16

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Spec:
    """One parameter.

    Attributes:
        name: dotted; "{camera}" stands for a camera's name.
        default: its type is the parameter's type.
        text: meaning, unit included.
        low, high: allowed range of numbers, ends included.
        choices: allowed texts or integers.
        read_only: only taken over by "configure"; refused while the node is configured.
    """

    name: str
    default: Value
    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | tuple[int, ...] = ()
    read_only: bool = False

    @property
    def kind(self) -> str:
        """The type's name as ROS spells it."""
        if isinstance(self.default, list):
            return "string_array"
        names = {bool: "bool", int: "integer", float: "double", str: "string"}
        return names[type(self.default)]

    def range_text(self) -> str:
        """The allowed values in words, "" for any."""
        if self.choices:
            return ", ".join(str(choice) or '""' for choice in self.choices)
        if self.low is None or self.high is None:
            return ""
        return " .. ".join(f"{end:.10g}" for end in (self.low, self.high))


def _camera(name: str, default: Value, text: str, **rest: Any) -> Spec:
    return Spec(f"camera.{{camera}}.{name}", default, text, read_only=True, **rest)


def _of(group: type[SettingsGroup], **node_defaults: Value) -> tuple[Spec, ...]:
    """Parameters of one group of the library's settings."""
    defaults = {**{name: getattr(group, name) for name in settings_of(group)}, **node_defaults}
    return tuple(
        Spec(
            f"{group.group}.{name}".lstrip("."),
            defaults[name],
            one.text,
            one.low,
            one.high,
            one.choices,
        )
        for name, one in settings_of(group).items()
    )


CAMERA_SPECS = (
    _camera("topic", "", "Picture topic without its transport; empty = `<name>/image_raw`."),
    _camera(
        "transport",
        "raw",
        "`compressed` subscribes to `<topic>/compressed`.",
        choices=("raw", "compressed"),
    ),
    _camera("info_topic", "", "CameraInfo topic; empty = `camera_info` beside the picture topic."),
    _camera("depth_topic", "", "Depth topic without its transport; empty = no depth."),
    _camera(
        "depth_transport",
        "raw",
        "`compressedDepth` and `compressed` (16-bit png) subscribe to that topic below "
        "`<depth_topic>`.",
        choices=("raw", "compressedDepth", "compressed"),
    ),
    _camera(
        "depth_info_topic",
        "",
        "CameraInfo of the depth camera; empty = `camera_info` beside the depth topic.",
    ),
    _camera(
        "detections_topic",
        "",
        "vision_msgs/Detection2DArray about this camera's pictures; where any camera has one, "
        "marks are what detectors find. Empty = none.",
    ),
    _camera(
        "rotate_deg",
        0,
        "By how many degrees clockwise its pictures are turned to stand upright, for a camera that "
        "is mounted turned; 0 = as the rig file says, else not.",
        choices=TURNS,
    ),
    _camera("required", True, "false: without this camera questions are answered with a warning."),
)

SPECS = (
    Spec("cameras", ["front"], f"Names of the cameras, 1 to {MAX_CAMERAS}.", read_only=True),
    Spec(
        "image_reliability",
        "best_effort",
        "QoS of camera subscriptions. `best_effort` receives from every publisher; "
        "`best_available` is decided by the publishers that are there at activation.",
        choices=("best_effort", "reliable", "best_available"),
        read_only=True,
    ),
    Spec(
        "rig_file", "", "Calibration YAML (see docs/calibration.md); empty = none.", read_only=True
    ),
    # A node looks back only where it is told to: its robot may stand for hours.
    *_of(ViewsConfig, history_s=0.0),
    Spec(
        "sync.policy",
        "warn",
        "What happens where no frames of all cameras lie within views.slop_s: answer with a "
        "warning, or `refuse` with SYNC_FAILED.",
        choices=("warn", "refuse"),
    ),
    Spec("sync.buffer_s", 1.0, "All frames of this last span are kept for matching, s.", 0.1, 30.0),
    Spec("buffer_mib", 256, "Bound on the frames kept of all cameras together, MiB.", 16, 65536),
    Spec(
        "frame_wait_s",
        2.0,
        "How long a question waits for fresh frames, s (steady clock).",
        0.0,
        60.0,
    ),
    Spec(
        "fixed_frame", PipelineConfig.fixed_frame, settings_of(PipelineConfig)["fixed_frame"].text
    ),
    Spec("answer_frame", "", "Coordinate frame of places in answers; empty = fixed_frame."),
    Spec(
        "tf_timeout_s",
        0.2,
        "How long a question waits for depth, calibration, detections and transforms of its "
        "frames, s.",
        0.0,
        5.0,
    ),
    Spec(
        "tf_history_s",
        30.0,
        "How much of each moving transform is kept, s.",
        1.0,
        3600.0,
        read_only=True,
    ),
    Spec("queue.capacity", 4, "Most questions that wait besides the running one.", 0, 64),
    Spec(
        "queue.policy",
        "reject_new",
        "A full queue refuses the new question (BUSY), or drops the oldest of the lowest priority.",
        choices=("reject_new", "drop_oldest"),
    ),
    Spec(
        "query_timeout_s",
        30.0,
        "Deadline of a question from acceptance on, s (steady clock).",
        0.1,
        600.0,
    ),
    Spec("scene_ttl_s", 60.0, "How long a frozen scene is kept, s (ROS time).", 0.0, 3600.0),
    Spec("scene_max", 4, "Most frozen scenes that are kept; the oldest goes first.", 1, 64),
    Spec(
        "model.name",
        "default",
        "`default`, `random`, a checkpoint folder, or a hub id.",
        read_only=True,
    ),
    Spec(
        "model.device",
        "",
        "`cpu`, `cuda`, `cuda:1`; empty = CUDA where there is one.",
        read_only=True,
    ),
    Spec(
        "model.dtype",
        "",
        "Empty = float32 on CPU, bfloat16 on CUDA.",
        choices=("", "float32", "bfloat16", "float16"),
        read_only=True,
    ),
    Spec(
        "model.quantization",
        "none",
        "Of the language model's weights.",
        choices=("none", "int8", "int4"),
        read_only=True,
    ),
    Spec(
        "model.threads",
        0,
        "CPU threads of torch and of OpenCV each; 0 = half of the cores that the node may use, at "
        "least 1.",
        0,
        1024,
        read_only=True,
    ),
    Spec(
        "model.scene_cache_mib",
        2048,
        "Most memory of the keys and values of scenes that the model has read, MiB; 0 keeps none.",
        0,
        1048576,
        read_only=True,
    ),
    Spec(
        "model.feature_cache_mib",
        512,
        "Most memory of encoded pictures, MiB; 0 keeps none.",
        0,
        1048576,
        read_only=True,
    ),
    Spec("model.warmup", True, "Answer a small made-up question at configure.", read_only=True),
    Spec("gen.max_new_tokens", Limits.max_new_tokens, "Most tokens of an answer.", 1, 4096),
    Spec("gen.temperature", Limits.temperature, "0 = greedy, repeatable.", 0.0, 2.0),
    Spec("gen.top_p", Limits.top_p, "Nucleus of sampling; above 0.", 0.0, 1.0),
    Spec("gen.seed", Limits.seed, "Of sampling.", 0, 4294967295),
    *_of(BudgetConfig),
    *_of(MarksConfig),
    Spec(
        "marks.keep_numbers",
        True,
        "An object keeps its number over questions: RGB-D frames are fused into a map beside the "
        "questions. false: each scene is numbered for itself, as by `oryx-scene ask`.",
    ),
    Spec(
        "marks.map_hz",
        2.0,
        "Most frames of each RGB-D camera that are fused into the map, per second.",
        0.1,
        60.0,
    ),
    *_of(AnswersConfig),
    Spec(
        "watch.question",
        "",
        "Asked again and again while the node is active, behind the callers' questions; answers on "
        "~/watch/answer and ~/answer. Empty = none.",
    ),
    Spec("watch.period_s", 10.0, "How often, s (steady clock).", 0.1, 86400.0),
    Spec(
        "watch.when",
        "always",
        "`changed`: only after geometry (depth, poses) has found something that appeared, "
        "disappeared or moved since the last answer, or cannot tell.",
        choices=("always", "changed"),
    ),
    Spec("watch.format", "text", "Of the answer.", choices=("text", "yes_no", "marks")),
    Spec(
        "memory.folder",
        "",
        "Where the robot's memory is (docs/remember.md): what stood where, when it was last seen "
        "and first missed; made where it is missing, gone on with where it is not. Empty = none.",
        read_only=True,
    ),
    Spec(
        "memory.quota_mib",
        2048,
        "Most that all its files take, MiB: pictures go first, rows of things never.",
        4,
        16777216,
        read_only=True,
    ),
    Spec(
        "memory.session",
        "check",
        "How this run's poses are known to be in the memory's map: by its walls, which must be "
        "where they were; `same`: you say so, where too little is measured; `apart`: a new map.",
        choices=("check", "same", "apart"),
        read_only=True,
    ),
    Spec(
        "memory.base_frame",
        "base_link",
        "TF frame of the robot that drives: its path is the ground of view goals. Empty, or "
        "unknown to TF = the floor below the camera.",
        read_only=True,
    ),
    Spec(
        "memory.rate_hz",
        MemoryConfig.rate_hz,
        "Most frames of each camera that are recorded, per second.",
        0.1,
        60.0,
        read_only=True,
    ),
    Spec(
        "memory.queue",
        16,
        "Most frames that wait to be recorded; the oldest is dropped, which /diagnostics counts.",
        1,
        1024,
    ),
    Spec(
        "autostart",
        False,
        "Configure and activate without a lifecycle manager. scene.launch.py and `oryx-scene node` "
        "say true where it is not set.",
        read_only=True,
    ),
    Spec(
        "answer_lifespan_s",
        0.0,
        "After this time a late subscriber no longer gets the last answer, s of system time (also "
        "under sim time); 0 = never.",
        0.0,
        86400.0,
        read_only=True,
    ),
    Spec(
        "report_period_s", 1.0, "Period of /diagnostics and ~/status, s (steady clock).", 0.1, 60.0
    ),
    Spec(
        "dump.folder", "", "Where ~/dump_query writes; empty = `oryx_scene_dumps` in the ROS home."
    ),
    Spec("dump.keep", 4, "How many of the last questions can be dumped.", 0, 64),
    Spec(
        "record.folder",
        "",
        "Where answers and their evidence are recorded as mcap while the node is active; empty = "
        "nowhere.",
        read_only=True,
    ),
    Spec(
        "record.split_mib",
        256,
        "A new file is begun when one is this large, MiB.",
        1,
        65536,
        read_only=True,
    ),
    Spec(
        "record.max_mib",
        4096,
        "Most that all recordings of this node in the folder take, MiB; the oldest goes first, "
        "also of earlier runs. At least twice record.split_mib.",
        2,
        16777216,
        read_only=True,
    ),
    Spec(
        "record.keep_free_mib",
        1024,
        "Nothing is written while less than this is free on the disk, MiB.",
        0,
        16777216,
        read_only=True,
    ),
)
BY_NAME = {spec.name: spec for spec in SPECS}


def camera_specs(name: str) -> tuple[Spec, ...]:
    """The parameters of one camera."""
    return tuple(
        Spec(
            spec.name.format(camera=name),
            spec.default,
            spec.text,
            spec.low,
            spec.high,
            spec.choices,
            spec.read_only,
        )
        for spec in CAMERA_SPECS
    )


def all_specs(cameras: Sequence[str]) -> dict[str, Spec]:
    """Every parameter of a node with these cameras, by name."""
    found = dict(BY_NAME)
    for name in cameras:
        found |= {spec.name: spec for spec in camera_specs(name)}
    return found


def problem_with(spec: Spec, value: object) -> str:
    """Why ``value`` cannot be taken, in one sentence; "" if it can."""
    if isinstance(spec.default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(spec.default):
        return f"{spec.name} must be of type {spec.kind}, got {value!r}."
    if spec.choices and value not in spec.choices:
        return f"{spec.name} is {value!r}; it must be one of {spec.range_text()}."
    if spec.low is not None and spec.high is not None:
        assert isinstance(value, int | float)
        # Written this way round NaN is refused, too.
        if not spec.low <= value <= spec.high:
            return f"{spec.name} is {value}; it must lie between {spec.low:g} and {spec.high:g}."
    if spec.name == "gen.top_p" and value == 0:
        return "gen.top_p is 0; it must be above 0."
    if spec.name == "fixed_frame" and not value:
        return "fixed_frame is empty; name a coordinate frame, e.g. map or odom."
    return _problem_with_cameras(value) if spec.name == "cameras" else ""


def _problem_with_cameras(value: object) -> str:
    names = list(value) if isinstance(value, list) else []
    if not 1 <= len(names) <= MAX_CAMERAS:
        return f"cameras names {len(names)} cameras; 1 to {MAX_CAMERAS} are possible."
    for name in names:
        if not isinstance(name, str) or not CAMERA_NAME.match(name):
            return f"cameras holds {name!r}; names are lower-case letters, digits and underscores."
    if len(set(names)) != len(names):
        return "cameras names a camera twice."
    return ""


def unknown_parameter(
    cameras: Sequence[str], given: Sequence[str], undeclared: Sequence[str]
) -> str:
    """Why a name in a parameter file must be a mistake, in one sentence; "" if none is.

    A name of ours that is misspelt would change nothing in silence. What belongs to nobody here
    (a file for several nodes) and what belongs to a camera that is not used now is no mistake; see
    :func:`parameters_left_out`.

    Args:
        cameras: names of the cameras in use.
        given: all names that were given.
        undeclared: those of them that the node does not have.
    """
    known = all_specs(cameras)
    members = {spec.name.rpartition(".")[2] for spec in CAMERA_SPECS}
    groups = {name.partition(".")[0] for name in known if "." in name}
    bare = sorted(set(cameras) - _described(given))
    for name in undeclared:
        group, _, rest = name.partition(".")
        camera, _, member = rest.partition(".")
        if group == "camera" and camera not in cameras and member in members:
            if bare:
                named = ", ".join(cameras)
                return f"the parameter {name} belongs to no camera; cameras are: {named}."
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if close or group in groups:
            meant = f" Is {close[0]} meant?" if close else ""
            return f"the node has no parameter {name}.{meant}"
    return ""


def parameters_left_out(
    cameras: Sequence[str], given: Sequence[str], undeclared: Sequence[str]
) -> list[str]:
    """What was given and is not used, one sentence each; arguments as above."""
    unused = sorted(_described(given) - set(cameras))
    said = [f"camera '{name}' has parameters but is not among 'cameras'." for name in unused]
    ours = ("camera.", "qos_overrides.")
    said += [f"the node has no parameter {n}." for n in undeclared if not n.startswith(ours)]
    return said


def _described(given: Sequence[str]) -> set[str]:
    """Cameras that have parameters of their own."""
    return {name.split(".")[1] for name in given if name.startswith("camera.")}
