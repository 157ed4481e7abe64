"""The simulated warehouse as an MJCF string: hall, racks with goods, and the actors built from boxes and capsules.

Every actor's body stands with its origin on the floor, under the middle of its box; x is forward.
"""

from __future__ import annotations

import numpy as np

from dsr_core.sources.simulator_script import ACTORS, ISLAND, WALL_RACKS

_CARTON = ("0.72 0.55 0.37", "0.65 0.49 0.33", "0.78 0.63 0.45", "0.55 0.62 0.68", "0.82 0.80 0.74", "0.36 0.50 0.58")
_STEEL, _BEAM, _DARK, _YELLOW = "0.16 0.27 0.48 1", "0.90 0.42 0.12 1", "0.10 0.10 0.12 1", "0.97 0.72 0.06 1"

#: Bodies are moved by hand, but MuJoCo asks that a free body has a mass.
_UNIT_MASS = '<inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>'


def _geom(kind: str, pos, size, rgba: str, extra: str = "") -> str:
    numbers = " ".join(f"{v:.4g}" for v in size)
    place = f'pos="{" ".join(f"{v:.4g}" for v in pos)}"' if pos is not None else ""
    return f'<geom type="{kind}" {place} size="{numbers}" rgba="{rgba}" {extra}/>'


def _box(centre, lengths, rgba: str, extra: str = "") -> str:
    return _geom("box", centre, [v / 2 for v in lengths], rgba, extra)


def _limb(start, end, radius: float, rgba: str) -> str:
    ends = " ".join(f"{v:.4g}" for v in (*start, *end))
    return f'<geom type="capsule" fromto="{ends}" size="{radius}" rgba="{rgba}"/>'


def _rack(x_m, y_m, height_m: float, levels: int, rng: np.random.Generator, closed: bool) -> list[str]:
    """A rack of `levels` shelves filled with cartons; a closed one has a back so that nothing shows through."""
    (x0, x1), (y0, y1) = x_m, y_m
    cx, cy, dx, dy = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    along_y = dy > dx
    out = [
        _box((x, y, height_m / 2), (0.09, 0.09, height_m), _STEEL)
        for x in (x0 + 0.045, x1 - 0.045)
        for y in (y0 + 0.045, y1 - 0.045)
    ]
    if closed:
        back = (dx * 0.5, dy - 0.02, height_m) if along_y else (dx - 0.02, dy * 0.5, height_m)
        out.append(_box((cx, cy, height_m / 2), back, "0.30 0.36 0.44 1"))
    gap = height_m / levels
    for level in range(levels):
        floor = level * gap + 0.12
        out.append(_box((cx, cy, floor - 0.03), (dx - 0.02, dy - 0.02, 0.05), "0.55 0.56 0.58 1"))
        sides = [(x0 + 0.02, x1 - 0.02), (cy, cy)] if along_y else [(cx, cx), (y0 + 0.02, y1 - 0.02)]
        for x, y in zip(*sides, strict=True):
            lengths = (0.05, dy, 0.09) if along_y else (dx, 0.05, 0.09)
            out.append(_box((x, y, floor - 0.03), lengths, _BEAM))
        position, end = (y0 if along_y else x0) + 0.14, (y1 if along_y else x1) - 0.14
        while position < end - 0.25:
            width = min(rng.uniform(0.5, 0.95), end - position)
            height = rng.uniform(0.5, 0.92) * (gap - 0.16)
            middle, depth = position + width / 2, (dx if along_y else dy) * 0.9
            place = (cx, middle) if along_y else (middle, cy)
            lengths = (depth, width - 0.03, height) if along_y else (width - 0.03, depth, height)
            out.append(_box((*place, floor + height / 2), lengths, f"{rng.choice(_CARTON)} 1"))
            position += width
    return out


