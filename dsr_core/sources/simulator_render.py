"""Off-screen rendering of the simulated warehouse with MuJoCo: colour, depth and who owns each pixel."""

from __future__ import annotations

import os

import numpy as np

from dsr_core.errors import DependencyError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.sources import simulator_script as script
from dsr_core.sources.simulator_scene import warehouse_mjcf

_NO_EGL = (
    "there is no off-screen OpenGL for the simulator ({error}); install it with"
    " `apt-get install libegl1 libgl1-mesa-dri`, or use render=False"
)


class WarehouseRenderer:
    """Renders the warehouse; use it as a context manager.

    Args:
        camera: Intrinsics with square pixels and the optical axis through the middle.
        seed: Seed of the goods on the racks.

    Raises:
        DependencyError: MuJoCo is not installed.
        SourceError: there is no off-screen OpenGL.
    """

    def __init__(self, camera: Camera, seed: int):
        # MuJoCo chooses its OpenGL by this variable when it is first imported; a headless machine has EGL only.
        os.environ.setdefault("MUJOCO_GL", "egl")
        try:
            import mujoco
        except ImportError as error:
            raise DependencyError(
                f"the simulator's images need MuJoCo ({error}); `pip install dsr_ros[sim]`, or use render=False"
            ) from error
        except Exception as error:  # PyOpenGL raises AttributeError and the like where libEGL is missing.
            raise SourceError(_NO_EGL.format(error=error)) from error
        w, h = camera.image_size
        fov_y = np.degrees(2 * np.arctan(h / 2 / camera.K[1, 1]))
        self._mujoco = mujoco
        self._model = mujoco.MjModel.from_xml_string(warehouse_mjcf((w, h), fov_y, seed))
        self._data = mujoco.MjData(self._model)
        self._near_far_m = (
            self._model.vis.map.znear * self._model.stat.extent,
            self._model.vis.map.zfar * self._model.stat.extent,
        )
        self._scene = mujoco.MjvScene(self._model, maxgeom=self._model.ngeom + 100)
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = self._model.camera("camera").id
        self._rect = mujoco.MjrRect(0, 0, w, h)
        try:
            self._gl = mujoco.GLContext(w, h)
            self._gl.make_current()
            self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except Exception as error:
            raise SourceError(_NO_EGL.format(error=error)) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        actors = [self._model.body(f"actor-{a.id}").id for a in script.ACTORS]
        roots = self._model.body_rootid[self._model.geom_bodyid]
        self._owner = np.array([actors.index(b) if b in actors else -1 for b in roots], np.int16)

    def __enter__(self) -> WarehouseRenderer:
        return self

    def __exit__(self, *error) -> None:
        self._context.free()
        self._gl.free()

    def render(
        self, T_map_camera: np.ndarray, T_map_actor: dict[str, np.ndarray], time_s: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One picture.

        Args:
            T_map_camera: (4, 4) optical frame to map.
            T_map_actor: (4, 4) box frame to map, by actor's id.
            time_s: Time of the play, for the walker's gait.

        Returns:
            rgb (H, W, 3) uint8, true depth (H, W) float32 in metres along the optical axis, and the owner of each
            pixel (H, W) int16: index of the actor in `simulator_script.ACTORS`, -1 for all else.
        """
        self._pose("camera", T_map_camera)
        for actor in script.ACTORS:
            T = T_map_actor[actor.id] @ tf.make_transform(np.eye(3), [0.0, 0.0, -actor.size_lwh_m[2] / 2])
            self._pose(f"actor-{actor.id}", T)
            if actor.label == "person":
                self._walk(actor, time_s)
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_camlight(self._model, self._data)
        mujoco = self._mujoco
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self._model, self._data, mujoco.MjvOption(), None, self._view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        rgb, _ = self._draw(segments=False)
        codes, reading = self._draw(segments=True)
        near, far = self._near_far_m
        depth_m = (near * far / (near + reading.astype(float) * (far - near))).astype(np.float32)
        return rgb, depth_m, self._owners(codes)

    def _draw(self, segments: bool) -> tuple[np.ndarray, np.ndarray]:
        """One pass: colours, or codes of geoms, (H, W, 3) uint8, and depth readings (H, W), 1 near to 0 far."""
        flags = self._mujoco.mjtRndFlag
        for flag in (flags.mjRND_SEGMENT, flags.mjRND_IDCOLOR):
            self._scene.flags[int(flag)] = segments
        self._mujoco.mjr_render(self._rect, self._scene, self._context)
        shape = self._rect.height, self._rect.width
        colors, reading = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)
        self._mujoco.mjr_readPixels(colors, reading, self._rect, self._context)
        # OpenGL counts rows from the bottom.
        return colors[::-1].copy(), reading[::-1]

    def _owners(self, codes: np.ndarray) -> np.ndarray:
        """(H, W) index of the actor at each pixel, -1 for none, from the codes (1 + place in the scene's list)."""
        owner_of_code = np.full(self._scene.ngeom + 2, -1, np.int16)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == self._mujoco.mjtObj.mjOBJ_GEOM:
                owner_of_code[geom.segid + 1] = self._owner[geom.objid]
        number = (
            codes[..., 0].astype(np.int32) | codes[..., 1].astype(np.int32) << 8 | codes[..., 2].astype(np.int32) << 16
        )
        return owner_of_code[number]

    def _pose(self, joint: str, T_map_body: np.ndarray) -> None:
        x, y, z, w = tf.quaternions_from_matrices(T_map_body[:3, :3])
        self._data.joint(joint).qpos[:] = [*T_map_body[:3, 3], w, x, y, z]

    def _walk(self, actor: script.Actor, time_s: float) -> None:
        """Swings legs and arms with the distance walked, and stills them when standing."""
        grid = np.arange(max(time_s - 0.4, 0.0), time_s + 0.41, 0.05)
        xy, _ = actor.poses(grid)
        speed = np.linalg.norm(np.diff(xy, axis=0), axis=1).mean() / 0.05
        swing = 0.36 * min(speed / 0.8, 1.0) * np.sin(2 * np.pi * 0.95 * time_s)
        for name, sign in (("left", 1.0), ("right", -1.0)):
            leg = sign * swing
            self._data.joint(f"{name}_hip").qpos[0] = -leg
            self._data.joint(f"{name}_knee").qpos[0] = max(-leg, 0.0) * 1.2 + 0.05
            self._data.joint(f"{name}_shoulder").qpos[0] = 0.8 * leg
            self._data.joint(f"{name}_elbow").qpos[0] = -0.35 - abs(0.4 * swing)
