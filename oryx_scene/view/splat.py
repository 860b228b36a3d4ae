"""A renderer in numpy and OpenCV: point splats, lines and textured quads with one depth buffer.

Runs on any machine: no GPU, no display, no Open3D. Anti-aliased by rendering larger and averaging
down. Labels are not drawn here (see ``overlay``), so that they stay crisp with every renderer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.records import FloatArray, RgbImage
from oryx_scene.view.shapes import Color, PictureQuad, SceneGeometry, Segments
from oryx_scene.view.viewpoint import Viewpoint

BACKGROUND: Color = (24, 26, 31)
_NEAR_M = 0.02
# A splat of s pixels costs s^2 writes; larger than 4, it is drawn at a half or a quarter of the
# resolution instead.
_LEVELS = (1, 2, 4)
# A line lies on the surface it belongs to; this share of the depth keeps it in front.
_LINE_LEAD = 0.01

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture and how far its pixels are.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 metres along the viewpoint's z, inf where there is nothing.
    """

    rgb: RgbImage
    depth: Float32Array


class _Canvas:
    """Colour and depth buffers at ``scale`` times the wanted size."""

    def __init__(self, view: Viewpoint, scale: int) -> None:
        self.height, self.width = view.height * scale, view.width * scale
        self.rgb = np.empty((self.height * self.width, 3), np.uint8)
        self.rgb[:] = BACKGROUND
        self.depth: Float32Array = np.full(self.height * self.width, np.inf, np.float32)
        self.scale = scale
        self.K = view.K.copy()
        # Pixel centres are integers: the corner (-0.5, -0.5) stays where it is.
        self.K[:2] *= scale
        self.K[0, 2] += (scale - 1) / 2
        self.K[1, 2] += (scale - 1) / 2
        self.R = view.T_fixed_view[:3, :3]
        self.origin = view.T_fixed_view[:3, 3]

    def to_local(self, points: FloatArray) -> FloatArray:
        """Fixed frame (N, 3) to the viewpoint's optical frame."""
        return np.asarray((points - self.origin) @ self.R)

    def put(self, index: NDArray[np.int64], depth: Float32Array, rgb: RgbImage) -> None:
        """Write candidates that lie before what is there; of several per pixel, the nearest."""
        nearer = depth < self.depth[index]
        index, depth, rgb = index[nearer], depth[nearer], rgb[nearer]
        order = np.argsort(-depth, kind="stable")  # farthest first: the last write is the nearest
        index = index[order]
        self.depth[index] = depth[order]
        self.rgb[index] = rgb[order]

    def merge(self, depth: Float32Array, rgb: RgbImage, factor: int) -> None:
        """Lay a picture of 1/``factor`` the size over this one, nearest surface wins."""
        if factor > 1:
            grow = (np.arange(self.height) // factor)[:, None], np.arange(self.width) // factor
            depth, rgb = depth[grow], rgb[grow]
        flat = depth.reshape(-1)
        nearer = flat < self.depth
        self.depth[nearer] = flat[nearer]
        self.rgb[nearer] = rgb.reshape(-1, 3)[nearer]


def _draw_points(canvas: _Canvas, points: FloatArray, colors: RgbImage, voxel_m: float) -> None:
    """Squares as large as a voxel looks, each at the resolution where it takes few writes."""
    if len(points) == 0:
        return
    local = canvas.to_local(points).astype(np.float32)
    ahead = local[:, 2] > _NEAR_M
    local, colors = local[ahead], colors[ahead]
    z = local[:, 2]
    u = local[:, 0] / z * np.float32(canvas.K[0, 0]) + np.float32(canvas.K[0, 2])
    v = local[:, 1] / z * np.float32(canvas.K[1, 1]) + np.float32(canvas.K[1, 2])
    # 1.5: neighbouring voxels' mean points are up to that far apart; less leaves pinholes.
    size = np.clip(1.5 * voxel_m * canvas.K[0, 0] / z, 1.0, 4.0 * _LEVELS[-1])
    for level, factor in enumerate(_LEVELS):
        low = 4.0 * _LEVELS[level - 1] if level else 0.0
        chosen = np.flatnonzero((size > low) & (size <= 4.0 * factor))
        if len(chosen) == 0:
            continue
        # The centre of a block of factor x factor pixels is (factor - 1) / 2 from its first one.
        middle, scale = np.float32((factor - 1) / 2), np.float32(factor)
        uvz = (u[chosen] - middle) / scale, (v[chosen] - middle) / scale, z[chosen]
        side = np.ceil(size[chosen] / factor).astype(np.int32)
        shape = (-(-canvas.height // factor), -(-canvas.width // factor))
        depth, rgb = _splat(shape, uvz, side, colors[chosen])
        canvas.merge(depth, rgb, factor)


def _fill_pinholes(canvas: _Canvas) -> None:
    """Close gaps of up to three pixels between neighbouring points with their mean colour.

    A morphological closing of the depth: where surfaces lie on both sides, the farther one is
    assumed to go on behind.
    """
    side = 3 * canvas.scale + 1
    depth = canvas.depth.reshape(canvas.height, canvas.width)
    kernel = np.ones((side, side), np.uint8)
    # Erosion is the minimum: the nearest surface grows, then shrinks back.
    closed = cv2.dilate(cv2.erode(depth, kernel), kernel)
    holes = np.isinf(depth) & np.isfinite(closed)
    if not holes.any():
        return
    known = np.isfinite(depth).astype(np.float32)
    rgb = canvas.rgb.reshape(canvas.height, canvas.width, 3)
    weight = cv2.blur(known, (side, side))
    total = cv2.blur(rgb.astype(np.float32) * known[..., None], (side, side))
    holes &= weight > 0
    rgb[holes] = np.rint(total[holes] / weight[holes][:, None]).astype(np.uint8)
    depth[holes] = closed[holes]


def _splat(
    shape: tuple[int, int],
    uvz: tuple[Float32Array, Float32Array, Float32Array],
    size: NDArray[np.int32],
    colors: RgbImage,
) -> tuple[Float32Array, RgbImage]:
    """Depth (h, w) and colour (h, w, 3) of squares of ``size`` pixels around (u, v)."""
    height, width = shape
    u, v, z = uvz
    depth: Float32Array = np.full(height * width, np.inf, np.float32)
    rgb = np.zeros((height * width, 3), np.uint8)
    for side in np.unique(size):
        chosen = np.flatnonzero(size == side)
        order = chosen[np.argsort(-z[chosen], kind="stable")]
        u0 = np.rint(u[order] - (side - 1) / 2).astype(np.int32)
        v0 = np.rint(v[order] - (side - 1) / 2).astype(np.int32)
        near_picture = (u0 > -side) & (u0 < width) & (v0 > -side) & (v0 < height)
        order, u0, v0 = order[near_picture], u0[near_picture], v0[near_picture]
        for dv, du in np.ndindex(int(side), int(side)):
            uu, vv = u0 + du, v0 + dv
            ok = (uu >= 0) & (uu < width) & (vv >= 0) & (vv < height)
            index = vv[ok].astype(np.int64) * width + uu[ok]
            rows = order[ok]
            nearer = z[rows] < depth[index]
            index, rows = index[nearer], rows[nearer]
            # Rows run from far to near, and the last write to a pixel stays.
            depth[index] = z[rows]
            rgb[index] = colors[rows]
    return depth.reshape(shape), rgb.reshape(height, width, 3)


def _clipped(ends: FloatArray) -> FloatArray | None:
    """One segment (2, 3) cut at the near plane; None where it lies behind."""
    a, b = ends
    if a[2] <= _NEAR_M and b[2] <= _NEAR_M:
        return None
    if min(a[2], b[2]) <= _NEAR_M:
        t = (_NEAR_M * 1.01 - a[2]) / (b[2] - a[2])
        cut = a + t * (b - a)
        a, b = (cut, b) if a[2] <= _NEAR_M else (a, cut)
    return np.stack([a, b])


def _draw_segments(canvas: _Canvas, segments: Segments) -> None:
    local = canvas.to_local(segments.ends.reshape(-1, 3)).reshape(-1, 2, 3)
    thick = max(1, round(segments.width_px * canvas.scale))
    reach = np.arange(thick) - (thick - 1) / 2
    dv, du = (grid.ravel() for grid in np.meshgrid(reach, reach, indexing="ij"))
    brush = np.hypot(du, dv) <= max(0.5, thick / 2)
    du, dv = du[brush], dv[brush]
    for ends in local:
        clipped = _clipped(ends)
        if clipped is None or not np.isfinite(clipped).all():
            continue
        u, v, z = _samples(canvas, clipped)
        uu = np.rint(u[:, None] + du).astype(np.int64)
        vv = np.rint(v[:, None] + dv).astype(np.int64)
        zz = np.broadcast_to((z * (1 - _LINE_LEAD))[:, None], uu.shape)
        ok = (uu >= 0) & (uu < canvas.width) & (vv >= 0) & (vv < canvas.height)
        index = vv[ok] * canvas.width + uu[ok]
        rgb = np.broadcast_to(np.array(segments.color, np.uint8), (len(index), 3))
        canvas.put(index, zz[ok].astype(np.float32), rgb)


def _samples(canvas: _Canvas, ends: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(u, v, z) along a segment, one per pixel step; 1/z is linear in the picture."""
    projected = ends @ canvas.K.T
    uv = projected[:, :2] / projected[:, 2:]
    length = float(np.abs(uv[1] - uv[0]).max())
    # Parts far outside the picture are not worth samples.
    count = int(np.clip(length * 1.4, 2, 8 * (canvas.height + canvas.width)))
    t = np.linspace(0.0, 1.0, count)
    u = uv[0, 0] + t * (uv[1, 0] - uv[0, 0])
    v = uv[0, 1] + t * (uv[1, 1] - uv[0, 1])
    z = 1.0 / (1.0 / ends[0, 2] + t * (1.0 / ends[1, 2] - 1.0 / ends[0, 2]))
    return u, v, z


def _draw_picture(canvas: _Canvas, quad: PictureQuad) -> None:
    local = canvas.to_local(quad.corners)
    if local[:, 2].min() <= _NEAR_M:
        return
    projected = local @ canvas.K.T
    uv = projected[:, :2] / projected[:, 2:]
    low = np.clip(np.floor(uv.min(axis=0)), 0, [canvas.width, canvas.height]).astype(int)
    high = np.clip(np.ceil(uv.max(axis=0)) + 1, 0, [canvas.width, canvas.height]).astype(int)
    size = high - low
    if size.min() < 1:
        return
    rows, columns = quad.image.shape[:2]
    source = np.array(
        [[-0.5, -0.5], [columns - 0.5, -0.5], [columns - 0.5, rows - 0.5], [-0.5, rows - 0.5]]
    )
    H = cv2.getPerspectiveTransform(source.astype(np.float32), (uv - low).astype(np.float32))
    shape = (int(size[0]), int(size[1]))  # OpenCV: (width, height)
    warped = cv2.warpPerspective(quad.image, H, shape, flags=cv2.INTER_LINEAR)
    solid = np.full((rows, columns), 255, np.uint8)
    mask = cv2.warpPerspective(solid, H, shape, flags=cv2.INTER_NEAREST) > 0
    v, u = np.nonzero(mask)
    normal = np.cross(local[1] - local[0], local[3] - local[0])
    rays = np.linalg.inv(canvas.K)
    down = (rays @ np.stack([u + low[0], v + low[1], np.ones(len(u))])).T @ normal
    z = (local[0] @ normal) / np.where(np.abs(down) < 1e-12, np.nan, down)
    ok = np.isfinite(z) & (z > _NEAR_M)
    index = (v[ok] + low[1]).astype(np.int64) * canvas.width + u[ok] + low[0]
    canvas.put(index, z[ok].astype(np.float32), np.asarray(warped[v[ok], u[ok]], np.uint8))


def render_splat(scene: SceneGeometry, view: Viewpoint, *, supersample: int = 2) -> Rendered:
    """Draw all of ``scene`` but its labels, as seen from ``view``.

    Args:
        scene: take layers out with :meth:`SceneGeometry.only` first.
        view: picture size and pose.
        supersample: pixels averaged per side of each resulting pixel; 1 is fast and jagged.

    Returns:
        The picture; ``depth`` is that of the nearest sample of each pixel.
    """
    scene = scene.seen_from(view.own_camera)
    canvas = _Canvas(view, supersample)
    _draw_points(canvas, scene.points, scene.colors, scene.voxel_m)
    _fill_pinholes(canvas)
    for quad in scene.pictures:
        _draw_picture(canvas, quad)
    for segments in scene.segments:
        _draw_segments(canvas, segments)
    rgb = canvas.rgb.reshape(canvas.height, canvas.width, 3)
    depth = canvas.depth.reshape(canvas.height, canvas.width)
    if supersample > 1:
        # OpenCV size is (width, height).
        rgb = np.asarray(cv2.resize(rgb, (view.width, view.height), interpolation=cv2.INTER_AREA))
        blocks = depth.reshape(view.height, supersample, view.width, supersample)
        depth = blocks.min(axis=(1, 3))
    return Rendered(np.ascontiguousarray(rgb, np.uint8), depth)
