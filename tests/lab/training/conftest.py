import pytest


@pytest.fixture(scope="session")
def muon():
    """For tests that take steps: an older torch is no reason to skip any other one."""
    torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("training needs Muon: torch >= 2.9 (extra 'train')")
