"""Clipper, on streams whose clips and gaps can be worked out by hand. Times in the tests are seconds."""

from __future__ import annotations

import numpy as np
import pytest

from taskmem_ros.clips import INACTIVE, NO_FRAMES, NS, Clip, Clipper, ClipSettings, Frame, Gap, clips_from

IMAGE = np.zeros((4, 6, 3), np.uint8)
SETTINGS = ClipSettings(sample_rate=0.4, clip_seconds=10.0, max_stall=5.0)


def ns(seconds: float) -> int:
    return round(seconds * NS)


def frame(seconds: float, camera: str = "cam", image: np.ndarray = IMAGE) -> Frame:
    return Frame(ns(seconds), camera, image)


def run(times, settings=SETTINGS, **kwargs):
    return list(clips_from([frame(t) for t in times], settings, **kwargs))


def brief(pieces):
    """Clips as (episode, start, end, frame times), gaps as (episode, start, end, reason); in seconds."""
    return [
        (
            p.episode,
            round(p.start_ns / NS, 6),
            round(p.end_ns / NS, 6),
            [round(f.stamp_ns / NS, 3) for f in p.frames] if isinstance(p, Clip) else p.reason,
        )
        for p in pieces
    ]


def test_clips_lie_on_the_clock_and_take_the_first_frame_at_or_after_each_instant():
    assert brief(run(np.arange(3.2, 21, 0.1))) == [
        (0, 3.2, 10, [3.2, 5.0, 7.5]),
        (0, 10, 20, [10, 12.5, 15, 17.5]),
        (0, 20, 20.9, [20]),
    ]


def test_sim_time_may_start_at_zero():
    assert brief(run(np.arange(0, 10, 0.5)))[0] == (0, 0, 9.5, [0, 2.5, 5, 7.5])


def test_same_clips_wherever_the_recording_is_opened():
    late = run(np.arange(14.0, 30.1, 0.1))
    early = run(np.arange(1.0, 30.1, 0.1))
    assert brief(late)[1:] == brief(early)[2:]


def test_wants_is_what_add_takes():
    gated, fed = Clipper("cam", SETTINGS), Clipper("cam", SETTINGS)
    pieces, all_pieces, taken = [], [], 0
    for t in np.arange(0, 60, 0.07):
        if gated.wants(ns(t)):
            taken += 1
            pieces += gated.add(frame(t))
        all_pieces += fed.add(frame(t))
    assert brief(pieces + gated.flush()) == brief(all_pieces + fed.flush())
    assert taken == 24


def test_an_unreadable_frame_is_replaced_by_the_next_one():
    clipper = Clipper("cam", SETTINGS)
    clipper.add(frame(0))
    assert clipper.wants(ns(2.5))  # not added: it could not be decoded
    assert clipper.wants(ns(2.6))
    clipper.add(frame(2.6))
    assert not clipper.wants(ns(2.7))


def test_backward_jump_is_a_new_episode_and_closes_the_clip():
    assert brief(run([0, 1, 2, 3, 4, 0, 1, 2, 3], episode=7)) == [(7, 0, 4, [0, 3]), (8, 0, 3, [0, 3])]


def test_duplicates_and_overtaken_frames_are_ignored():
    clipper = Clipper("cam", SETTINGS)
    for t in [0, 2.6, 2.6, 2.4, 2.5, 2.7]:
        assert clipper.add(frame(t)) == []
    assert clipper.episode == 0 and clipper.ignored == 3
    assert brief(clipper.flush()) == [(0, 0, 2.7, [0, 2.6])]


def test_forward_jump_is_a_gap_in_the_same_episode():
    assert brief(run([0, 1, 1000.5, 1001])) == [
        (0, 0, 1, [0]),
        (0, 1, 1000.5, NO_FRAMES),
        (0, 1000.5, 1001, [1000.5]),
    ]


