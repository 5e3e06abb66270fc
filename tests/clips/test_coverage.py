"""Seeded random streams: every nanosecond of an episode is in exactly one clip or gap."""

from __future__ import annotations

import random

import numpy as np
import pytest

from taskmem_ros.clips import INACTIVE, NS, Clip, Clipper, ClipQueue, ClipSettings, Frame, Gap

IMAGES = [np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)]


def random_settings(rng: random.Random) -> ClipSettings:
    clip = rng.choice([1.0, 2.5, 7.0, 10.0, 60.0])
    rate = rng.choice([1 / clip, 0.4, 1 / 3, 2.0, 30.0])
    return ClipSettings(
        sample_rate=min(max(rate, 1 / clip), 256 / clip),
        clip_seconds=clip,
        max_stall=rng.choice([0.5, 5.0, 25.0, 100.0]),
    )


def random_stream(rng: random.Random, n: int) -> list[int]:
    """Stamps as they arrive: jitter, stalls, jumps both ways, duplicates, late frames, changing rates."""
    now = rng.choice([0, 0, rng.randrange(10**9), 1_790_000_000 * NS + rng.randrange(NS)])
    period = rng.choice([0.03, 0.1, 0.5, 2.0, 12.0])
    stamps = []
    for _ in range(n):
        stamps.append(max(0, now + round(rng.gauss(0, 0.02) * NS)))
        event = rng.random()
        if event < 0.01:
            now += round(rng.choice([3, 6, 15, 45, 1e3, 1e9]) * NS)
        elif event < 0.02:
            now = max(0, now - round(rng.choice([0.2, 0.6, 5, 100, 1e10]) * NS))
        elif event < 0.03:
            stamps.append(stamps[-1])
        elif event < 0.04:
            stamps.append(max(0, stamps[-1] - round(rng.random() * 0.5 * NS)))
        elif event < 0.05:
            period = rng.choice([0.03, 0.1, 0.5, 2.0, 12.0])
        now += round(period * NS)
    return stamps


def assert_partition(pieces: list[Clip | Gap], settings: ClipSettings | None = None) -> None:
    for before, after in zip(pieces, pieces[1:]):
        if after.episode == before.episode:
            assert before.end_ns == after.start_ns
        else:
            assert after.episode == before.episode + 1
    seen: set[int] = set()
    for piece in pieces:
        assert piece.end_ns > piece.start_ns
        if isinstance(piece, Clip):
            stamps = [f.stamp_ns for f in piece.frames]
            assert stamps and stamps == sorted(set(stamps))
            assert piece.start_ns <= stamps[0] and stamps[-1] < piece.end_ns
            assert len({f.image.shape for f in piece.frames}) == 1
            assert seen.isdisjoint(map(id, piece.frames))
            seen.update(map(id, piece.frames))
            if settings:
                assert piece.start_ns // settings.clip_ns == (piece.end_ns - 1) // settings.clip_ns
                assert len(piece.frames) <= settings.frames_per_clip
                slots = [settings.slot(s) for s in stamps]
                assert slots == sorted(set(slots))


@pytest.mark.parametrize("seed", range(60))
def test_offline_streams(seed):
    rng = random.Random(seed)
    settings = random_settings(rng)
    stamps = random_stream(rng, 1500)
    clipper, gated, pieces, gated_pieces = Clipper("c", settings), Clipper("c", settings), [], []
    for stamp in stamps:
        frame = Frame(stamp, "c", IMAGES[rng.random() < 0.001])
        pieces += clipper.add(frame)
        if gated.wants(stamp):
            gated_pieces += gated.add(frame)
    pieces += clipper.flush()
    gated_pieces += gated.flush()
    assert_partition(pieces, settings)
    assert [(p.start_ns, p.end_ns, type(p)) for p in pieces] == [
        (p.start_ns, p.end_ns, type(p)) for p in gated_pieces
    ]
    assert pieces[0].start_ns == stamps[0]
    assert pieces[-1].episode == clipper.episode
    # A gap is told only where the camera really was silent for as long, or for whole clips.
    arrived = np.unique(stamps)
    for piece in pieces:
        if isinstance(piece, Gap):
            first = np.searchsorted(arrived, piece.start_ns)
            inside = arrived[first : np.searchsorted(arrived, piece.end_ns)]
            same_episode = len([p for p in pieces if p.episode != piece.episode]) == 0
            if same_episode:
                assert len(inside) == 0


