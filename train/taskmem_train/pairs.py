"""Pairs to prefer by: of the candidates of a context, one that helps more and one that helps less.

As in TaskMem (arXiv 2605.31075): every two candidates are judged in both orders, only verdicts that agree
count, and the end of the longest chain of preferences is chosen over its start. A context gives one pair or
none, with the reason.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import networkx as nx

from taskmem_train.contexts import Context
from taskmem_train.judges.types import Grade, HelpfulnessJudge, JudgeError, Verdict

# Why a context gives no pair.
DUPLICATES = "duplicates"  # fewer than two different candidates
TIES = "ties"  # these three: what most of its comparisons came to, none of them being a preference
INCONSISTENT = "inconsistent"
FAILED_JUDGE = "failed_judge"  # also where fewer than two candidates could be graded
CYCLE = "cycle"  # all preferences go round in circles
LABELS = "labels"  # these three: what the ends of the longest chain failed
QUALITY = "quality"
LENGTH = "length"
REASONS = (DUPLICATES, TIES, INCONSISTENT, FAILED_JUDGE, CYCLE, LABELS, QUALITY, LENGTH)


@dataclass(frozen=True)
class Candidate:
    """A memory that was sampled for a context. grade: its quality. faults: of `label_faults`."""

    text: str
    grade: Grade | JudgeError
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """What is learned from one context: write `chosen` rather than `rejected`."""

    context_id: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class PairRules:
    """How alike in length the two texts of a pair are: length would otherwise be taken for what is preferred.

    length_difference: they differ by fewer tokens than this. length_share: and by less than this share of the
    longer one, in (0, 1]; None is any. longer: the chosen one has at most so many tokens more; None is any,
    but where helpful texts are the longer ones, memories grow with what is learned. true_only: nothing is
    chosen that states anything untrue; else its quality is at least that of the other.
    """

    length_difference: int = 20
    length_share: float | None = None
    true_only: bool = False
    longer: int | None = None

    def __post_init__(self) -> None:
        if self.length_difference < 1:
            raise ValueError(
                f"length_difference is {self.length_difference}; at least 1 lets equal lengths in"
            )
        if self.length_share is not None and not 0 < self.length_share <= 1:
            raise ValueError(f"length_share is {self.length_share}; it must be in (0, 1], or None")


@dataclass
class Yield:
    """What came of contexts and of comparisons.

    pairs: contexts that gave one. reasons: of those that gave none, by REASONS. comparisons: of two texts, in
    both orders: "preferred", "ties", "inconsistent" or "failed_judge"; those preferences that lie on a cycle,
    and so do not count, are in "cycle" too.
    """

    pairs: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    comparisons: Counter[str] = field(default_factory=Counter)

    @property
    def contexts(self) -> int:
        return self.pairs + self.reasons.total()

    def report(self) -> dict:
        """For JSON; share is pairs per context, None without any."""
        return {
            "contexts": self.contexts,
            "pairs": self.pairs,
            "share": round(self.pairs / self.contexts, 4) if self.contexts else None,
            "reasons": {reason: self.reasons[reason] for reason in REASONS},
            "comparisons": dict(self.comparisons),
        }


def make_pairs(
    groups: Iterable[tuple[Context, Sequence[Candidate]]],
    questions: Sequence[str],
    judge: HelpfulnessJudge,
    length: Callable[[str], int],
    rules: PairRules = PairRules(),
) -> tuple[list[Pair], Yield]:
    """The pairs of many contexts, each with its candidates. Arguments and errors as in `make_pair`."""
    counts = Yield()
    made = [make_pair(context, few, questions, judge, length, rules, counts) for context, few in groups]
    return [pair for pair in made if isinstance(pair, Pair)], counts


def make_pair(
    context: Context,
    candidates: Sequence[Candidate],
    questions: Sequence[str],
    judge: HelpfulnessJudge,
    length: Callable[[str], int],
    rules: PairRules = PairRules(),
    counts: Yield | None = None,
) -> Pair | str:
    """The pair of one context, or which of REASONS it has for giving none. counts: where that is added up.

    questions: the recent ones, oldest first. length: of a text, in tokens. The judge is asked once, for all
    comparisons together. Raises ValueError, and whatever the judge raises besides JudgeError.
    """
    counts = Yield() if counts is None else counts
    result = _make_pair(context, candidates, questions, judge, length, rules, counts)
    if isinstance(result, Pair):
        counts.pairs += 1
    else:
        counts.reasons[result] += 1
    return result


def truth_pair(
    context: Context,
    candidates: Sequence[Candidate],
    length: Callable[[str], int],
    rules: PairRules = PairRules(),
) -> Pair | None:
    """A true memory over the least true one of a context, whatever they help with, if there are both."""
    graded = [one for one in candidates if isinstance(one.grade, Grade)]
    sound = [one for one in graded if one.grade.ok and not one.faults]
    wrong = sorted((one for one in graded if not one.grade.ok), key=lambda one: one.grade.score)
    for rejected in wrong:
        near = [one for one in sound if _failure(one, rejected, length, rules) is None]
        if near:
            chosen = min(near, key=lambda one: abs(length(one.text) - length(rejected.text)))
            return Pair(context.id, chosen.text, rejected.text)
    return None


def _make_pair(
    context: Context,
    candidates: Sequence[Candidate],
    questions: Sequence[str],
    judge: HelpfulnessJudge,
    length: Callable[[str], int],
    rules: PairRules,
    counts: Yield,
) -> Pair | str:
    different: dict[str, Candidate] = {}
    for one in candidates:
        different.setdefault(" ".join(one.text.split()), one)
    if len(different) < 2:
        return DUPLICATES
    graded = [one for one in different.values() if isinstance(one.grade, Grade)]
    if len(graded) < 2:
        return FAILED_JUDGE
    outcomes = _compare_all(context, [one.text for one in graded], questions, judge)
    found = Counter(outcome for outcome in outcomes.values() if isinstance(outcome, str))
    preferences = [outcome for outcome in outcomes.values() if not isinstance(outcome, str)]
    counts.comparisons.update(found)
    counts.comparisons["preferred"] += len(preferences)
    if not preferences:
        return max((FAILED_JUDGE, INCONSISTENT, TIES), key=lambda reason: found[reason])
    graph, circular = without_cycles(preferences)
    counts.comparisons["cycle"] += circular
    if not graph:
        return CYCLE
    path = longest_path(graph, [one.grade.score for one in graded])
    return _choose(context, [graded[number] for number in path], length, rules)


def _compare_all(
    context: Context, texts: Sequence[str], questions: Sequence[str], judge: HelpfulnessJudge
) -> dict[tuple[int, int], tuple[int, int] | str]:
    """For every two texts: (number of the loser, number of the winner), or why there is no preference."""
    numbers = list(itertools.combinations(range(len(texts)), 2))
    forth = [(texts[a], texts[b]) for a, b in numbers]
    try:
        verdicts = judge.compare(context, forth + [(b, a) for a, b in forth], questions)
    except JudgeError:
        return dict.fromkeys(numbers, FAILED_JUDGE)
    if len(verdicts) != 2 * len(numbers):
        raise ValueError(f"the judge gave {len(verdicts)} verdicts for {2 * len(numbers)} comparisons")
    return {
        (a, b): _agreed(a, b, there, back)
        for (a, b), there, back in zip(numbers, verdicts, verdicts[len(numbers) :])
    }


def _agreed(a: int, b: int, there: Verdict, back: Verdict) -> tuple[int, int] | str:
    if isinstance(there, JudgeError) or isinstance(back, JudgeError):
        return FAILED_JUDGE
    if (there, back) == ("tie", "tie"):
        return TIES
    if (there, back) == ("first", "second"):
        return b, a
    return (a, b) if (there, back) == ("second", "first") else INCONSISTENT


def without_cycles(preferences: Iterable[tuple[int, int]]) -> tuple[nx.DiGraph, int]:
    """(the graph of the preferences, from loser to winner, that lie on no cycle; how many were left out).

    Preferences that go round in a circle contradict each other: none of them is believed.
    """
    graph = nx.DiGraph(preferences)
    part = {node: n for n, nodes in enumerate(nx.strongly_connected_components(graph)) for node in nodes}
    circular = [(loser, winner) for loser, winner in graph.edges if part[loser] == part[winner]]
    graph.remove_edges_from(circular)
    graph.remove_nodes_from([node for node in list(graph) if not graph.degree(node)])
    return graph, len(circular)


def longest_path(graph: nx.DiGraph, scores: Sequence[float]) -> list[int]:
    """The nodes of the longest path of an acyclic graph, so from one that beats none to one that none beats.

    Of several: the one whose end wins most, then has the highest score, then the lowest number; of those with
    one end, the one whose start loses most, then has the lowest score, then the highest number.
    """
    best: dict[int, list[int]] = {}

    def start_rank(path: list[int]) -> tuple:
        return len(path), graph.out_degree(path[0]), -scores[path[0]], path[0]

    def end_rank(path: list[int]) -> tuple:
        return len(path), graph.in_degree(path[-1]), scores[path[-1]], -path[-1]

    for node in nx.lexicographical_topological_sort(graph):
        before = [best[loser] for loser in graph.predecessors(node)]
        best[node] = [*max(before, key=start_rank), node] if before else [node]
    return max(best.values(), key=end_rank)


def _choose(
    context: Context, path: Sequence[Candidate], length: Callable[[str], int], rules: PairRules
) -> Pair | str:
    """The undefeated end of the path over the least true of those behind it, of these the farthest; else the
    next pair that passes. Where none does, what the first one fails.
    """
    failures = []
    for better in range(len(path) - 1, 0, -1):
        for worse in sorted(range(better), key=lambda number: path[number].grade.score):
            chosen, rejected = path[better], path[worse]
            failure = _failure(chosen, rejected, length, rules)
            if failure is None:
                return Pair(context.id, chosen.text, rejected.text)
            failures.append(failure)
    return failures[0]


def _failure(
    chosen: Candidate, rejected: Candidate, length: Callable[[str], int], rules: PairRules
) -> str | None:
    if chosen.faults:
        return LABELS
    if chosen.grade.score < rejected.grade.score or (rules.true_only and not chosen.grade.ok):
        return QUALITY
    few, many = sorted((length(chosen.text), length(rejected.text)))
    if rules.longer is not None and length(chosen.text) - length(rejected.text) > rules.longer:
        return LENGTH
    limit = rules.length_difference
    if rules.length_share is not None:
        limit = min(limit, rules.length_share * many)
    return LENGTH if many - few >= limit else None
