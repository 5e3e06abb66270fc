"""Adapters in the store: states, one transaction each way, what a rollback goes back to, another base."""

from __future__ import annotations

import json

import pytest

from taskmem_ros.memory import Store, StoreError

BASE = "0" * 16


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        store.set_base("demo", BASE)
        yield store


def manifest(id: str, serial: int, base: str = BASE) -> str:
    return json.dumps({"id": id, "serial": serial, "base_revision": base})


def add(store: Store, *ids: str) -> None:
    first = len(store.adapters())
    for serial, id in enumerate(ids, first + 1):
        store.add_adapter(manifest(id, serial), store.path.parent / "adapters" / id)


def good(store: Store, id: str) -> None:
    store.take_over(id)
    store.set_adapter_state(id, "good")


def test_an_adapter_comes_once_and_keeps_its_state(store):
    add(store, "a")
    store.set_adapter_state("a", "refused", "it repeats itself")
    again = store.add_adapter(manifest("a", 1).encode(), store.path.parent / "adapters" / "a")
    assert (again.state, again.reason) == ("refused", "it repeats itself")
    assert [row.id for row in store.adapters()] == ["a"] and store.adapters("staged") == []
    with pytest.raises(ValueError, match="another manifest"):
        store.add_adapter(manifest("a", 7), "/elsewhere")
    with pytest.raises(ValueError, match="serial True"):
        store.add_adapter('{"id": "b", "serial": true}', "/elsewhere")
    assert store.adapter("b") is None


def test_a_folder_beside_the_store_moves_with_it(store, tmp_path):
    add(store, "a")
    store.add_adapter(manifest("far", 2), "/far/away")
    store.close()
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "memory.db").rename(moved / "memory.db")
    with Store.open(moved / "memory.db") as store:
        assert store.adapter("a").folder == moved / "adapters" / "a"
        assert str(store.adapter("far").folder) == "/far/away"


def test_taken_over_good_and_rolled_back(store):
    add(store, "a", "b", "c")
    use = store.take_over("a")
    assert (use.in_use, use.previous, use.serial, store.adapter("a").state) == ("a", "", 1, "watched")
    store.set_adapter_state("a", "good")
    good(store, "b")
    use = store.take_over("c")
    assert (use.in_use, use.previous, use.serial) == ("c", "b", 3)
    use = store.roll_back("7 of 9 clips failed")
    assert (use.in_use, use.previous, use.serial) == ("b", "a", 3), "a serial is never taken back"
    assert (store.adapter("c").state, store.adapter("c").reason) == ("rolled_back", "7 of 9 clips failed")
    assert store.roll_back("").in_use == "a"
    assert store.roll_back("").in_use == "" and store.roll_back("").in_use == ""
    assert [event.event for event in store.adapter_events("c")] == ["rolled_back", "taken_over", "staged"]


def test_one_on_probation_is_nothing_to_go_back_to(store):
    add(store, "a", "b", "c")
    good(store, "a")
    store.take_over("b")
    use = store.take_over("c")
    assert (use.in_use, use.previous) == ("c", "a")
    assert store.adapter("b").state == "staged" and "proved" in store.adapter("b").reason


def test_a_person_may_go_back_and_forth_and_to_the_bare_model(store):
    add(store, "a", "b")
    good(store, "b")
    use = store.activate_adapter("a")
    assert (use.in_use, use.previous, use.serial) == ("a", "b", 2), "a person's choice is no new serial"
    use = store.activate_adapter("b")
    assert (use.in_use, use.previous) == ("b", "a")
    use = store.activate_adapter("")
    assert (use.in_use, use.previous) == ("", "")
    assert store.activate_adapter("a").previous == ""
    with pytest.raises(StoreError, match="no adapter 'x'"):
        store.activate_adapter("x")
    assert store.adapter_use().in_use == "a"


def test_a_rollback_never_goes_to_one_that_was_given_up(store):
    add(store, "a", "b", "c")
    good(store, "a")
    good(store, "b")
    store.roll_back("a person's wish")
    assert store.adapter_use().in_use == "a"
    use = store.take_over("c")
    assert use.previous == "a"
    assert store.roll_back("").previous == ""


def test_what_fails_half_way_changes_nothing(store, monkeypatch):
    add(store, "a", "b")
    good(store, "a")
    before = store.adapter_use(), store.adapters(), store.adapter_events()
    monkeypatch.setattr("taskmem_ros.memory.adapters._note", lambda *_: 1 / 0)
    for change in (
        lambda: store.take_over("b"),
        lambda: store.roll_back("x"),
        lambda: store.pin_adapter(True),
    ):
        with pytest.raises(ZeroDivisionError):
            change()
    assert (store.adapter_use(), store.adapters(), store.adapter_events()) == before


def test_pinning_one_on_probation_is_a_persons_judgement(store):
    add(store, "a")
    store.take_over("a")
    assert store.pin_adapter(True).pinned and store.adapter("a").state == "good"
    store.pin_adapter(True)
    assert not store.pin_adapter(False).pinned
    events = [event.event for event in store.adapter_events("a")]
    assert events == ["unpinned", "good", "pinned", "taken_over", "staged"]


def test_another_base_has_its_own_use_and_the_old_one_comes_back(store):
    add(store, "a")
    good(store, "a")
    store.pin_adapter(True)
    assert store.set_base("demo", BASE) == ""
    assert store.set_base("other", "1" * 16) == "a"
    use = store.adapter_use()
    assert (use.in_use, use.previous, use.pinned, use.serial, use.base_model) == ("", "", False, 0, "other")
    store.add_adapter(manifest("z", 1, "1" * 16), "/z")
    store.take_over("z")
    assert store.set_base("demo", BASE) == "z"
    use = store.adapter_use()
    assert (use.in_use, use.pinned, use.serial, use.base_revision) == ("a", True, 1, BASE)


def test_starts_on_probation_count_from_the_take_over(store):
    add(store, "a", "b")
    store.take_over("a")
    assert [store.count_adapter_start() for _ in range(3)] == [1, 2, 3]
    store.take_over("b")
    assert store.count_adapter_start() == 1


def test_the_baseline_is_what_this_base_wrote_and_answered_before(store):
    by = {"model": "demo", "revision": BASE}
    for second, text in enumerate(("one", "one two", "one two three")):
        store.add_memory("camera", 0, second, second + 1, text, **by)
    store.add_memory("camera", 0, 9, 10, "of another model", model="x", revision="x")
    newest = store.add_memory("camera", 0, 10, 11, "one two three four five", **by)
    store.add_failure("camera", 0, 12, 13, raw="", error="nothing", **by)
    for answer in ("here", None, None):
        task = store.add_task("Where?")
        store.finish_task(task.id, "answered" if answer else "not_in_memory", answer=answer)
    store.finish_task(store.add_task("Where?").id, "failed")
    now = store.task(4).answered_ns + 1
    written = store.writing(now, 300, 100)
    assert (written.words, written.failures) == ((5, 3, 2, 1), 1)
    assert (written.answered, written.abstained) == (1, 2)
    last = store.writing(now, 2, 1)
    assert (last.words, last.failures, last.answered, last.abstained) == ((5,), 1, 0, 1)
    earlier = store.writing(newest.created_ns, 300, 100)
    assert (earlier.words, earlier.failures, earlier.answered, earlier.abstained) == ((3, 2, 1), 0, 0, 0)
    assert store.writing(0, 300, 100).words == ()
