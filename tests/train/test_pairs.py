"""Pairs: only preferences that hold in both orders count, and every context without a pair has a reason."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest
from judge_cases import context
from taskmem_train.judges.truth import RandomJudge
from taskmem_train.judges.types import Grade, JudgeError
from taskmem_train.pairs import (
    Candidate,
    Pair,
    PairRules,
    Yield,
    longest_path,
    make_pair,
    make_pairs,
    truth_pair,
    without_cycles,
)

QUESTIONS = ["Where is the red mug?"]


class Beats:
    """Prefers by a list of "winner>loser"; all else is a tie. asked: the pairs of each call."""

    def __init__(self, *beats: str, always: str | Exception | None = None):
        self.beats = {tuple(one.split(">")) for one in beats}
        self.always, self.asked = always, []

    def compare(self, context, pairs, questions):
        self.asked.append(list(pairs))
        if self.always is not None:
            return [self.always] * len(pairs)
        return [
            "first" if (a, b) in self.beats else "second" if (b, a) in self.beats else "tie" for a, b in pairs
        ]


class Broken:
    def compare(self, context, pairs, questions):
        raise JudgeError("nobody is there")


def candidates(texts: str, **scores: float) -> list[Candidate]:
    """One candidate for each letter."""
    return [Candidate(text, Grade(scores.get(text, 1.0), True)) for text in texts]


def made(judge, texts, rules=None, length=len, **scores):
    few = texts if isinstance(texts, list) else candidates(texts, **scores)
    result = make_pair(context(), few, QUESTIONS, judge, length, rules or PairRules())
    return (result.chosen, result.rejected) if isinstance(result, Pair) else result


def test_the_end_of_the_longest_chain_is_chosen_over_its_start():
    # a > b > c is the longest chain; d is undefeated too and wins more, but its chains are shorter.
    judge = Beats("a>b", "b>c", "d>c", "d>e", "d>f")
    assert made(judge, "fedcba") == ("a", "c")


def test_of_chains_of_one_length_the_end_that_wins_more_is_chosen_then_the_better_one():
    assert made(Beats("a>b", "c>b", "c>d"), "abcd") == ("c", "b")
    assert made(Beats("a>b", "c>b"), "abc") == ("a", "b")
    assert made(Beats("a>b", "c>b"), "abc", a=0.8, b=0.5, c=0.9) == ("c", "b")
    # Of several starts, the one that loses most, then the worse one.
    assert made(Beats("a>b", "a>c", "d>c"), "abcd") == ("a", "c")
    assert made(Beats("a>b", "a>c"), "abc", b=0.2, c=0.3) == ("a", "b")


def test_all_pairs_are_asked_in_both_orders_at_once_and_the_same_text_only_once():
    judge = Beats("a>b")
    assert made(judge, "aabcb a b".replace(" ", "")) == ("a", "b")
    assert sorted(judge.asked[0]) == sorted(itertools.permutations("abc", 2)) and len(judge.asked) == 1


def test_a_judge_that_likes_a_place_has_no_preference():
    for place in ("first", "second"):
        assert made(Beats(always=place), "abc") == "inconsistent"
    half = Beats("a>b")
    half.compare = lambda context, pairs, questions: [
        "tie" if pair == ("b", "a") else "first" for pair in pairs
    ]
    assert made(half, "ab") == "inconsistent"


def test_without_any_preference_the_commonest_outcome_is_the_reason():
    assert made(Beats(), "abc") == "ties"
    assert made(Beats(always=JudgeError("timed out")), "abc") == "failed_judge"
    assert made(Broken(), "abc") == "failed_judge"
    assert made(Beats(), "aaa") == made(Beats(), "a") == made(Beats(), "") == "duplicates"


def test_one_failed_comparison_does_not_lose_the_others():
    judge, whole = Beats("a>b", "b>c", "a>c"), Beats("a>b", "b>c", "a>c")
    judge.compare = lambda context, pairs, questions: [
        JudgeError("cut off") if pair == ("c", "b") else verdict
        for pair, verdict in zip(pairs, whole.compare(context, pairs, questions))
    ]
    counts = Yield()
    result = make_pair(context(), candidates("abc"), QUESTIONS, judge, len, counts=counts)
    assert (result.chosen, result.rejected) == ("a", "c")
    assert counts.comparisons == {"preferred": 2, "failed_judge": 1, "cycle": 0}


def test_candidates_without_a_grade_are_not_used():
    failed = Candidate("c", JudgeError("no reply"))
    assert made(Beats("a>b", "c>a"), [*candidates("ab"), failed]) == ("a", "b")
    assert made(Beats("a>b"), [*candidates("a"), failed]) == "failed_judge"


def test_preferences_on_a_circle_are_not_believed():
    judge = Beats("a>b", "b>c", "c>a", "d>a", "d>e")
    counts = Yield()
    result = make_pair(context(), candidates("abcde"), QUESTIONS, judge, len, counts=counts)
    assert (result.chosen, result.rejected) == ("d", "e")
    assert counts.comparisons["cycle"] == 3
    assert made(Beats("a>b", "b>c", "c>a"), "abcd") == "cycle"


def test_the_next_pair_on_the_chain_is_taken_where_the_ends_fail():
    chain = Beats("a>b", "b>c")
    assert made(chain, "abc", a=0.5, b=0.5) == ("a", "b")  # c is truer than a
    assert made(chain, "abc", a=0.5, c=0.8) == ("b", "c")
    assert made(chain, "abc", a=0.1, b=0.2, c=0.3) == "quality"
    assert made(chain, [Candidate("a", Grade(1, True), ("meta",)), *candidates("bc")]) == ("b", "c")
    assert made(Beats("a>b"), [Candidate("a", Grade(1, True), ("meta",)), *candidates("b")]) == "labels"
    # What is rejected need not be sound.
    assert made(Beats("a>b"), [*candidates("a"), Candidate("b", Grade(0, False), ("meta",))]) == ("a", "b")


def test_lengths_differ_by_little():
    tokens = {"a": 30, "b": 25, "c": 10}.get
    chain = Beats("a>b", "b>c")
    assert made(chain, "abc", length=tokens) == ("a", "b")  # a and c are 20 apart; b and c are lower
    assert made(chain, "abc", PairRules(21), length=tokens) == ("a", "c")
    assert made(chain, "abc", PairRules(21, 0.2), length=tokens) == ("a", "b")
    assert made(chain, "abc", PairRules(5), length=tokens) == "length"


def test_the_chosen_one_may_be_bound_to_be_no_longer():
    tokens = {"a": 14, "b": 10, "c": 13}.get
    chain = Beats("a>b", "b>c")
    assert made(chain, "abc", length=tokens) == ("a", "c")
    assert made(chain, "abc", PairRules(longer=1), length=tokens) == ("a", "c")
    assert made(chain, "abc", PairRules(longer=0), length=tokens) == ("b", "c"), "shorter is no fault"
    assert made(Beats("a>b"), "ab", PairRules(longer=3), length=tokens) == "length"
    assert made(chain, "abc", PairRules(1), length=lambda text: 7) == ("a", "c")


def test_where_truth_is_asked_for_nothing_untrue_is_chosen():
    mixed = [
        Candidate("aa", Grade(0.5, False)),
        Candidate("bb", Grade(0.5, False)),
        Candidate("cc", Grade(1.0, True)),
    ]
    judge = Beats("aa>bb", "bb>cc", "aa>cc")
    assert made(judge, mixed) == ("aa", "bb")
    assert made(judge, mixed, PairRules(true_only=True)) == "quality"
    true = [Candidate("aa", Grade(1.0, True)), *mixed[1:]]
    assert made(judge, true, PairRules(true_only=True)) == ("aa", "bb")  # the least true one that it beats


def test_a_pair_of_truth_is_a_sound_memory_over_the_least_true_one():
    few = [
        Candidate("long and true", Grade(1.0, True)),
        Candidate("true", Grade(1.0, True)),
        Candidate("twice", Grade(1.0, True), ("repeat",)),
        Candidate("half", Grade(0.5, False)),
        Candidate("none", Grade(0.0, False)),
        Candidate("lost", JudgeError("nobody is there")),
    ]
    assert truth_pair(context(), few, len) == Pair(context().id, "true", "none")
    assert truth_pair(context(), few[:1] + few[3:], len, PairRules(length_difference=5)) is None
    assert truth_pair(context(), few[2:], len) is None  # nothing sound
    assert truth_pair(context(), few[:3], len) is None  # nothing false


@pytest.mark.parametrize("values", [{"length_difference": 0}, {"length_share": 0.0}, {"length_share": 1.5}])
def test_rules_that_let_nothing_in_are_an_error(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        PairRules(**values)


def test_a_judge_that_gives_too_few_verdicts_is_an_error():
    judge = Beats()
    judge.compare = lambda context, pairs, questions: ["tie"]
    with pytest.raises(ValueError, match="1 verdicts for 6 comparisons"):
        made(judge, "abc")


def test_the_longest_path_against_networkx_on_random_graphs():
    for seed in range(60):
        texts = [str(number) for number in range(7)]
        pairs = list(itertools.combinations(range(7), 2))
        verdicts = RandomJudge(seed).compare(context(), [(texts[a], texts[b]) for a, b in pairs], QUESTIONS)
        edges = [(b, a) if verdict == "first" else (a, b) for (a, b), verdict in zip(pairs, verdicts)]
        graph, circular = without_cycles(edges[seed % 5 :: 1 + seed % 3])
        path = longest_path(graph, [0.5] * 7)
        assert circular == 0 and len(path) == len(nx.dag_longest_path(graph))
        assert nx.is_path(graph, path) and graph.out_degree(path[-1]) == graph.in_degree(path[0]) == 0


def test_what_came_of_many_contexts_is_counted():
    groups = [
        (context(id="one"), candidates("ab")),
        (context(id="two"), candidates("cd")),
        (context(id="three"), candidates("aa")),
    ]
    pairs, counts = make_pairs(groups, QUESTIONS, Beats("a>b"), len)
    assert pairs == [Pair("one", "a", "b")]
    assert (counts.pairs, counts.contexts) == (1, 3)
    assert counts.report()["reasons"] | {"ties": 1, "duplicates": 1} == counts.report()["reasons"]
    assert sum(counts.report()["reasons"].values()) == 2 and counts.report()["share"] == 0.3333
    assert Yield().report()["share"] is None


def test_a_random_judge_chooses_any_of_the_texts():
    groups = [(context(id=f"home-{index}"), candidates("abcdefgh")) for index in range(200)]
    pairs, counts = make_pairs(groups, QUESTIONS, RandomJudge(1), len)
    assert counts.pairs == 200
    chosen = [pair.chosen for pair in pairs]
    assert all(10 <= chosen.count(letter) <= 45 for letter in "abcdefgh")
