"""The experiments of `phase_two.py`: roles, a role that changes, all at once, what matters how much."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from phase_two_lab import DAYS, HELD_OUT, Lab
from taskmem_train.bench.home import Oracle
from taskmem_train.bench.report import Result
from taskmem_train.bench.systems import DescribeEverything, PolicyMemorizer, RecentQuestions, TaskPrompt
from taskmem_train.contexts import Context, live
from taskmem_train.demo.samples import LIST_INSTRUCTION
from taskmem_train.home import home_stream
from taskmem_train.judges.truth import HomeTruth
from taskmem_train.rollout import Sampler

from taskmem_ros.home import ROLES
from taskmem_ros.policy import Draft

PHASE_ONE, PHASE_TWO, PROMPT = "Phase One", "Phase Two", "task prompt"
EVERYTHING, RANDOM, ORACLE = "describe everything", "random preferences", "oracle"


def roles(lab: Lab) -> Result:
    """An adapter for each role, after the first five questions of that role, against all baselines."""
    dataset, policy = lab.dataset(), lab.policy
    fitted = {role: lab.fit(role, role) for role in ROLES}
    chance = lab.fit("random", "finder", judge="random")  # who asks makes no difference to it
    count = _tokens(lab)
    return lab.bench("roles", {
        PHASE_ONE: PolicyMemorizer(policy),
        PROMPT: {role: TaskPrompt(policy, RecentQuestions(dataset, role)) for role in ROLES},
        EVERYTHING: DescribeEverything(
            PolicyMemorizer(policy, instruction=LIST_INSTRUCTION, newest_only=True), count, like=PHASE_ONE
        ),
        RANDOM: PolicyMemorizer(policy, adapter=chance),
        PHASE_TWO: {role: PolicyMemorizer(policy, adapter=fitted[role]) for role in ROLES},
        ORACLE: {role: Oracle(dataset, role) for role in ROLES},
    })  # fmt: skip


def compared(lab: Lab, role: str, count: int = 60) -> Counter:
    """Wins, ties and losses of the adapter's memories against Phase One's, by the judge, and clip by clip."""
    kept = lab.out / f"compared-{role}.json"
    if not kept.exists():
        kept.write_text(json.dumps(_compared(lab, role, count)), encoding="utf-8")
    return Counter(json.loads(kept.read_text(encoding="utf-8")))


def _compared(lab: Lab, role: str, count: int) -> Counter:
    seeds = lab.homes(HELD_OUT + 500, -(-count // 12))
    streams = [home_stream(seed) for seed in seeds]
    clips = {stream.id: [seen.clip for seen in stream.seen] for stream in streams}
    facts = {f"{s.id}@{seen.clip.start_ns}": seen.facts for s in streams for seen in s.seen}
    written = list(live(Sampler(lab.policy), clips))
    lab.policy.set_adapter(lab.fit(role, role))
    contexts = [context for context, _ in written]
    after = Sampler(lab.policy).write(contexts)
    lab.policy.unload_adapter()
    questions, judge, found = lab.report(role)["questions"], HomeTruth(facts), Counter()
    for (context, before), draft in zip(written, after):
        if before.text is None or draft.text is None:
            found["unreadable"] += 1
            continue
        (verdict,) = judge.compare(context, [(draft.text, before.text)], questions)
        found[{"first": "win", "second": "loss", "tie": "tie"}[verdict]] += 1
    return found


def changing(
    lab: Lab, plan: Sequence[str] = ("finder",) * 2 + ("steward",) * 3, homes: int = 6
) -> list[dict]:
    """A role that changes: each day's questions are asked of that day's memories, and each night an
    adapter is fitted to the day's last five questions, on the day's clips.
    """
    days, adapter, policy = [], None, lab.policy
    for number, role in enumerate(plan):
        seeds = lab.homes(DAYS + 20 * number, homes)
        systems = {PHASE_ONE: PolicyMemorizer(policy), "nightly": PolicyMemorizer(policy, adapter=adapter)}
        result = lab.bench(f"day-{number + 1}", systems, (role,), seeds, lab.homes(DAYS + 900, 40))
        days.append({"day": number + 1, "role": role} | {
            name: {"accuracy": result.row(name).accuracy.value, "true": result.row(name).memories.true_share}
            for name in systems
        })  # fmt: skip
        span = f"{seeds[0]}-{seeds[-1]}"
        if number + 1 < len(plan):
            adapter = lab.fit(f"night-{number + 1}", role, home_seeds=span, home_clips=12, asked_seeds=span)
    return days


def mixed(lab: Lab) -> Result:
    """All roles ask of the same memories: one adapter on all their questions, merged ones, in turn."""
    policy, fitted = lab.policy, {role: lab.fit(role, role) for role in ROLES}
    everyone = lab.fit("everyone", "+".join(ROLES))
    merged = merge_lora(list(fitted.values()), lab.out / "merged")
    return lab.bench("mixed", {
        PHASE_ONE: PolicyMemorizer(policy),
        "one adapter for all": PolicyMemorizer(policy, adapter=everyone),
        "five merged": PolicyMemorizer(policy, adapter=merged),
        "five in turn": InTurn([PolicyMemorizer(policy, adapter=folder) for folder in fitted.values()]),
        "the finder's": PolicyMemorizer(policy, adapter=fitted["finder"]),
    })  # fmt: skip


ABLATIONS: dict[str, dict] = {
    "as above": {},
    "1 question": {"questions": 1},
    "10 questions": {"questions": 10},
    "20 questions": {"questions": 20},
    "answerability": {"judge": "answerability"},
    **{f"steer {layer}": {"adapter": "steer", "layer": layer, "lr": 0.1} for layer in range(6)},
}


def ablations(lab: Lab, role: str, names: Sequence[str]) -> Result:
    """What matters how much, on one role. names: of ABLATIONS."""
    policy = lab.policy
    systems = {PHASE_ONE: PolicyMemorizer(policy)}
    for name in names:
        run = f"{role}-{name.replace(' ', '-')}" if ABLATIONS[name] else role
        systems[name] = PolicyMemorizer(policy, adapter=lab.fit(run, role, **ABLATIONS[name]))
    return lab.bench(f"ablations-{role}", systems, (role,))


class InTurn:
    """Several writers, each of which writes every n-th memory of a stream."""

    def __init__(self, writers: Sequence[PolicyMemorizer], clip_ns: int = 10_000_000_000):
        self._writers, self._clip_ns = writers, clip_ns
        self.identity: Mapping = {
            **writers[0].identity, "adapter": "+".join(writer.identity["adapter"] for writer in writers)
        }  # fmt: skip

    def write(self, contexts: Sequence[Context]) -> list[Draft]:
        turns = [context.clips[-1].start_ns // self._clip_ns % len(self._writers) for context in contexts]
        drafts: dict[int, Draft] = {}
        for turn in sorted(set(turns)):
            of_turn = [i for i, other in enumerate(turns) if other == turn]
            drafts |= dict(zip(of_turn, self._writers[turn].write([contexts[i] for i in of_turn])))
        return [drafts[i] for i in range(len(contexts))]


def merge_lora(folders: Sequence[Path], out: Path) -> Path:
    """The mean of the updates of several LoRA adapters of one shape, as one of a higher rank."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = [load_file(folder / "adapter_model.safetensors") for folder in folders]
    config = json.loads((folders[0] / "adapter_config.json").read_text(encoding="utf-8"))
    config["r"], config["lora_alpha"] = config["r"] * len(folders), config["lora_alpha"] * len(folders)
    merged = {}
    for name in weights[0]:
        parts = [one[name] for one in weights]
        merged[name] = torch.cat(parts) if "lora_A" in name else torch.cat(parts, 1) / len(folders)
    out.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in merged.items()}, out / "adapter_model.safetensors"
    )
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return out


def _tokens(lab: Lab):
    tokenizer = lab.policy.checkpoint.tokenizer
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])