def _hall(rng: np.random.Generator) -> list[str]:
    out = ['<geom type="plane" pos="9 0 0" size="16 8 0.1" material="floor"/>']
    wall = 'material="wall"'
    out += [
        _box((22.0, 0.0, 2.2), (0.2, 14.0, 4.4), "1 1 1 1", wall),
        _box((-4.0, 0.0, 2.2), (0.2, 14.0, 4.4), "1 1 1 1", wall),
        _box((9.0, 6.4, 2.2), (26.0, 0.2, 4.4), "1 1 1 1", wall),
        _box((9.0, -6.6, 2.2), (26.0, 0.2, 4.4), "1 1 1 1", wall),
        _box((21.87, -1.0, 1.6), (0.06, 3.4, 3.2), "0.35 0.42 0.47 1"),
        *(_box((21.84, -1.0, z), (0.06, 3.4, 0.04), "0.26 0.32 0.36 1") for z in (0.55, 1.1, 1.65, 2.2, 2.75)),
        *(_box((21.86, y, 1.6), (0.1, 0.14, 3.3), _YELLOW) for y in (-2.8, 0.8)),
        _box((21.86, 3.6, 1.05), (0.06, 1.0, 2.1), "0.20 0.48 0.36 1"),
    ]
    for y, length in ((1.55, 21.0), (3.85, 21.0), (-4.95, 21.0)):
        out.append(_box((8.5, y, 0.004), (length, 0.1, 0.006), _YELLOW))
    out += [_box((7.6, y, 0.004), (1.5, 0.28, 0.006), "0.93 0.93 0.90 1") for y in np.arange(-4.5, 1.4, 0.62)]
    out += [_box((x, y, 2.2), (0.3, 0.3, 4.4), "0.80 0.80 0.78 1") for x in (3.9, 10.3, 16.7) for y in (6.15, -6.35)]
    for x_m, y_m, height in WALL_RACKS:
        out += _rack(x_m, y_m, height, 4, rng, closed=True)
    out += _rack(*ISLAND, 4, rng, closed=True)
    (x0, _), (y0, y1), _ = ISLAND
    out += [_geom("cylinder", (x0 - 0.15, y, 0.2), (0.06, 0.2), _YELLOW) for y in (y0, y1)]
    return out


def _wheel(x: float, y: float, radius: float, width: float = 0.12) -> str:
    return _geom("cylinder", (x, y, radius), (radius, width / 2), _DARK, 'euler="90 0 0"')


def _forklift() -> list[str]:
    orange = "0.95 0.46 0.05 1"
    return [
        _box((-0.55, 0.0, 0.58), (1.4, 1.04, 0.62), orange),
        _box((-1.12, 0.0, 0.75), (0.34, 1.0, 0.9), _DARK),
        _box((-0.05, 0.0, 0.98), (0.42, 0.96, 0.24), "0.85 0.38 0.04 1"),
        _box((-0.62, 0.0, 0.98), (0.5, 0.56, 0.18), _DARK),
        _box((-0.86, 0.0, 1.25), (0.12, 0.52, 0.5), _DARK),
        *(
            _limb((x0, y, 0.95), (x1, y, 2.08), 0.035, _DARK)
            for x0, x1 in ((0.1, -0.12), (-1.1, -0.95))
            for y in (-0.47, 0.47)
        ),
        _box((-0.53, 0.0, 2.11), (0.95, 1.02, 0.06), _DARK),
        *(_box((0.28, y, 1.08), (0.12, 0.1, 2.1), "0.30 0.31 0.34 1") for y in (-0.32, 0.32)),
        *(_box((0.28, 0.0, z), (0.08, 0.64, 0.08), "0.30 0.31 0.34 1") for z in (0.55, 1.3, 2.08)),
        _box((0.37, 0.0, 0.5), (0.05, 0.92, 0.5), "0.22 0.22 0.25 1"),
        *(_box((0.82, y, 0.2), (0.95, 0.13, 0.05), "0.62 0.63 0.66 1") for y in (-0.27, 0.27)),
        _box((0.84, 0.0, 0.28), (0.92, 1.0, 0.12), "0.74 0.57 0.36 1"),
        _box((0.84, 0.0, 0.68), (0.9, 0.98, 0.66), "0.80 0.66 0.47 1"),
        _box((0.84, 0.0, 0.68), (0.905, 0.1, 0.665), "0.88 0.86 0.76 1"),
        _box((0.84, 0.0, 0.68), (0.12, 0.985, 0.665), "0.88 0.86 0.76 1"),
        *(_wheel(x, y, 0.27 if x > 0 else 0.23) for x in (0.02, -1.02) for y in (-0.48, 0.48)),
        _geom("sphere", (-0.95, 0.0, 2.17), (0.05,), "1 0.55 0.0 1", 'material="glow"'),
        *(_geom("sphere", (0.14, y, 1.05), (0.06,), "1 1 0.85 1", 'material="glow"') for y in (-0.42, 0.42)),
        _limb((-0.62, 0.0, 1.1), (-0.58, 0.0, 1.45), 0.17, "0.22 0.34 0.55 1"),
        _geom("sphere", (-0.55, 0.0, 1.76), (0.12,), "0.86 0.67 0.53 1"),
        _geom("ellipsoid", (-0.56, 0.0, 1.84), (0.14, 0.14, 0.09), "0.95 0.95 0.97 1"),
    ]


