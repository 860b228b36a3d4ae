"""Attention over a prefix that many questions share and over what each question adds to it.

Softmax over two sets of keys is the mean of both softmaxes, weighted by their log-sum-exp (Juravsky
et al. 2024, arXiv 2402.05099). So the shared keys are read once for all questions, as one matrix
product, and each question's own keys apart. Exact in real arithmetic; in floating point the sum is
taken in another order. Knows tensors only.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

# Most scores held at once: 64 MiB of float32.
SCORES = 2**24

Part = tuple[Tensor, Tensor]


def attend(
    q: Tensor, k: Tensor, v: Tensor, last: int | None = None, seen: Tensor | None = None
) -> Part:
    """Attention of packed queries over one run of keys.

    Args:
        q: (n, heads, width).
        k, v: (keys, kv_heads, width); ``heads`` is a multiple of ``kv_heads``.
        last: None lets every query see every key; else the queries are the last ``n`` of the
            ``last`` first keys, and none sees a key after its own.
        seen: (n, keys) bool instead: which keys each query sees, at least one.

    Returns:
        (n, heads, width) and the log-sum-exp of the scores (n, heads), float32 both.
    """
    keys, kv_heads = k.shape[:2]
    block = max(1, SCORES // max(1, keys * q.shape[1]))
    # (keys, kv_heads, width) -> (kv_heads, keys, width)
    k, v = _operand(k).transpose(0, 1), _operand(v).transpose(0, 1)
    parts = []
    for start in range(0, q.shape[0], block):
        piece = q[start : start + block]
        visible = None if seen is None else seen[start : start + block]
        if last is not None:
            own = torch.arange(piece.shape[0], device=q.device) + (last - q.shape[0] + start)
            visible = torch.arange(keys, device=q.device) <= own[:, None]
        parts.append(_block(_grouped(piece, kv_heads), k, v, visible))
    if len(parts) == 1:
        return parts[0]
    out, lse = (torch.cat(both) for both in zip(*parts, strict=True))
    return out, lse


def attend_rows(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> Part:
    """Attention of one query per row over that row's own keys.

    Args:
        q: (rows, heads, width).
        k, v: (rows, keys, kv_heads, width).
        lengths: (rows,) keys that count in each row, at least one.

    Returns:
        As :func:`attend`, one entry per row.
    """
    rows, keys, kv_heads = k.shape[:3]
    grouped = q.float().view(rows, kv_heads, -1, q.shape[-1])  # (rows, kv_heads, group, width)
    scores = grouped @ k.float().permute(0, 2, 3, 1) * q.shape[-1] ** -0.5
    hidden = torch.arange(keys, device=q.device) >= lengths[:, None]
    scores = scores.masked_fill(hidden[:, None, None], float("-inf"))
    # What lies behind a row's length was never written: not even times zero may it enter.
    values = v.float().masked_fill(hidden[:, :, None, None], 0.0).transpose(1, 2)
    out, lse = _softmax_product(scores, values)
    return out.flatten(1, 2), lse.flatten(1)


def merge(one: Part, other: Part) -> Tensor:
    """Attention over both sets of keys: (n, heads, width) float32."""
    share = torch.sigmoid(one[1] - other[1])[..., None]
    return torch.lerp(other[0], one[0], share)


def attend_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """:func:`attend` with the last ``n`` of all keys as queries, without the log-sum-exp.

    On a CPU by torch's fused kernel in float32, on CUDA by those for half precision, where a real
    launch gives the plain way's numbers.
    """
    if q.device.type == "cpu":
        return _fused_causal(q.float(), k.float(), v.float())
    if _fused(q.device.type, q.dtype, q.shape[1:], k.shape[1]):
        return _fused_causal(q, k, v)
    return attend(q, k, v, last=k.shape[0])[0]


def _fused_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from torch.nn.attention.bias import causal_lower_right

    # (n, heads, width) -> (1, heads, n, width)
    queries, keys, values = (x.to(v.dtype).transpose(0, 1)[None] for x in (q, k, v))
    mask = causal_lower_right(q.shape[0], k.shape[0])
    out = F.scaled_dot_product_attention(queries, keys, values, mask, enable_gqa=True)
    return out[0].transpose(0, 1)


@functools.cache
def _fused(device: str, dtype: torch.dtype, heads: torch.Size, kv_heads: int) -> bool:
    if device != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    generator = torch.Generator(device).manual_seed(0)
    q, k, v = (
        torch.randn(n, own, heads[1], generator=generator, device=device).to(dtype)
        for n, own in ((24, heads[0]), (40, kv_heads), (40, kv_heads))
    )
    try:
        found = _fused_causal(q, k, v).float()
    except (RuntimeError, TypeError, ValueError, ImportError, AttributeError):
        # Arguments that an older torch does not know, or a kernel that this GPU lacks.
        return False
    return bool((found - attend(q, k, v, last=40)[0]).abs().max() < 0.05)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Batched matrix product, float32: half precision on CUDA keeps its float32 sums."""
    if a.device.type != "cuda" or a.dtype is torch.float32:
        return a.float() @ b.float()
    if keeps_sums():
        return torch.bmm(a, b, out_dtype=torch.float32)
    return (a @ b).float()


@functools.cache
def keeps_sums() -> bool:
    """Whether this torch gives float32 sums of half-precision products (2.8 and newer do)."""
    return "dtype" in torch.ops.aten.bmm.overloads()


def half_sums(device_type: str, dtype: torch.dtype) -> str:
    """What sums of attention are here, for the model's card."""
    if device_type != "cuda" or dtype is torch.float32 or keeps_sums():
        return "float32"
    return f"{dtype}".removeprefix("torch.")


def _operand(x: Tensor) -> Tensor:
    """CPUs multiply float32; tensor cores want what is there."""
    return x if x.device.type == "cuda" else x.float()


def _grouped(q: Tensor, kv_heads: int) -> Tensor:
    # (n, heads, width) -> (kv_heads, n, group, width): queries that share keys stand together.
    return q.view(q.shape[0], kv_heads, -1, q.shape[-1]).transpose(0, 1)


def _block(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Part:
    kv_heads, n, group, width = q.shape
    queries = q.reshape(kv_heads, n * group, width).to(k.dtype)
    scores = product(queries, k.transpose(1, 2)).mul_(width**-0.5)
    if seen is not None:
        scores.view(kv_heads, n, group, -1).masked_fill_(~seen[None, :, None], float("-inf"))
    out, lse = _softmax_product(scores, v)
    # (kv_heads, n * group, ...) -> (n, heads, ...)
    out, lse = out.view(kv_heads, n, group, width), lse.view(kv_heads, n, group)
    return out.transpose(0, 1).flatten(1, 2), lse.transpose(0, 1).flatten(1)


def _softmax_product(scores: Tensor, values: Tensor) -> Part:
    """softmax(scores) @ values, and the log-sum-exp over the last axis of scores; spends them."""
    most = scores.amax(dim=-1, keepdim=True)
    weights = scores.sub_(most).exp_()
    total = weights.sum(dim=-1, keepdim=True)
    out = product(weights.to(values.dtype), values).div_(total)
    return out, total.log_().add_(most).squeeze(-1)
