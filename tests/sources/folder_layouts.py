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


def write_tum(folder):
    """Five frames at 30 Hz, depth 12 ms later, poses at 100 Hz."""
    rgb, depth, truth = ["# color images"], ["# depth maps"], ["# ground truth trajectory"]
    for index in range(5):
        stamp = f"{1305031102 + index // 30}.{175304000 + index * 33333000:09d}"
        late = f"1305031102.{187304000 + index * 33333000:09d}"
        write_picture(folder / "rgb" / f"{stamp}.png", index)
        write_depth(folder / "depth" / f"{late}.png", 1.5, 1 / 5000)
        rgb.append(f"{stamp} rgb/{stamp}.png")
        depth.append(f"{late} depth/{late}.png")
    for step in range(41):
        # x grows by 1 m/s from the first picture on.
        seconds = 0.175304 + 0.01 * (step - 10)
        x = seconds - 0.175304
        truth.append(f"{1305031102 + seconds:.4f} {x:.6f} 0 0 0 0 0 1")
    (folder / "rgb.txt").write_text("\n".join(rgb) + "\n")
    (folder / "depth.txt").write_text("\n".join(depth) + "\n")
    (folder / "groundtruth.txt").write_text("\n".join(truth) + "\n")
    np.savetxt(folder / "camera-intrinsics.txt", K)
    return folder


def write_euroc(folder):
    """Two cameras of three frames on a body that is turned a quarter about z."""
    root = folder / "mav0"
    for c, camera in enumerate(("cam0", "cam1")):
        rows = ["#timestamp [ns],filename"]
        for index in range(3):
            stamp = EUROC_FIRST_NS + index * EUROC_STEP_NS
            write_picture(root / camera / "data" / f"{stamp}.png", index)
            rows.append(f"{stamp},{stamp}.png")
        (root / camera / "data.csv").write_text("\r\n".join(rows) + "\r\n")
        (root / camera / "sensor.yaml").write_text(
            f"sensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n"
            f"  data: {pose(c + 1).reshape(-1).tolist()}\n"
            f"resolution: [{WIDTH}, {HEIGHT}]\nintrinsics: [60, 60, 31.5, 23.5]\n"
            "distortion_model: radial-tangential\n"
            "distortion_coefficients: [-0.28, 0.07, 0.0002, 1.8e-05]\n"
        )
    truth = ["#timestamp, p_x, p_y, p_z, q_w, q_x, q_y, q_z, v_x, v_y, v_z"]
    half = np.sqrt(0.5)
    for index in range(-1, 4):  # a quarter turn about z; one more before and after
        stamp = EUROC_FIRST_NS + index * EUROC_STEP_NS
        truth.append(f"{stamp},{index},2,3,{half},0,0,{half},0,0,0")
    (root / "state_groundtruth_estimate0").mkdir()
    (root / "state_groundtruth_estimate0" / "data.csv").write_text("\n".join(truth))
    return folder
