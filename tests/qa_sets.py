"""Small saved scenes to make question sets of, and ways to open them that fail at a chosen moment."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from dsr_core.qa.config import QaConfig
from dsr_core.qa.curation.recordings import Recording, expand
from dsr_core.qa.item import QaError
from dsr_core.qa.running.engine_local import Here
from dsr_core.qa.running.run import SetConfig, make_questions
from dsr_core.qa.running.shards import OpenRecording
from dsr_core.scene import Scene
from tests.smooth_scenes import smooth_scene

#: The original options: every question that is asked gets its own, so that small sets hold many.
CONFIG = SetConfig(QaConfig(per_scene=12), seed=3, distractors="dsr", block=40, shuffled=60)


def save_scenes(folder: Path, count: int = 10) -> list[Recording]:
    """Scenes with few things and little time."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        smooth_scene(number, things=4, duration_s=8.0).save(folder / f"room{number:02d}.scene.npz")
    return expand([str(folder)])


def made(recordings: list[Recording], out: Path, config: SetConfig = CONFIG, engine=None, **options) -> bytes:
    """The bytes of a set."""
    with engine or Here() as working:
        make_questions(recordings, out, config, working, **options)
    return out.read_bytes()


@dataclass(frozen=True)
class Opens:
    """Opens as `OpenRecording` does, and is taken for it; each opening leaves a line in `log`."""

    log: str

    def __repr__(self) -> str:
        return repr(OpenRecording())

    def __call__(self, recording: Recording) -> Scene:
        with open(self.log, "a") as file:
            file.write(f"{recording.name}\n")
        self.meet(recording)
        return OpenRecording()(recording)

    def meet(self, recording: Recording) -> None:
        """What happens before a recording is opened."""

    def opened(self) -> list[str]:
        return Path(self.log).read_text().split() if Path(self.log).exists() else []


@dataclass(frozen=True, repr=False)
class Killed(Opens):
    """The process is killed when it opens the recording `at`, `times` times."""

    at: str = ""
    times: int = 1

    def meet(self, recording: Recording) -> None:
        if recording.name == self.at and self.opened().count(self.at) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, repr=False)
class Interrupted(Opens):
    """Ctrl-C when the recording `at` is opened."""

    at: str = ""

    def meet(self, recording: Recording) -> None:
        if recording.name == self.at:
            raise KeyboardInterrupt


def square(number: int) -> bytes:
    """A task: fails for negative numbers, and 13 ends its process."""
    if number < 0:
        raise QaError(f"{number} has no root")
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return str(number * number).encode()
