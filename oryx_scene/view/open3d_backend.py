"""The only module that imports Open3D: finding it, its objects, and pictures without a display.

The legacy ``Visualizer`` with an invisible window is used: it needs EGL but no display, and no
Vulkan. Where the library cannot be loaded, the error names the package to install. Pictures are
usually rendered through ``open3d_process``, because a broken graphics driver kills the process.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from oryx_scene.errors import EngineError, MissingExtraError, OryxSceneError
from oryx_scene.records import FloatArray, RgbImage
from oryx_scene.view.shapes import SceneGeometry
from oryx_scene.view.splat import BACKGROUND, Rendered
from oryx_scene.view.viewpoint import Viewpoint

# Debian and Ubuntu package of each shared library that Open3D's wheel links against.
SYSTEM_PACKAGES = {
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libX11.so.6": "libx11-6",
    "libgomp.so.1": "libgomp1",
    "libc++.so.1": "libc++1",
    "libstdc++.so.6": "libstdc++6",
    "libudev.so.1": "libudev1",
}
_MISSING = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object")


class MissingLibraryError(OryxSceneError):
    """A shared library of the operating system that a Python package needs."""

    def __init__(self, library: str, *, needed_for: str) -> None:
        package = SYSTEM_PACKAGES.get(library, "")
        super().__init__(
            f"{needed_for} needs the system library '{library}', which is not installed.",
            hint=f"sudo apt-get install {package}"
            if package
            else f"find its package with: apt-file search {library}",
        )
        self.library = library
        self.package = package


def load_open3d() -> Any:
    """The ``open3d`` module.

    Raises:
        MissingExtraError: the package is not installed.
        MissingLibraryError: it is, but a system library is not.
    """
    try:
        module = importlib.import_module("open3d")
    except ImportError as err:
        found = _MISSING.search(str(err))
        if found:
            raise MissingLibraryError(found[1], needed_for="Open3D") from err
        raise MissingExtraError(
            "open3d", "view", needed_for="Open3D drawing", cause=str(err)
        ) from err
    except OSError as err:  # ctypes reports libraries that the wheel preloads itself
        found = _MISSING.search(str(err))
        if not found:
            raise
        raise MissingLibraryError(found[1], needed_for="Open3D") from err
    module.utility.set_verbosity_level(module.utility.VerbosityLevel.Error)
    return module


def textured_mesh(
    o3d: Any, vertices: FloatArray, triangles: Any, uv: FloatArray, image: RgbImage
) -> Any:
    """A mesh (V, 3) with a picture on it; ``uv`` (V, 2) in 0..1, v down."""
    mesh = o3d.geometry.TriangleMesh()
    mesh.vertices = o3d.utility.Vector3dVector(vertices)
    mesh.triangles = o3d.utility.Vector3iVector(np.asarray(triangles))
    mesh.triangle_uvs = o3d.utility.Vector2dVector(uv[np.asarray(triangles).ravel()])
    mesh.textures = [o3d.geometry.Image(np.ascontiguousarray(image))]
    mesh.triangle_material_ids = o3d.utility.IntVector([0] * len(triangles))
    return mesh


def to_drawables(o3d: Any, scene: SceneGeometry) -> list[Any]:
    """Open3D objects of all that has an extent in space; labels are the caller's."""
    objects = []
    if len(scene.points):
        cloud = o3d.geometry.PointCloud()
        cloud.points = o3d.utility.Vector3dVector(scene.points)
        cloud.colors = o3d.utility.Vector3dVector(scene.colors / 255.0)
        objects.append(cloud)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    for quad in scene.pictures:
        faces = [[0, 1, 2], [0, 2, 3]]
        objects.append(textured_mesh(o3d, quad.corners, faces, corners, quad.image))
    for segments in scene.segments:
        lines = o3d.geometry.LineSet()
        lines.points = o3d.utility.Vector3dVector(segments.ends.reshape(-1, 3))
        pairs = np.arange(2 * len(segments.ends)).reshape(-1, 2)
        lines.lines = o3d.utility.Vector2iVector(pairs)
        lines.paint_uniform_color(np.array(segments.color) / 255.0)
        objects.append(lines)
    return objects


def set_render_options(options: Any, point_size: float) -> None:
    """Flat, true colours on the common background."""
    options.background_color = np.array(BACKGROUND) / 255.0
    options.point_size = float(np.clip(point_size, 1.0, 12.0))
    options.line_width = 3.0
    options.light_on = False
    options.mesh_show_back_face = True


def pinhole_parameters(o3d: Any, view: Viewpoint) -> Any:
    """``view`` as Open3D wants it: size as (width, height), pose as fixed frame to camera."""
    parameters = o3d.camera.PinholeCameraParameters()
    K = view.K
    parameters.intrinsic = o3d.camera.PinholeCameraIntrinsic(
        view.width, view.height, K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    )
    parameters.extrinsic = np.linalg.inv(view.T_fixed_view)
    return parameters


def point_size_for(scene: SceneGeometry, view: Viewpoint) -> float:
    """Pixels of a voxel in the near part of the cloud; the legacy renderer has one size for all."""
    if len(scene.points) == 0:
        return 1.0
    sample = scene.points[:: max(1, len(scene.points) // 2000)]
    z = (sample - view.T_fixed_view[:3, 3]) @ view.T_fixed_view[:3, 2]
    ahead = z[z > 0.05]
    if len(ahead) == 0:
        return 1.0
    return float(1.5 * scene.voxel_m * view.K[0, 0] / np.percentile(ahead, 10))


def render_open3d(scene: SceneGeometry, views: Sequence[Viewpoint]) -> list[Rendered]:
    """Pictures of ``scene`` from ``views`` of one size, drawn in this process; no labels.

    Raises:
        MissingExtraError, MissingLibraryError: Open3D cannot be loaded.
        EngineError: no graphics context, or a view cannot be set.
    """
    o3d = load_open3d()
    visualizer = o3d.visualization.Visualizer()
    width, height = views[0].width, views[0].height
    if not visualizer.create_window("oryx_scene", width, height, visible=False):
        raise EngineError(
            "Open3D got no graphics context.", hint="sudo apt-get install libegl1 libgl1"
        )
    try:
        return [_render_one(o3d, visualizer, scene, view) for view in views]
    finally:
        visualizer.destroy_window()


def _render_one(o3d: Any, visualizer: Any, scene: SceneGeometry, view: Viewpoint) -> Rendered:
    scene = scene.seen_from(view.own_camera)
    visualizer.clear_geometries()
    for item in to_drawables(o3d, scene):
        visualizer.add_geometry(item)
    set_render_options(visualizer.get_render_option(), point_size_for(scene, view))
    control = visualizer.get_view_control()
    # allow_arbitrary: else only a window-centred principal point of the default lens is taken.
    if not control.convert_from_pinhole_camera_parameters(pinhole_parameters(o3d, view), True):
        raise EngineError(f"Open3D cannot look from viewpoint '{view.name}'.")
    visualizer.poll_events()
    visualizer.update_renderer()
    rgb = np.asarray(visualizer.capture_screen_float_buffer(True))
    depth = np.asarray(visualizer.capture_depth_float_buffer(True)).astype(np.float32)
    depth[depth <= 0] = np.inf
    return Rendered(np.rint(rgb * 255.0).astype(np.uint8), depth)
