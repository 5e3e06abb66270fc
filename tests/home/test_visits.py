"""The robot's way through its homes in `taskmem nights`, and what is true there."""

from __future__ import annotations

from taskmem_ros.home import ROLES, STEP_NS, is_right
from taskmem_ros.home.visits import BETWEEN_NS, DAY_NS, Seen, Visits

SEEDS = range(2_000_003, 2_000_006)
CLIPS = 5


def remember(visits: Visits, visit, clips: int, first: int = 1) -> None:
    for number in range(clips):
        start = visit.start_ns + number * STEP_NS
        visits.note(first + number, Seen(visit.camera, start, start + STEP_NS))


def test_the_robot_is_in_one_home_at_a_time_and_days_follow_each_other():
    visits = Visits(SEEDS, "test")
    rounds = [list(visits.round(day, CLIPS)) for day in (0, 0, 1)]
    for visit in rounds[0]:
        assert visit.start_s >= 0
    every = [visit for visit_round in rounds for visit in visit_round]
    for one, other in zip(every, every[1:]):
        assert other.start_ns - one.start_ns >= CLIPS * STEP_NS + BETWEEN_NS
    assert all(visit.start_ns % STEP_NS == 0 for visit in every), "clips lie on the home's steps"
    for early, late in zip(rounds[0], rounds[2]):
        assert early.camera == late.camera and late.start_ns - early.start_ns >= DAY_NS
    assert sorted(visits.home_seeds) == [f"home_{seed}={seed}" for seed in SEEDS]
    assert set(visits.cameras) == {visit.camera for visit in rounds[0]}


def test_questions_are_about_what_was_remembered_in_this_visit():
    visits = Visits(SEEDS, "test")
    first, second, _ = visits.round(0, CLIPS)
    assert visits.remembered_until(first) == first.start_ns and not visits.knows(1)
    assert visits.questions(first, "finder", 4) == []
    remember(visits, first, CLIPS)
    assert visits.remembered_until(first) == first.start_ns + CLIPS * STEP_NS and visits.knows(CLIPS)
    asked = visits.questions(first, "finder", 4)
    assert len({question.text for question in asked}) == 4
    assert {question.query.form for question in asked} <= set(ROLES["finder"])
    for question in asked:
        assert is_right(visits.with_truth(question, CLIPS), question.answer)
        assert visits.with_truth(question, 0).answer is None, "nothing had been seen yet"
    assert visits.questions(second, "finder", 4) == []


def test_what_was_seen_last_is_true():
    visits = Visits(SEEDS, "test")
    found = {}
    for number, visit in enumerate(visits.round(0, CLIPS)):
        remember(visits, visit, CLIPS, first=1 + number * CLIPS)
        for question in visits.questions(visit, "steward", 50):
            assert visits.with_truth(question, (number + 1) * CLIPS).answer == question.answer
            found.setdefault(question.query, []).append((number, question.answer))
    changed = [told for told in found.values() if len({answer for _, answer in told}) > 1]
    assert changed, "homes differ, so the newest one has to win somewhere"