def _person() -> list[str]:
    """A walker with jointed legs and arms; face, cap's peak and vest's front show which way it looks."""
    vest, skin, trousers, sleeve = "0.98 0.82 0.08 1", "0.87 0.68 0.54 1", "0.17 0.22 0.36 1", "0.28 0.33 0.45 1"
    out = [
        _geom("ellipsoid", (0.0, 0.0, 1.2), (0.14, 0.21, 0.32), vest),
        *(_box((0.115, y, 1.2), (0.06, 0.045, 0.42), "0.86 0.88 0.92 1") for y in (-0.08, 0.08)),
        _box((-0.02, 0.0, 1.1), (0.27, 0.40, 0.05), "0.86 0.88 0.92 1"),
        _geom("ellipsoid", (0.0, 0.0, 0.93), (0.13, 0.18, 0.13), trousers),
        _limb((0.0, 0.0, 1.45), (0.01, 0.0, 1.54), 0.055, skin),
        _geom("ellipsoid", (0.01, 0.0, 1.63), (0.105, 0.085, 0.125), skin),
        _geom("ellipsoid", (-0.01, 0.0, 1.70), (0.125, 0.105, 0.085), "0.85 0.16 0.14 1"),
        _box((0.14, 0.0, 1.685), (0.12, 0.14, 0.022), "0.85 0.16 0.14 1"),
        _geom("ellipsoid", (0.115, 0.0, 1.615), (0.03, 0.018, 0.025), "0.80 0.58 0.45 1"),
        *(_geom("sphere", (0.098, y, 1.645), (0.014,), _DARK) for y in (-0.035, 0.035)),
    ]
    for side, name in ((0.095, "left"), (-0.095, "right")):
        out += [
            f'<body name="{name}_thigh" pos="0 {side} 0.90"><joint name="{name}_hip" axis="0 1 0"/>',
            _limb((0, 0, 0), (0, 0, -0.40), 0.075, trousers),
            f'<body pos="0 0 -0.42"><joint name="{name}_knee" axis="0 1 0"/>',
            _limb((0, 0, 0), (0, 0, -0.38), 0.06, trousers),
            _geom("ellipsoid", (0.06, 0, -0.43), (0.13, 0.05, 0.05), _DARK),
            "</body></body>",
            f'<body pos="0 {side * 2.35:.3f} 1.40"><joint name="{name}_shoulder" axis="0 1 0"/>',
            _limb((0, 0, 0), (0, side * 0.2, -0.27), 0.05, sleeve),
            f'<body pos="0 {side * 0.2:.3f} -0.29"><joint name="{name}_elbow" axis="0 1 0"/>',
            _limb((0, 0, 0), (0, 0, -0.22), 0.042, sleeve),
            _geom("sphere", (0, 0, -0.29), (0.05,), skin),
            "</body></body>",
        ]
    return out


def _pallet_truck() -> list[str]:
    blue = "0.10 0.45 0.72 1"
    return [
        *(_box((0.22, y, 0.12), (1.15, 0.16, 0.07), blue) for y in (-0.2, 0.2)),
        _box((-0.45, 0.0, 0.3), (0.3, 0.6, 0.42), blue),
        _box((-0.62, 0.0, 0.42), (0.16, 0.44, 0.5), _DARK),
        _limb((-0.66, 0.0, 0.55), (-0.74, 0.0, 1.08), 0.03, _DARK),
        _limb((-0.74, -0.16, 1.1), (-0.74, 0.16, 1.1), 0.03, "0.85 0.16 0.14 1"),
        *(
            _wheel(x, y, r, 0.1)
            for x, y, r in ((-0.5, -0.2, 0.11), (-0.5, 0.2, 0.11), (0.65, -0.2, 0.06), (0.65, 0.2, 0.06))
        ),
        _box((0.25, 0.0, 0.22), (1.0, 0.6, 0.1), "0.74 0.57 0.36 1"),
        _box((0.25, 0.0, 0.52), (0.86, 0.56, 0.48), "0.78 0.63 0.45 1"),
        _box((0.25, 0.0, 0.52), (0.1, 0.565, 0.485), "0.86 0.83 0.72 1"),
    ]


