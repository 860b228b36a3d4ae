"""A finished replay as one mcap of standard messages that RViz and Foxglove can show.

Written from the replay's folder alone, so that an interruption never leaves half a bag. Topics:
/oryx_scene/question, answer_text, answer_json (std_msgs/String), markers
(visualization_msgs/MarkerArray), cloud (sensor_msgs/PointCloud2), marked/<camera>/compressed
(sensor_msgs/CompressedImage) with camera_info, and /tf.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.atomic_io import write_json
from oryx_scene.errors import OutputError
from oryx_scene.records import Intrinsics
from oryx_scene.replay.journal import read_answers, read_scene
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.view.foxglove import TOPIC, foxglove_layout
from oryx_scene.view.markers import scene_markers
from oryx_scene.view.snapshot import Snapshot
from oryx_scene.view.snapshot_file import jpeg_bytes
from oryx_scene.view.step import Step, answer_step, marked_picture


def write_replay_bag(folder: Path, path: Path) -> int:
    """Write the answers in ``folder`` to ``path``; returns how many.

    Args:
        folder: of a replay.
        path: a single file if it ends in ".mcap", else a bag folder; must not exist.

    Raises:
        OutputError: it exists, or cannot be written.
        SourceError: the folder is damaged.
    """
    if path.exists():
        raise OutputError(path, "it exists.", hint="choose another name or remove it first")
    if path.suffix != ".mcap":
        return _write(folder, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target: the last step is then a rename within one file system.
        with tempfile.TemporaryDirectory(prefix=".replay-", dir=path.parent) as scratch:
            bag = Path(scratch) / "bag"
            count = _write(folder, bag)
            shutil.move(next(bag.glob("*.mcap")), path)
    except OSError as err:
        raise OutputError(path, err.strerror or str(err)) from err
    return count


def write_layout(folder: Path, path: Path) -> None:
    """Write the Foxglove layout that fits the bag of the replay in ``folder``.

    Raises:
        OutputError: it cannot be written.
        SourceError: the folder is damaged.
    """
    scenes = dict.fromkeys(r["scene"] for r in read_answers(folder) if "answer" in r)
    snapshots = [read_scene(folder, scene) for scene in scenes]
    cameras = sorted({camera.camera for snapshot in snapshots for camera in snapshot.cameras})
    frame_id = next((snapshot.frame_id for snapshot in snapshots if snapshot.frame_id), "map")
    write_json(path, foxglove_layout(cameras, frame_id))


def _write(folder: Path, path: Path) -> int:
    count, shown = 0, ""
    last_ns = 0
    with BagWriter(path) as writer:
        for record in sorted(read_answers(folder), key=lambda item: int(item["at_ns"])):
            # Bag times must tell the questions of one moment apart, in order.
            stamp_ns = max(int(record["at_ns"]), last_ns + 1)
            last_ns = stamp_ns
            if "answer" not in record:
                text = f"error: {record['error']['message']}"
                writer.add_text(f"{TOPIC}/answer_text", stamp_ns, text)
                continue
            snapshot = read_scene(folder, record["scene"])
            step = answer_step(record["key"], record["answer"], snapshot)
            if record["scene"] != shown:
                write_scene(writer, stamp_ns, step)
                shown = record["scene"]
            write_answer(writer, stamp_ns, step)
            count += 1
    return count


def write_answer(writer: BagWriter, stamp_ns: int, step: Step) -> None:
    """Question, answer and markers of one step.

    Raises:
        OutputError: the disk is full or the folder is gone.
    """
    answer = step.answer
    writer.add_text(f"{TOPIC}/question", stamp_ns, answer["question"]["text"])
    writer.add_text(f"{TOPIC}/answer_text", stamp_ns, answer["text"])
    as_json = json.dumps(answer, sort_keys=True, allow_nan=False, ensure_ascii=False)
    writer.add_text(f"{TOPIC}/answer_json", stamp_ns, as_json)
    if not step.snapshot.frame_id:
        return  # nothing has a place, and a marker without a coordinate frame is an error in RViz
    markers = scene_markers(
        step.marks,
        step.relations,
        frame_id=step.snapshot.frame_id,
        stamp_ns=stamp_ns,
        named=step.named,
        path=step.snapshot.path.tolist(),
    )
    message = writer.type("visualization_msgs/msg/MarkerArray")(
        [marker_message(writer, marker) for marker in markers]
    )
    writer.write(f"{TOPIC}/markers", "visualization_msgs/msg/MarkerArray", stamp_ns, message)


def write_scene(writer: BagWriter, stamp_ns: int, step: Step) -> None:
    """Marked pictures with calibration and pose, and the cloud where the snapshot has one.

    Raises:
        OutputError: the disk is full or the folder is gone.
    """
    snapshot = step.snapshot
    if len(snapshot.cloud.points):
        cloud = cloud_message(writer, snapshot, stamp_ns)
        writer.write(f"{TOPIC}/cloud", "sensor_msgs/msg/PointCloud2", stamp_ns, cloud)
    newest = {camera.camera: index for index, camera in enumerate(snapshot.cameras)}
    for name, index in newest.items():
        camera = snapshot.cameras[index]
        picture = marked_picture(step, index)
        base, frame_id = f"{TOPIC}/marked/{name}", f"oryx_scene/{name}"
        if camera.T_fixed_camera is not None:
            writer.add_transform(snapshot.frame_id, frame_id, stamp_ns, camera.T_fixed_camera)
        if camera.K is not None:
            height, width = picture.shape[:2]
            K = camera.K.astype(np.float64).copy()
            # Pixel centres are integers, so scaling is about the corner at (-0.5, -0.5).
            scale = np.array([width / camera.width, height / camera.height])
            K[0, 0], K[1, 1] = K[0, 0] * scale[0], K[1, 1] * scale[1]
            K[:2, 2] = (K[:2, 2] + 0.5) * scale - 0.5
            info = Intrinsics(K, height, width)
            writer.add_camera_info(f"{base}/camera_info", stamp_ns, frame_id, info)
        writer.add_compressed(f"{base}/compressed", stamp_ns, frame_id, jpeg_bytes(picture), "jpeg")


def cloud_message(writer: BagWriter, snapshot: Snapshot, stamp_ns: int) -> Any:
    """sensor_msgs/PointCloud2 with x, y, z and packed rgb, as RViz and Foxglove expect it."""
    points = snapshot.cloud.points
    data = np.zeros(len(points), dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    data["x"], data["y"], data["z"] = points.T
    red, green, blue = snapshot.cloud.colors.astype(np.uint32).T
    data["rgb"] = (red << 16) | (green << 8) | blue
    field = writer.type("sensor_msgs/msg/PointField")
    fields = [field(name, 4 * index, 7, 1) for index, name in enumerate(("x", "y", "z", "rgb"))]
    return writer.type("sensor_msgs/msg/PointCloud2")(
        header=writer.header(stamp_ns, snapshot.frame_id),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=16,
        row_step=16 * len(points),
        data=data.view(np.uint8).reshape(-1),
        is_dense=True,
    )


def marker_message(writer: BagWriter, marker: dict[str, Any]) -> Any:
    """visualization_msgs/Marker from a dictionary of ``view.markers``."""
    make = writer.type
    point = make("geometry_msgs/msg/Point")
    header = marker["header"]
    pose = make("geometry_msgs/msg/Pose")(
        point(*marker["position"]), make("geometry_msgs/msg/Quaternion")(*marker["orientation"])
    )
    lifetime_ns = round(marker["lifetime_s"] * 1e9)
    empty_header = writer.header(0, "")
    return make("visualization_msgs/msg/Marker")(
        header=writer.header(header["stamp_ns"], header["frame_id"]),
        ns=marker["ns"],
        id=marker["id"],
        type=marker["type"],
        action=marker["action"],
        pose=pose,
        scale=make("geometry_msgs/msg/Vector3")(*marker["scale"]),
        color=make("std_msgs/msg/ColorRGBA")(*marker["color"]),
        lifetime=make("builtin_interfaces/msg/Duration")(
            lifetime_ns // 1_000_000_000, lifetime_ns % 1_000_000_000
        ),
        frame_locked=False,
        points=[point(*place) for place in marker["points"]],
        colors=[],
        texture_resource="",
        texture=make("sensor_msgs/msg/CompressedImage")(empty_header, "", np.zeros(0, np.uint8)),
        uv_coordinates=[],
        text=marker["text"],
        mesh_resource="",
        mesh_file=make("visualization_msgs/msg/MeshFile")("", np.zeros(0, np.uint8)),
        mesh_use_embedded_materials=False,
    )
