"""Film files made here with OpenCV's writer."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from taskmem_ros.clips import NS, Clip, ClipSettings, Video, VideoError, clips_from


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """26 frames at 2 frames a second (13 s); frame i is reddish with a brightness of 8 i."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 2.0, (64, 48))
    assert writer.isOpened()
    for i in range(26):
        writer.write(np.full((48, 64, 3), (0, 0, 8 * i), np.uint8))
    writer.release()
    return path


def test_frames_are_rgb_and_stamped_with_film_time(film):
    video = Video(film, camera="door", start_ns=1000 * NS)
    frames = list(video)
    assert video.fps == 2 and not video.live and len(frames) == 26
    assert [f.stamp_ns for f in frames] == [1000 * NS + i * NS // 2 for i in range(26)]
    for i, frame in enumerate(frames):
        image = frame.image
        assert image.shape == (48, 64, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
        assert abs(int(image[..., 0].mean()) - 8 * i) < 4 and image[..., 2].mean() < 4
        assert frame.camera == "door"


def test_only_wanted_frames_are_converted_and_clips_are_the_same_each_time(film):
    video = Video(str(film))
    first, second = (list(clips_from(video, ClipSettings())) for _ in range(2))
    assert [(c.start_ns, c.times_s) for c in first] == [(0, (0, 2.5, 5, 7.5)), (10 * NS, (0, 2.5))]
    assert all(isinstance(c, Clip) for c in first)
    assert [c.start_ns for c in first] == [c.start_ns for c in second]
    fed = list(clips_from(list(video), ClipSettings()))
    assert [f.stamp_ns for c in fed for f in c.frames] == [f.stamp_ns for c in first for f in c.frames]


def test_loop_goes_on_with_growing_stamps(film):
    frames = Video(film, loop=True).frames()
    stamps = [next(frames).stamp_ns for _ in range(80)]
    assert stamps == [i * NS // 2 for i in range(80)]


def test_a_film_that_tells_no_times_and_no_rate(film, monkeypatch):
    """Stands for broken headers: OpenCV then tells 0 for both."""
    real = cv2.VideoCapture

    class Clueless:
        def __init__(self, source):
            self._capture = real(source)

        def get(self, _):
            return 0.0

        def __getattr__(self, name):
            return getattr(self._capture, name)

    monkeypatch.setattr(cv2, "VideoCapture", Clueless)
    video = Video(film)
    assert video.fps is None
    assert [f.stamp_ns for f in video][:3] == [0, 33_333_333, 66_666_666]


def test_what_cannot_be_read_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(VideoError, match="does not exist"):
        Video(tmp_path / "none.avi")
    text = tmp_path / "text.avi"
    text.write_text("no film")
    with pytest.raises(VideoError, match="7 bytes is not a film"):
        Video(text)
    with pytest.raises(VideoError, match="camera device 97 cannot be opened"):
        Video("97")


def test_a_film_may_be_closed_in_the_middle(film):
    with Video(film) as video:
        frames = video.frames()
        next(frames)
        frames.close()
    assert len(list(video)) == 26
