"""Small folders of pictures in the layouts that people have, made here."""

import cv2
import numpy as np

HEIGHT, WIDTH = 48, 64
EUROC_FIRST_NS, EUROC_STEP_NS = 1403636579763555584, 50_000_000
K = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])


def pose(index):
    """T_world_camera of the ``index``-th frame: 0.1 m further along x, turned about y."""
    angle = 0.02 * index
    T = np.eye(4)
    T[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    T[:3, 3] = (0.1 * index, 0.0, 0.5)
    return T


def write_picture(path, index=0, size=(HEIGHT, WIDTH)):
    """A picture whose blue says which it is; lossless formats only keep it exactly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[..., 0] = index
    pixels[: size[0] // 2, :, 1] = 200
    assert cv2.imwrite(str(path), pixels)


def write_depth(path, metres, unit_m=0.001, size=(HEIGHT, WIDTH)):
    """Depth of one value, its first row 0 and its last row 65535: both are no measurement."""
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = np.full(size, round(metres / unit_m), np.uint16)
    steps[0], steps[-1] = 0, 65535
    assert cv2.imwrite(str(path), steps)


def index_of(frame):
    return int(frame.rgb[0, 0, 2])


def codes(found):
    return [warning.code for warning in found.warnings]


def posed(folder, numbers, *, sub="seq-01", suffix="png", depth_size=(HEIGHT, WIDTH)):
    for index, number in enumerate(numbers):
        base = folder / sub / f"frame-{number:06d}"
        write_picture(base.parent / f"{base.name}.color.{suffix}", index)
        write_depth(base.parent / f"{base.name}.depth.png", 1.5, size=depth_size)
        np.savetxt(base.parent / f"{base.name}.pose.txt", pose(index))
    np.savetxt(folder / "camera-intrinsics.txt", K)
    return folder


def scan_net(folder):
    for index in range(3):
        write_picture(folder / "color" / f"{index}.jpg", index)
        write_depth(folder / "depth" / f"{index}.png", 1.5, size=(24, 32))
        (folder / "pose").mkdir(exist_ok=True)
        np.savetxt(folder / "pose" / f"{index}.txt", pose(index))
    (folder / "intrinsic").mkdir()
    wide, small = np.eye(4), np.eye(4)
    wide[:3, :3] = K
    small[:2, :3] = [[30, 0, 15.5], [0, 30, 11.5]]
    np.savetxt(folder / "intrinsic" / "intrinsic_color.txt", wide)
    np.savetxt(folder / "intrinsic" / "intrinsic_depth.txt", small)
    return folder
