"""The settings of `taskmem-train nightly`: when to train, how, what the gate asks of few tasks."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from taskmem_ros.exchange.manifest import NAME, NAME_RULE
from taskmem_train.bench.settings import JUDGES as ANSWER_JUDGES
from taskmem_train.gate.rules import GateRules
from taskmem_train.gate.settings import REST, GateConfig
from taskmem_train.phase_two.settings import JUDGES, QUALITIES, LearnConfig, PhaseTwoConfig


def _setting(default, help: str, **metadata):
    return field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True, kw_only=True)
class NightlyConfig(GateRules, LearnConfig):
    """Everything that a night does. What is not here is as of `phase-two` and `gate`.

    Some rules of the gate are looser than there, since a night has dozens of questions and not hundreds: each
    says why. What an adapter that passes by luck can do is bounded by the robot, which tries it, watches it
    and goes back, and by the next night, which compares with it.
    """

    exchange: str = field(metadata={"help": "URL of the place where robots leave bundles and find adapters"})
    key: str = field(metadata={"help": "file of the key that signs adapters; see `taskmem keys make`"})
    keyring: str = _setting(
        "", "keys of other workstations whose adapters count, too; else ~/.taskmem/trusted_keys where it is"
    )
    robots: tuple[str, ...] = _setting((), "only of these robots; else of all in the exchange")
    max_megabytes: float = _setting(4000.0, "a bundle that is larger is passed over until this is raised")
    together: bool = _setting(False, "one adapter for all robots' tasks; else one for each robot's")
    name: str = _setting("", "in the adapters' ids; else the robot's name")

    min_new_tasks: int = _setting(5, "train when so many tasks of a kind are new, with a known answer")
    days: float = _setting(2.0, "tasks and clips of so many days before the newest one are used")
    learn_share: float = _setting(
        0.5,
        "judge answerability learns from this share of the tasks with a known answer; the rest is held out",
    )
    held_out: int = _setting(100, "at most so many held-out tasks are asked, the newest ones")
    keep_days: float = _setting(
        30.0, "bundles and the folders of runs that no later night needs go after so many days; 0: never"
    )
    tries: int = _setting(
        3, "a run that fails, or whose process is killed, is tried again in the next passes, so often in all"
    )
    every_minutes: float = _setting(30.0, "with --watch: from the end of a pass to the next")

    contexts: int = _setting(256, "at most so many clips are learned from, spread over all; 0: all")
    judge: str = _setting(
        "answerability",
        "of helpfulness; answerability needs no server; truth is the demo home's",
        choices=JUDGES,
    )
    quality: str = _setting(
        "none", "who checks that memories are true, in training and at the gate", choices=QUALITIES
    )
    answers: str = _setting(
        "auto", "who judges open answers at the gate; auto: the demo home's own, else exact",
        choices=ANSWER_JUDGES,
    )  # fmt: skip
    reader_url: str = _setting("", "base URL of an endpoint that answers from memory; else the policy does")
    reader_model: str = _setting("", "its model")
    window: int = _setting(5, "clips that the robot's policy sees")
    at_once: int = _setting(16, "at the gate: streams in lock-step, and questions in a batch")
    repeats: int = _setting(
        3,
        "at the gate each way to memorize lives through the clips so often, side by side: what it writes is "
        "drawn by chance, and a night's few questions have to say something",
    )
    block: int = _setting(
        4,
        "a robot's day is one stream, of which no bootstrap can draw: so many consecutive questions, which "
        "are about much the same memories, are drawn as one",
    )
    min_questions: int = _setting(
        20, "held-out questions that a decision needs at least; with fewer, nothing is trained"
    )
    confidence: float = _setting(
        0.9, "of the interval of the gain: one in twenty adapters that change nothing passes its lower end"
    )
    max_fidelity_loss: float = _setting(
        0.05, "true statements may be fewer by at most this share; a night's few hundred are known no better"
    )
    max_length_change: float = _setting(
        0.2,
        "memories may be longer or shorter by at most this share than those of what is in use, which another "
        "role may have shaped; each night fits anew to the bare policy, so this does not add up",
    )
    max_failed_gain: float = _setting(
        0.02, "clips without a memory may be more by at most this share: one or two of a short day"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_truth()
        for robot in self.robots:
            if not NAME.fullmatch(robot):
                raise ValueError(f"robot {robot!r} is no name; it must be {NAME_RULE}")
        if self.name and not NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; it must be {NAME_RULE}")
        if not 0 < self.learn_share < 1:
            raise ValueError(f"learn_share is {self.learn_share}; it must be between 0 and 1, as in 0.5")
        for name in ("min_new_tasks", "questions", "held_out", "tries", "block", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("days", "every_minutes", "max_megabytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.keep_days < 0:
            raise ValueError(f"keep_days is {self.keep_days}; it must be 0 or more")
        if self.held_out < self.min_questions:
            raise ValueError(
                f"held_out is {self.held_out} and min_questions {self.min_questions}; ask at least as many "
                "tasks as a decision needs"
            )
        if self.quality == "none" and not self.home_seed and not self.allow_unchecked:
            raise ValueError(
                "quality is 'none', so the gate would refuse every adapter: name who checks that memories "
                "are true (quality: endpoint or local), or set allow_unchecked"
            )
        if bool(self.reader_url) != bool(self.reader_model):
            raise ValueError("reader_url and reader_model go together; the other one is missing")
        if self.answers == "endpoint" and not (self.judge_url and self.judge_model):
            raise ValueError("answers is 'endpoint'; it needs judge_url and judge_model")

    def to_learn(self, bundles: tuple[str, ...], tasks: tuple[str, ...]) -> PhaseTwoConfig:
        """Of a run of Phase Two on these bundles, to which these tasks are fitted."""
        values = {item.name: getattr(self, item.name) for item in fields(LearnConfig)}
        # Truth grades at the gate by itself; in training, whoever checks has to be named.
        if self.home_seed and self.quality == "none":
            values["quality"] = "truth"
        return PhaseTwoConfig(**values | {"bundle": bundles, "tasks": tasks})

    def to_gate(
        self, bundles: tuple[str, ...], tasks: tuple[str, ...], *, name: str, publish: str, in_use: str
    ) -> GateConfig:
        """Of the gate, which asks these tasks. publish, in_use: folders, in_use "" for the bare policy."""
        rules = {item.name: getattr(self, item.name) for item in fields(GateRules)}
        checked = self.quality in ("endpoint", "local") and not self.home_seed
        quality = {"quality": self.quality, "quality_model": self.judge_model} if checked else {}
        if self.quality == "endpoint" and checked:
            quality["quality_url"] = self.judge_url
        asked = {"judge": self.answers}
        if self.answers == "endpoint":
            asked |= {"judge_url": self.judge_url, "judge_model": self.judge_model}
        return GateConfig(
            publish=publish, name=name, adapter_in_use=in_use, bundle=bundles, tasks=tasks, held_out=REST,
            home_seed=self.home_seed, block=self.block, repeats=self.repeats, reader_url=self.reader_url,
            reader_model=self.reader_model, device=self.device, dtype=self.dtype, window=self.window,
            at_once=self.at_once, **rules, **quality, **asked,
        )  # fmt: skip
