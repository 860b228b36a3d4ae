import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.model.oryx.attention import (  # noqa: E402
    choose_backend,
    grouped_attention,
    packed_attention,
    reference_attention,
)
from oryx_scene.model.oryx.vision import OryxViT, VisionConfig  # noqa: E402

LENGTHS = [(7,), (5, 5, 5), (3, 8, 3, 1, 8), (1, 2, 3, 4)]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}


def qkv(lengths, dtype, device="cpu"):
    torch.manual_seed(0)
    shape = (sum(lengths), 4, 16)
    return [torch.randn(shape).to(device, dtype) for _ in range(3)]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_grouped_equals_the_plain_loop(lengths, dtype):
    q, k, v = qkv(lengths, dtype)
    ours = grouped_attention(q, k, v, lengths)
    plain = reference_attention(q, k, v, lengths)
    assert (ours - plain).abs().max() <= TOLERANCE[dtype]


def test_no_picture_sees_another():
    lengths = (4, 6)
    q, k, v = qkv(lengths, torch.float32)
    before = packed_attention(q, k, v, lengths)[:4]
    k[4:] += 10
    v[4:] -= 3
    assert torch.equal(packed_attention(q, k, v, lengths)[:4], before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("lengths", LENGTHS)
def test_the_gpu_kernel_equals_the_plain_loop(lengths):
    q, k, v = qkv(lengths, torch.bfloat16, "cuda")
    name = choose_backend("cuda", torch.bfloat16, 16)
    ours = packed_attention(q, k, v, lengths, name).float()
    plain = reference_attention(q.float(), k.float(), v.float(), lengths)
    assert (ours - plain).abs().max() <= 3e-2


def test_packing_pictures_changes_nothing():
    config = VisionConfig(width=32, depth=2, heads=4, mlp_hidden=48, position_grid=8)
    torch.manual_seed(0)
    tower = OryxViT(config).eval()
    torch.nn.init.normal_(tower.pos_embed)
    pictures = [torch.randn(3, h, w) for h, w in ((32, 48), (64, 32), (32, 48), (16, 16))]
    with torch.inference_mode():
        packed = tower(pictures)
        alone = [tower([picture])[0] for picture in pictures]
    for a, b in zip(packed, alone, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() < 1e-5


def test_positions_are_torch_bilinear_and_exact_at_the_own_grid():
    config = VisionConfig(width=8, depth=1, heads=2, mlp_hidden=8, position_grid=6)
    tower = OryxViT(config)
    torch.nn.init.normal_(tower.pos_embed)
    assert torch.equal(tower.positions(6, 6), tower.pos_embed[0])
    table = tower.pos_embed.detach().reshape(6, 6, 8).permute(2, 0, 1)[None].contiguous()
    plain = torch.nn.functional.interpolate(table, size=(3, 10), mode="bilinear")
    expected = plain[0].permute(1, 2, 0).reshape(30, 8)
    assert (tower.positions(3, 10) - expected).abs().max() < 1e-6