@pytest.mark.parametrize("seed", range(60))
def test_live_streams_with_ticks_latency_bad_frames_pauses_and_new_settings(seed):
    rng = random.Random(1000 + seed)
    clipper, pieces = Clipper("c", random_settings(rng)), []
    stamps = random_stream(rng, 800)
    same_clock = rng.random() < 0.5
    now = stamps[0] if same_clock else 1_700_000_000 * NS
    accepted, last = 0, stamps[0]
    for stamp in stamps:
        step = max(0, min(stamp - last, 200 * NS))
        last = stamp
        for _ in range(rng.choice([0, 1, 1, 5])):
            now += step // 2
            pieces += clipper.tick(now + round(rng.random() * 0.3 * NS))
        if rng.random() < 0.003:
            now += rng.choice([-3600, 3600, 10**8]) * NS  # the receiver's clock is set
        elif same_clock:
            now = stamp
        if clipper.wants(stamp) and rng.random() > 0.05:  # one in twenty cannot be decoded
            accepted += 1
            pieces += clipper.add(Frame(stamp, "c", IMAGES[0]))
        if rng.random() < 0.005:
            clipper.apply(random_settings(rng))
        if rng.random() < 0.005:
            pieces += clipper.flush()
    pieces += clipper.flush()
    assert_partition(pieces)
    assert sum(len(p.frames) for p in pieces if isinstance(p, Clip)) == accepted


@pytest.mark.parametrize("seed", range(30))
def test_a_steady_camera_has_no_gaps(seed):
    rng = random.Random(2000 + seed)
    settings = random_settings(rng)
    period = rng.uniform(0.02, min(settings.max_stall, settings.clip_seconds) * 0.9)
    clipper, pieces, t = Clipper("c", settings), [], rng.randrange(10**12)
    for _ in range(2000):
        t += round(period * NS * rng.uniform(0.5, 1.1))
        pieces += clipper.add(Frame(t, "c", IMAGES[0])) + clipper.tick(t + round(rng.random() * NS))
    pieces += clipper.flush()
    assert_partition(pieces, settings)
    assert all(isinstance(p, Clip) for p in pieces)


@pytest.mark.parametrize("policy", ClipQueue.DROP_POLICIES)
@pytest.mark.parametrize("seed", range(20))
def test_delivered_and_dropped_together_are_what_was_put(policy, seed):
    rng = random.Random(3000 + seed)
    settings = random_settings(rng)
    clippers = {name: Clipper(name, settings) for name in ("left", "right")[: rng.choice([1, 2])]}
    queue, put, out = ClipQueue(rng.choice([1, 2, 4]), policy), [], []
    streams = {name: random_stream(rng, 600) for name in clippers}
    for stamps in zip(*streams.values()):
        for (name, clipper), stamp in zip(clippers.items(), stamps):
            for piece in clipper.add(Frame(stamp, name, IMAGES[0])):
                put.append(piece)
                out += queue.put(piece) if isinstance(piece, Clip) else [piece]
        if rng.random() < 0.05 and len(queue):
            out.append(queue.get(timeout=0))
    for clipper in clippers.values():
        rest = clipper.flush()
        put += rest
        out += [gap for clip in rest for gap in queue.put(clip)]
    out += queue.close()
    for name in clippers:
        ours = sorted((p for p in out if p.camera == name), key=lambda p: (p.episode, p.start_ns))
        assert_partition(ours)
        theirs = [p for p in put if p.camera == name]
        assert (ours[0].start_ns, ours[-1].end_ns) == (theirs[0].start_ns, theirs[-1].end_ns)
        assert not any(isinstance(p, Gap) and p.reason == INACTIVE for p in ours)
