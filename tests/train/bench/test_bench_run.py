"""A run writes in order, asks at the right time, counts what fails, and goes on where it was cut off."""

from __future__ import annotations

import json

import pytest
from small import START, STEP, Looking, Plain, dataset, stream
from taskmem_train.bench import DescribeEverything, Question, Reply, run_stream_benchmark
from taskmem_train.bench.judges import ExactJudge

from taskmem_ros.memory import Store


def words(text: str) -> int:
    return len(text.split())


def question(id: str, answer: str, kind: str = "a", reveal: int | None = None) -> Question:
    return Question(
        id, f"What about {id}?", kind, answer, reveal_ns=None if reveal is None else START + reveal
    )


def run(data, systems, reader, out, **more):
    return run_stream_benchmark(data, systems, reader, out, count_tokens=words, progress=False, **more)


def test_a_question_is_asked_of_the_memories_that_had_ended_by_its_time(tmp_path):
    late = question("late", "plain clip 4")
    middle = question("middle", "plain clip 1", reveal=3 * STEP)
    within = question("within", "plain clip 0", reveal=2 * STEP - 1)  # the second clip is not over
    early = question("early", "none", reveal=STEP - 1)
    reader = Looking()
    result = run(dataset(stream("s", 5, [late, middle, within, early])), {"p": Plain()}, reader, tmp_path)
    assert reader.seen == {
        "early": [],
        "within": ["plain clip 0"],
        "middle": ["plain clip 0", "plain clip 1"],
        "late": ["plain clip 0", "plain clip 1", "plain clip 3", "plain clip 4"],
    }
    assert reader.now == {
        "early": START + STEP - 1, "within": START + 2 * STEP - 1, "middle": START + 3 * STEP,
        "late": START + 5 * STEP,
    }  # fmt: skip
    assert result.row("p").accuracy.value == 1.0


def test_no_picture_reaches_the_reader(tmp_path):
    kept = {}

    class Curious(Looking):
        def __call__(self, store, question, now_ns):
            kept["pictures"] = [memory.thumbnail for memory in store.memories()]
            kept["path"] = store.path
            return super().__call__(store, question, now_ns)

    run(dataset(stream("s", 4, [question("q", "x")])), {"p": Plain()}, Curious(), tmp_path)
    assert kept["pictures"] == [b""] * 3
    assert not kept["path"].exists() and tmp_path not in kept["path"].parents  # a store of its own


