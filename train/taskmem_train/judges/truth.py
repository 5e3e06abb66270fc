"""The demo home's truth as a judge of quality and of helpfulness, and a judge that knows nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from taskmem_ros.home import Fact, queries_about, read_memory, read_question
from taskmem_train.contexts import Context
from taskmem_train.judges.types import Grade, Preference, some


class HomeTruth:
    """Judges memories of the demo home by what its clips show.

    facts: context id -> the facts of its newest clip. Both judgements are exact and never fail; a context
    that is not among them raises ValueError.
    """

    def __init__(self, facts: Mapping[str, Sequence[Fact]]):
        self._facts = facts

    def grade(self, context: Context, texts: Sequence[str]) -> list[Grade]:
        """The share of a text's different statements that are true; a clause that cannot be read is not."""
        truth = self._truth(context)
        return [_grade(text, truth) for text in texts]

    def helpful(self, context: Context, text: str, questions: Sequence[str]) -> list[Fact]:
        """The true facts in a text that its context's memories do not state, and that answer questions of the
        form of the recent ones, whatever they are about.

        Raises ValueError for a question that is none of the demo home's.
        """
        truth, forms = self._truth(context), _forms(questions)
        known = {fact for memory in context.memories for fact in read_memory(memory)[0]}
        return [
            fact
            for fact in dict.fromkeys(read_memory(text)[0])
            if fact in truth and fact not in known and forms & {query.form for query in queries_about(fact)}
        ]

    def compare(
        self, context: Context, pairs: Sequence[tuple[str, str]], questions: Sequence[str]
    ) -> list[Preference]:
        """The text that helps to answer more questions is preferred; as many on both sides are a tie."""
        count = {text: self._answered(context, text, questions) for pair in pairs for text in pair}
        return [_larger(count[first], count[second]) for first, second in pairs]

    def _answered(self, context: Context, text: str, questions: Sequence[str]) -> int:
        """How many questions of the form of the recent ones the helpful facts answer."""
        forms, helpful = _forms(questions), self.helpful(context, text, questions)
        return len({query for fact in helpful for query in queries_about(fact) if query.form in forms})

    def _truth(self, context: Context) -> frozenset[Fact]:
        if context.id not in self._facts:
            raise ValueError(f"the truth of context {context.id!r} is not known; give its facts to HomeTruth")
        return frozenset(self._facts[context.id])


class RandomJudge:
    """The control: a random order of the texts of each context, the same however it is asked."""

    def __init__(self, seed: int):
        self._seed = seed

    def compare(
        self, context: Context, pairs: Sequence[tuple[str, str]], questions: Sequence[str]
    ) -> list[Preference]:
        """Never a tie, except of a text with itself."""
        return [_larger(self._rank(context, first), self._rank(context, second)) for first, second in pairs]

    def _rank(self, context: Context, text: str) -> bytes:
        # With the context's id, or one and the same text would be liked everywhere.
        return hashlib.sha256(repr((self._seed, context.id, text)).encode()).digest()


def _grade(text: str, truth: frozenset[Fact]) -> Grade:
    facts, unread = read_memory(text)
    facts = list(dict.fromkeys(facts))  # saying a true thing twice makes nothing truer
    false = [f"not so: {fact}" for fact in facts if fact not in truth]
    wrong = false + [f"not a statement: {clause!r}" for clause in unread]
    stated = len(facts) + len(unread)
    return Grade((stated - len(wrong)) / stated, not wrong, "; ".join(wrong))


def _forms(questions: Sequence[str]) -> set[str]:
    forms = set()
    for text in some(questions):
        query = read_question(text)
        if query is None:
            raise ValueError(f"{text!r} is no question about the demo home; judge it with another judge")
        forms.add(query.form)
    return forms


def _larger(first: int | bytes, second: int | bytes) -> Preference:
    return "tie" if first == second else "first" if first > second else "second"