def test_a_stall_inside_a_clip_makes_two_short_clips_and_a_gap():
    assert brief(run([0, 1, 2, 7.5, 8, 9])) == [
        (0, 0, 2, [0]),
        (0, 2, 7.5, NO_FRAMES),
        (0, 7.5, 9, [7.5]),
    ]


def test_whole_clips_without_a_frame_are_gaps_even_where_silence_is_allowed():
    patient = ClipSettings(max_stall=100)
    assert brief(run([0, 9, 35, 39], patient)) == [
        (0, 0, 10, [0, 9]),
        (0, 10, 30, NO_FRAMES),
        (0, 30, 39, [35, 39]),
    ]


def test_a_new_picture_size_starts_a_new_clip():
    clipper = Clipper("cam", SETTINGS)
    clipper.add(frame(0))
    (clip,) = clipper.add(frame(5, image=np.zeros((8, 6, 3), np.uint8)))
    assert brief([clip, *clipper.flush()]) == [(0, 0, 5, [0]), (0, 5, 5, [5])]


def test_new_settings_begin_with_the_next_clip():
    clipper, out = Clipper("cam", SETTINGS), []
    for t in np.arange(0, 20, 0.5):
        if t == 3:
            clipper.apply(ClipSettings(sample_rate=1, clip_seconds=4))
        out += clipper.add(frame(t))
    assert brief(out) == [(0, 0, 10, [0, 2.5, 5, 7.5]), (0, 10, 12, [10, 11]), (0, 12, 16, [12, 13, 14, 15])]


def test_pause_is_reported_as_inactive():
    clipper = Clipper("cam", SETTINGS)
    clipper.add(frame(0))
    out = clipper.flush()
    assert clipper.flush() == [] and clipper.tick(ns(500)) == []
    out += clipper.add(frame(60)) + clipper.flush()
    assert brief(out) == [(0, 0, 0, [0]), (0, 0, 60, INACTIVE), (0, 60, 60, [60])]
    assert out[0].end_ns == 1


def test_tick_closes_a_stalled_clip_and_reports_the_gap_in_pieces():
    clipper, out = Clipper("cam", SETTINGS), []
    for t in range(4):
        out += clipper.add(frame(t))
        out += clipper.tick(ns(t + 0.3))
    assert out == []
    for t in range(4, 13):
        out += clipper.tick(ns(t + 0.3))
    assert brief(out) == [(0, 0, 3, [0, 3])] + [(0, s, s + 1, NO_FRAMES) for s in (3, 4, 5, 6)]
    out = clipper.add(frame(9))
    assert brief(out) == [(0, 7, 9, NO_FRAMES)]


def test_a_clock_set_back_delays_no_clip_for_long():
    clipper, out = Clipper("cam", SETTINGS), []
    clipper.add(frame(7000))
    for now in [7000, 7001, *range(3400, 3408)]:
        out += clipper.tick(ns(now))
    assert brief(out)[0] == (0, 7000, 7000, [7000])


def test_a_camera_with_constant_latency_never_looks_stalled():
    clipper = Clipper("cam", SETTINGS)
    pieces = []
    for t in np.arange(0, 60, 0.5):
        pieces += clipper.add(frame(t)) + clipper.tick(ns(t + 8))
    assert {type(p) for p in pieces} == {Clip}


def test_paused_sim_time_is_no_stall():
    clipper = Clipper("cam", SETTINGS)
    clipper.add(frame(3))
    assert [clipper.tick(ns(3.2)) for _ in range(100)] == [[]] * 100
    assert clipper.add(frame(3.5)) == []
    assert clipper.tick(ns(0)) == [] and clipper.tick(ns(0.5)) == []  # the simulation was reset


