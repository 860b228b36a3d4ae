import numpy as np
import pytest
from folder_layouts import (
    EUROC_FIRST_NS,
    EUROC_STEP_NS,
    HEIGHT,
    WIDTH,
    K,
    pose,
    write_depth,
    write_picture,
)


@pytest.fixture
def tum(tmp_path):
    """Five frames at 30 Hz, depth 12 ms later, poses at 100 Hz."""
    folder = tmp_path / "rgbd_dataset"
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


@pytest.fixture
def euroc(tmp_path):
    root = tmp_path / "MH_01" / "mav0"
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
    return tmp_path / "MH_01"