def test_streams_go_in_lock_step_each_with_its_own_window(tmp_path):
    plain = Plain(fails=(1,))
    streams = [stream(id, count, [question(f"q {id}", "a")]) for id, count in (("x", 6), ("y", 2), ("z", 3))]
    run(dataset(*streams), {"p": plain}, Looking(), tmp_path, window=3, at_once=2)
    steps = [[context.id.partition("@")[0] for context in call] for call in plain.calls]
    assert steps == [["x", "y"], ["x", "y"], ["x"], ["x", "z"], ["x", "z"]]
    last = plain.calls[-1][0]  # clip 5: clip 1 failed and left the window, clip 2 was a gap
    assert last.memories == ("plain clip 3", "plain clip 4")
    assert [(c.start_ns - START) // STEP for c in last.clips] == [3, 4, 5]


def test_accuracy_is_coverage_times_precision_and_failures_are_no_answers(tmp_path):
    says = {
        "right": Reply("answered", "Yes."), "wrong": Reply("answered", "no"),
        "none": Reply("not_in_memory", message="The memories do not say it."),
        "unread": Reply("failed", message="The reader's reply could not be used, twice"),
        "gone": ConnectionError("no server at localhost"),
    }  # fmt: skip
    asked = [question(id, "yes", kind) for id, kind in zip(says, "aabbb")]
    result = run(dataset(stream("s", 2, asked)), {"p": Plain()}, Looking(says), tmp_path)
    row = result.row("p")
    assert (row.accuracy.value, row.coverage.value, row.precision.value) == (0.2, 0.4, 0.5)
    assert row.failures == {"failed": 1, "ConnectionError": 1}
    assert result.row("p", "b").precision is None and result.row("p", "a").questions == 2
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["rows"][0]["accuracy"]["value"] == 0.2
    assert "1 questions: ConnectionError" in (tmp_path / "results.md").read_text()

    # What failed is asked again in the next run, what was decided is not.
    again = Looking({"gone": Reply("answered", "yes"), "unread": Reply("not_in_memory")})
    result = run(dataset(stream("s", 2, asked)), {"p": Plain()}, again, tmp_path)
    assert set(again.seen) == {"unread", "gone"}
    assert result.row("p").accuracy.value == 0.4 and not result.row("p").failures


def test_a_reader_that_is_gone_ends_the_run_and_the_next_one_goes_on(tmp_path):
    asked = [question(str(number), "yes") for number in range(12)]
    says = {str(number): ConnectionError("no server") for number in range(3, 12)}
    with pytest.raises(ValueError, match="failed 5 times in a row.*no server.*run again"):
        run(dataset(stream("s", 2, asked)), {"p": Plain()}, Looking(says), tmp_path)
    again = Looking()
    run(dataset(stream("s", 2, asked)), {"p": Plain()}, again, tmp_path)
    assert set(again.seen) == {str(number) for number in range(3, 12)}


def test_a_run_that_was_cut_off_ends_like_one_that_was_not(tmp_path):
    data = dataset(*(stream(id, 7, [question(f"q {id}", "plain clip 6")]) for id in "abc"))
    whole = run(data, {"p": Plain(fails=(4,))}, Looking(), tmp_path / "whole", at_once=2)
    with pytest.raises(KeyboardInterrupt):
        run(data, {"p": Plain(fails=(4,), stops_at=5)}, Looking(), tmp_path / "cut", at_once=2)
    rest = Plain(fails=(4,))
    result = run(data, {"p": rest}, Looking(), tmp_path / "cut", at_once=2)
    written = {context.id for call in rest.calls for context in call}
    assert len(written) == 3 * 6 - 2 * 5  # two streams had five of their six clips
    assert [row.as_dict() for row in result.rows] == [row.as_dict() for row in whole.rows]
    costs = [{k: v for k, v in r.costs["p"].items() if "seconds" not in k} for r in (result, whole)]
    assert costs[0] == costs[1]
    assert costs[0]["clips"] == 18 and costs[0]["memorizing_tokens"] == 15 * 10 + 3 * 20
    assert result.row("p").memories.failures == {"the reply has no text": 3}

    idle, silent = Plain(fails=(4,)), Looking()
    run(data, {"p": idle}, silent, tmp_path / "cut")
    assert not idle.calls and not silent.seen


def test_another_writer_question_or_reader_finds_none_of_the_old(tmp_path):
    data = dataset(stream("s", 2, [question("q", "plain clip 1")]))
    run(data, {"p": Plain()}, Looking(), tmp_path)
    other, reader = Plain("other"), Looking()
    result = run(data, {"p": other}, reader, tmp_path)
    assert len(other.calls) == 2 and set(reader.seen) == {"q"}
    assert result.row("p").accuracy.value == 0.0

    reworded = dataset(stream("s", 2, [Question("q", "Which clip came last?", "a", "plain clip 1")]))
    same, reader = Plain(), Looking()
    run(reworded, {"p": same}, reader, tmp_path)
    assert not same.calls and set(reader.seen) == {"q"}

    class Another(Looking):
        identity = {"reader": "another"}

    reader = Another()
    run(data, {"p": Plain()}, reader, tmp_path)
    assert set(reader.seen) == {"q"}
    assert len(list((tmp_path / "memories").iterdir())) == 2


def test_memories_of_other_observations_are_refused(tmp_path):
    run(dataset(stream("s", 2, [question("q", "x")])), {"p": Plain()}, Looking(), tmp_path)
    with pytest.raises(ValueError, match="holds memories of other observations of 's'"):
        run(dataset(stream("s", 4, [question("q", "x")])), {"p": Plain()}, Looking(), tmp_path)


def test_one_writer_for_all_kinds_writes_once_and_one_for_each_kind_for_each(tmp_path):
    asked = [question("q1", "plain clip 1", "a"), question("q2", "b clip 1", "b")]
    data = dataset(stream("s", 2, asked), stream("t", 2, [question("q3", "plain clip 1", "a")]))
    shared, for_a, for_b = Plain(), Plain("a"), Plain("b")
    result = run(data, {"one": shared, "each": {"a": for_a, "b": for_b}}, Looking(), tmp_path)
    assert len(shared.calls) == len(for_a.calls) == len(for_b.calls) == 2
    assert [len(call) for call in for_b.calls] == [1, 1]  # nobody asks about "b" in the second stream
    assert result.row("one", "a").accuracy.value == 1.0 and result.row("each", "b").accuracy.value == 1.0
    found = {(c["system"], c["kind"]): c["difference"] for c in result.comparisons}
    assert found == {("each", "all"): pytest.approx(-1 / 3), ("each", "a"): -1.0, ("each", "b"): 1.0}
    with Store.open(next((tmp_path / "memories").glob("each-b-*")) / "s.db") as store:
        assert [memory.text for memory in store.memories()] == ["b clip 0", "b clip 1"]
        assert store.memories()[0].model == "b"


def test_a_budget_is_what_another_system_used(tmp_path):
    class Wordy(Plain):
        def _draft(self, index):
            draft = super()._draft(index)
            return type(draft)("One, two, three, four. Five and six.", "", 1, 40, 0.1)

    data = dataset(stream("s", 2, [question("q", "One, two, three.")]))
    systems = {"policy": Plain(), "all": DescribeEverything(Wordy("w"), words)}
    result = run(data, systems, Looking(), tmp_path)
    assert result.row("all").accuracy.value == 1.0
    assert result.row("all").memories.tokens_per_memory == 3.0
    with pytest.raises(ValueError, match="as many tokens as 'policy'; run that before it"):
        run(data, {"all": DescribeEverything(Wordy("w"), words)}, Looking(), tmp_path)


def test_a_judge_that_fails_is_a_failure_and_is_asked_again(tmp_path):
    class Judge(ExactJudge):
        identity = "moody"
        broken = True

        def right(self, question, text):
            if self.broken:
                raise ConnectionError("no judge")
            return super().right(question, text)

    asked = [question(str(number), "plain clip 1") for number in range(4)]
    data, judge = dataset(stream("s", 2, asked)), Judge()
    result = run(data, {"p": Plain()}, Looking(), tmp_path, judge=judge)
    assert result.row("p").failures == {"judge failed": 4} and result.row("p").coverage.value == 0
    judge.broken = False
    silent = Looking()
    assert run(data, {"p": Plain()}, silent, tmp_path, judge=judge).row("p").accuracy.value == 1.0
    assert not silent.seen


@pytest.mark.parametrize(
    "data, systems, said",
    [
        (dataset(stream("s", 2)), {"p": Plain()}, "has no question to ask"),
        (dataset(skipped=("video x: gone",)), {"p": Plain()}, "1 skipped, video x: gone for one"),
        (dataset(stream("s", 2, [question("q", "x")] * 2)), {"p": Plain()}, "id 'q' is there more than once"),
        (
            dataset(stream("s", 2, [question("q", "x")])),
            {"p": {"b": Plain()}},
            "no writer for questions of kind",
        ),
        (dataset(stream("s", 2, [question("q", "x")])), {}, "there is no system"),
    ],
)
def test_what_cannot_be_run_is_said_first(data, systems, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        run(data, systems, Looking(), tmp_path)
