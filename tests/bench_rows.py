"""A small benchmark for tests: questions in DSR-Bench's layout and videos whose frames tell their numbers."""

import json

import cv2
import numpy as np

TYPES = ("abs_dis", "rel_dir_pred", "abs_spd")


def write_questions(path, count=12, videos=3):
    """`count` rows with letters in turn; the last video of `videos` is never made by `write_videos`."""
    rows = [
        {
            "videoID": f"clip_{at % videos}",
            "type": TYPES[at % len(TYPES)],
            "question": f"Question {at}: which way does thing {at} go?",
            "options": ["left", "right", "up", "down"],
            "answer": "ABCD"[at % 4],
        }
        for at in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_videos(folder, count=2, frames=20):
    """clip_0.mp4, clip_1.mp4, …: 64x48 at 10 Hz, grey, brighter from frame to frame."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        writer = cv2.VideoWriter(str(folder / f"clip_{number}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (64, 48))
        for i in range(frames):
            writer.write(np.full((48, 64, 3), 10 * i, np.uint8))
        writer.release()
    return folder
