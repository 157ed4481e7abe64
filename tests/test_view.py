"""Pictures and rerun recordings: written whole, for every kind of scene, or not at all."""

import numpy as np
import pytest

from dsr_core import Query, ask
from dsr_core.errors import DeclineError
from dsr_core.scene import Scene
from dsr_core.values import Detection, Frame
from dsr_core.view.colors import PALETTE, color_of, colors_of
from dsr_core.view.picture import save_picture
from dsr_core.view.rerun_log import save_rerun
from dsr_core.view.top_view import moves
from tests.fakes import fake_scene, fake_track

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def scene():
    """A car that drives, and one that is parked."""
    return fake_scene(
        fake_track(id="1", velocity=(2.0, 0.5, 0.0), yaw=0.25, sigma_m=0.02),
        fake_track(id="2", label="van", start=(5.0, -4.0, 0.0), sigma_m=0.02),
        ego_velocity=(0.5, 0.0, 0.0),
    )


@pytest.fixture
def answers(scene):
    queries = {
        "Does it come closer?": Query("distance", "1"),
        "Where is it?": Query("direction", "1"),
        "Where does it go?": Query("direction_prediction", "1"),
        "And the unicorn?": Query("distance", "unicorn"),
    }
    return [(question, ask(scene, query)) for question, query in queries.items()]


def test_picture(tmp_path, scene, answers):
    assert [a.declined is None for _, a in answers] == [True, True, True, False]
    path = save_picture(tmp_path / "new" / "scene.png", scene, answers)
    assert path.read_bytes().startswith(PNG) and path.stat().st_size > 20_000
    assert [p.name for p in path.parent.iterdir()] == ["scene.png"]


@pytest.mark.parametrize(
    "empty",
    [
        Scene(stamps_s=np.zeros(0)),
        fake_scene(duration_s=1.0),
        fake_scene(*(fake_track(id=str(i), start=(i, 2.0 * i, 0.0)) for i in range(30))),
    ],
    ids=["nothing", "robot alone", "thirty things"],
)
def test_picture_of_a_scene_without_answers(tmp_path, empty):
    assert save_picture(tmp_path / "scene.png", empty, []).read_bytes().startswith(PNG)


def test_parked_and_moving_things_are_told_apart(scene):
    assert moves(scene, scene.tracks["1"])
    assert not moves(scene, scene.tracks["2"])


def test_rerun_recording(tmp_path, scene, answers):
    image = np.full((48, 64, 3), 90, np.uint8)
    box = Detection("car", box_px=np.array([4.0, 5.0, 30.0, 40.0]))
    frames = [
        Frame(stamp_ns=round(s * 1e9), rgb=image, depth_m=np.full((48, 64), np.nan, np.float32), detections=(box,))
        for s in scene.stamps_s
    ]
    path = save_rerun(tmp_path / "scene.rrd", scene, answers, frames, depth=True)
    assert path.read_bytes().startswith(b"RRF") and path.stat().st_size > 5_000
    assert [p.name for p in tmp_path.iterdir()] == ["scene.rrd"]


def test_nothing_is_left_when_writing_fails(tmp_path, scene, answers):
    def broken():
        yield Frame(stamp_ns=0)
        raise DeclineError("BAD_REQUEST", "the recording ended badly")

    with pytest.raises(DeclineError):
        save_rerun(tmp_path / "scene.rrd", scene, answers, broken())
    with pytest.raises(AttributeError):
        save_picture(tmp_path / "scene.png", scene, [("question", None)])
    assert not list(tmp_path.iterdir())


def test_colors_are_stable_and_differ():
    assert color_of("12") == color_of("12") and color_of("1") != color_of("2")
    ids = ["1", "13", "a1", "b2", "person-1", "forklift-1"]
    assert len(set(colors_of(ids).values())) == len(ids)
    assert set(colors_of(map(str, range(30))).values()) == set(PALETTE)
