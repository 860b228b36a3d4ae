"""A view of a wall, cut into given patches: for tests of what follows from patches."""

import numpy as np

from oryx_scene.marks.depth.reprojection_votes import sample_patches
from oryx_scene.marks.depth.segments import Patches
from oryx_scene.marks.depth.view_grid import ViewGrid
from oryx_scene.records import Frame, Intrinsics

# Ten by ten pixels of 0.1 at 1 m; the ray of pixel (4.5, 4.5) is the optical axis.
LENS = Intrinsics(np.array([[10.0, 0, 4.5], [0, 10.0, 4.5], [0, 0, 1]]), 10, 10)
TOWARDS = np.array([0.0, 0, -1])


def cut(labels, z=2.0, normal=TOWARDS, pose=None, stamp_ns=0):
    """A view that sees a wall; ``labels`` is one patch number for all cells, or (10, 10)."""
    labels = np.broadcast_to(np.array(labels, np.int32), (10, 10)).copy()
    count = int(labels.max()) + 1 if labels.max() >= 0 else 0
    depth = np.broadcast_to(np.array(z, np.float32), (10, 10)).copy()
    v, u = np.mgrid[0:10, 0:10]
    rays = np.stack([(u - 4.5) / 10, (v - 4.5) / 10], axis=-1).astype(np.float32)
    normals = np.broadcast_to(np.array(normal, np.float32), (10, 10, 3)).copy()
    rgb, edge = np.zeros((10, 10, 3), np.float32), np.zeros((10, 10), bool)
    grid = ViewGrid(1, 0, depth, rgb, rays, edge, normals, depth.copy())
    cells = np.bincount(labels[labels >= 0], minlength=count)
    patches = Patches(
        labels, count, cells, np.full((count, 3), 100, np.float32), np.zeros((count, count), bool)
    )
    rgb = np.zeros((10, 10, 3), np.uint8)
    T = np.eye(4) if pose is None else pose
    frame = Frame("a", stamp_ns, "", rgb, "", depth=depth, intrinsics=LENS, T_fixed_camera=T)
    return sample_patches(frame, grid, patches)
