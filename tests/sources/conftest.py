import pytest
from folder_layouts import write_depth, write_picture


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
    return folder