def test_stamps_of_another_clock_make_no_bogus_gap():
    """A bag from last year, played without /clock and paused for a minute: no stamp is missing."""
    clipper, now = Clipper("cam", SETTINGS), 1_790_000_000
    clipper.add(frame(100))
    out = []
    for k in range(60):
        out += clipper.tick(ns(now + k))
    assert brief(out) == [(0, 100, 100, [100])]
    out = clipper.add(frame(100.1)) + clipper.flush()
    assert brief(out) == [(0, 100, 100.1, [100.1])]


def test_clock_set_forward_by_an_hour_does_not_swallow_the_stream():
    clipper, out = Clipper("cam", SETTINGS), []
    out += clipper.add(frame(0)) + clipper.tick(ns(0.1)) + clipper.tick(ns(3600)) + clipper.tick(ns(3601))
    assert all(p.end_ns <= ns(10) for p in out)
    out += [p for t in np.arange(0.5, 30, 0.5) for p in clipper.add(frame(t))]
    assert brief(out)[-1] == (0, 10, 20, [10, 12.5, 15, 17.5])


def test_frames_that_arrive_in_a_burst_after_a_stall_are_not_counted_twice():
    clipper, out = Clipper("cam", SETTINGS), []
    out += clipper.add(frame(0)) + clipper.tick(ns(0.1))
    for now in range(1, 30):
        out += clipper.tick(ns(now))
    reported = out[-1].end_ns / NS
    for t in np.arange(0.5, 60, 0.5):
        out += clipper.add(frame(t)) + clipper.tick(ns(max(30, t + 25)))  # from now on 25 s late
    out += clipper.flush()
    assert reported > 20
    assert_partition(out)
    assert brief(out)[-1][2] == 59.5


def assert_partition(pieces):
    """Within each episode the pieces touch, in order, and every frame lies in its clip."""
    for before, after in zip(pieces, pieces[1:]):
        if before.episode == after.episode:
            assert before.end_ns == after.start_ns
        else:
            assert after.episode == before.episode + 1
    for piece in pieces:
        assert piece.end_ns > piece.start_ns
        if isinstance(piece, Clip):
            stamps = [f.stamp_ns for f in piece.frames]
            assert stamps == sorted(set(stamps)) and piece.start_ns <= stamps[0] and stamps[-1] < piece.end_ns


def test_wrong_settings_are_refused_with_a_sentence():
    for bad, word in [
        (ClipSettings(sample_rate=0), "sample_rate"),
        (ClipSettings(sample_rate=float("nan")), "finite"),
        (ClipSettings(clip_seconds=1e9), "clip_seconds"),
        (ClipSettings(max_stall=-1), "max_stall"),
        (ClipSettings(sample_rate=0.05), "at least 0.1 Hz"),
        (ClipSettings(sample_rate=30, clip_seconds=60), "1800 frames"),
    ]:
        with pytest.raises(ValueError, match=word):
            Clipper("cam", bad)
    clipper = Clipper("cam", SETTINGS)
    with pytest.raises(ValueError, match="sample_rate"):
        clipper.apply(ClipSettings(sample_rate=-1))
    assert clipper.settings == SETTINGS


def test_frames_per_clip_has_no_rounding_extra():
    for rate, expected in [(0.4, 4), (0.3, 3), (3, 30), (1 / 3, 4), (7, 70), (30, 300), (0.1, 1)]:
        assert ClipSettings(sample_rate=rate).frames_per_clip == expected


def test_a_frame_of_another_camera_is_refused():
    with pytest.raises(ValueError, match="'other'.*'cam'"):
        Clipper("cam", SETTINGS).add(frame(0, camera="other"))


def test_clips_from_keeps_cameras_apart():
    frames = [Frame(ns(t), camera, IMAGE) for t in np.arange(0, 12, 0.5) for camera in ("left", "right")]
    pieces = list(clips_from(frames, SETTINGS))
    assert [(p.camera, len(p.frames)) for p in pieces] == [
        ("left", 4),
        ("right", 4),
        ("left", 1),
        ("right", 1),
    ]
    assert not any(isinstance(p, Gap) for p in pieces)
