import pytest
from folder_layouts import write_euroc, write_tum


@pytest.fixture
def tum(tmp_path):
    return write_tum(tmp_path / "rgbd_dataset")


@pytest.fixture
def euroc(tmp_path):
    return write_euroc(tmp_path / "MH_01")