def _cart() -> list[str]:
    green = "0.12 0.60 0.42 1"
    return [
        _box((0.0, 0.0, 0.24), (1.13, 0.73, 0.26), green),
        _box((0.545, 0.0, 0.24), (0.06, 0.55, 0.10), "0.85 0.95 1.0 1", 'material="glow"'),
        _box((0.0, 0.0, 0.39), (1.1, 0.7, 0.05), _DARK),
        _box((-0.22, 0.1, 0.63), (0.52, 0.44, 0.42), "0.72 0.55 0.37 1"),
        _box((0.28, -0.08, 0.57), (0.40, 0.46, 0.30), "0.82 0.80 0.74 1"),
        _box((-0.20, 0.06, 0.94), (0.40, 0.36, 0.2), "0.65 0.49 0.33 1"),
        *(_wheel(x, y, 0.1, 0.07) for x in (-0.4, 0.4) for y in (-0.33, 0.33)),
    ]


_BODIES = {"forklift": _forklift, "person": _person, "pallet truck": _pallet_truck, "cart": _cart}


def warehouse_mjcf(image_size: tuple[int, int], field_of_view_y_deg: float, seed: int) -> str:
    """The MJCF of the warehouse with a free body "actor-<id>" for each actor and "camera" for the camera.

    Args:
        image_size: (width, height) of the off-screen buffer.
        field_of_view_y_deg: Vertical field of view.
        seed: Seed of the goods on the racks.
    """
    rng = np.random.default_rng([seed, 202])
    actors = "\n".join(
        f'<body name="actor-{a.id}"><freejoint name="actor-{a.id}"/>{_UNIT_MASS}'
        + "\n".join(_BODIES[a.label]())
        + "</body>"
        for a in ACTORS
    )
    return f"""<mujoco model="warehouse">
<compiler angle="degree" inertiafromgeom="auto"/>
<option gravity="0 0 0"/>
<visual>
  <global offwidth="{image_size[0]}" offheight="{image_size[1]}"/>
  <map znear="0.005" zfar="2"/>
  <quality shadowsize="1024" offsamples="0" numslices="16" numstacks="10"/>
  <headlight ambient="0.38 0.38 0.40" diffuse="0.22 0.22 0.22" specular="0.05 0.05 0.05"/>
</visual>
<statistic extent="20" center="9 0 1"/>
<asset>
  <texture name="sky" type="skybox" builtin="gradient" rgb1="0.62 0.68 0.74" rgb2="0.86 0.88 0.90"
    width="64" height="384"/>
  <texture name="floor" type="2d" builtin="checker" rgb1="0.47 0.49 0.51" rgb2="0.51 0.53 0.55" width="256" height="256"
    mark="edge" markrgb="0.42 0.44 0.46"/>
  <texture name="wall" type="cube" builtin="gradient" rgb1="0.88 0.89 0.88" rgb2="0.70 0.73 0.75"
    width="64" height="64"/>
  <material name="floor" texture="floor" texrepeat="16 8" specular="0.15" shininess="0.2"/>
  <material name="wall" texture="wall" specular="0.05"/>
  <material name="glow" emission="0.8"/>
</asset>
<default><geom contype="0" conaffinity="0" mass="0.01"/></default>
<worldbody>
  <light directional="true" pos="6 1 9" dir="0.35 -0.25 -1" diffuse="0.55 0.54 0.50" specular="0.2 0.2 0.2"/>
  {chr(10).join(_hall(rng))}
  {actors}
  <body name="camera"><freejoint name="camera"/>{_UNIT_MASS}
    <camera name="camera" fovy="{field_of_view_y_deg:.6f}" xyaxes="1 0 0 0 -1 0"/></body>
</worldbody>
</mujoco>"""
