"""Asks a recording typed questions and prints what a planner would act on.

python examples/ask_recording.py sim:duration=12,render=0
python examples/ask_recording.py recording.mcap
"""

import sys

from dsr_core import Query, ask, load_scene


def main(path: str) -> None:
    scene = load_scene(path)
    for track in scene.tracks.values():
        distance = ask(scene, Query("distance", subject=track.id, object="robot"))
        if distance.declined:
            print(f"{track.label} {track.id}: {distance.declined.code}, {distance.declined.message}")
            continue
        last = distance.states[-1]
        print(
            f"{track.label} {track.id}: {last.label} since {last.start:.1f} s,"
            f" {distance.value:.1f} ± {distance.sigma:.1f} m,"
            f" it is {distance.motion['object']}, the robot {distance.motion['ego']} ({distance.confidence:.0%} sure)"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sim:duration=12,render=0")
