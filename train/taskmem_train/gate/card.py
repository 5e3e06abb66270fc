"""The model card of an adapter: before and after, memories side by side, what it was fitted to, its use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from huggingface_hub import ModelCardData

from taskmem_ros.policy.load import DEMO
from taskmem_train.gate.report import ALL, GateReport

MOST_EXAMPLES = 8
KINDS = {
    "steer": "a steering vector, added to the output of one decoder layer (PEFT: BEFT)",
    "lora": "low-rank updates of some layers (PEFT: LoRA)",
}

_CARD = """---
{metadata}
---

# {name}

An adapter for the memorization policy of taskmem, after [TaskMem](https://arxiv.org/abs/2605.31075):
{kind}.
It changes what the model finds worth remembering in a robot's camera stream, toward the questions below.
Questions are answered by the bare model, with the adapter off.

- **Base model**: `{base}`{revision}. It fits no other.
- **Replaces**: {replaces}.

## Before and after

Accuracy on {questions} held-out questions in {groups} {drawn_by}: the share answered rightly from memory
alone, with {confidence:.0%} intervals by a bootstrap over these.

{accuracy}

{truth}

The gate let it through:

{checks}

## Fitted to

The questions that the robot was asked lately:

{asked}

## Memories of the same clips

{examples}

## Use

Replace FOLDER by where this lies. On the robot, or for a recorded film:

    taskmem agent --ros-args -p autostart:=true -p model:={base} -p adapter:=FOLDER
    taskmem ingest film.mp4 --model {base} --adapter FOLDER

In a parameters' file it is `adapter: FOLDER`. With PEFT alone:

    from peft import PeftModel
    from transformers import AutoModelForImageTextToText
    base = AutoModelForImageTextToText.from_pretrained("{checkpoint}")
    model = PeftModel.from_pretrained(base, "FOLDER")

The prompt and the window of clips are part of the policy: `taskmem_ros.policy` has both.

## Limits

- It is for questions like the ones above. Adapters are specific to their tasks: on others expect nothing, or
  slightly less than without it.
- It was measured on {questions} questions only: other robots and other places may differ by more than the
  intervals say.
- It changes what is said of a clip, not how well the base model sees. What was not true before is not now.
- `gate.json` has the run's settings, all numbers and the rules.
"""


def card(report: GateReport) -> str:
    """README.md of a published adapter: text with Hugging Face's metadata."""
    data = ModelCardData(
        library_name="peft",
        base_model=report.base_model,
        tags=["taskmem", "robotics", "ros2", "memory", report.kind],
        pipeline_tag="video-text-to-text",
    )
    return _CARD.format(
        metadata=data.to_yaml(),
        name=cell(report.name),
        kind=KINDS.get(report.kind, report.kind),
        base=report.base_model,
        checkpoint="models/demo" if report.base_model == DEMO else report.base_model,
        revision=f", revision `{report.base_revision}`" if report.base_revision else "",
        replaces=f"adapter `{report.in_use_name}`" if report.in_use_name else "no adapter (the bare model)",
        questions=report.candidate.asked,
        groups=len(set(report.candidate.groups)),
        drawn_by=report.candidate.drawn_by,
        confidence=report.rules.confidence,
        accuracy=_accuracy_table(report),
        truth=_truth_table(report),
        checks="\n".join(f"- {check.text}" for check in report.decision.checks),
        asked="\n".join(f"{n}. {cell(text)}" for n, text in enumerate(report.questions, 1)) or "None.",
        examples=_examples(report),
    )


def _accuracy_table(report: GateReport) -> str:
    rows = []
    for kind in report.kinds():
        found = [report.accuracy(system, kind) for system in report.systems]
        gain = report.gain(kind)
        said = _interval(gain["difference"], gain["low"], gain["high"], signed=True)
        cells = [_interval(one["value"], one["low"], one["high"]) for one in found]
        rows.append([f"**{kind}**" if kind == ALL else kind, found[0]["questions"], *cells, said])
    return _table(["kind", "questions", *_heads(report), "candidate over in use"], rows)


def _truth_table(report: GateReport) -> str:
    lines = {
        "questions answered": lambda m: _percent(m.coverage),
        "answers that are right": lambda m: _percent(m.precision),
        "statements that are true": lambda m: f"{_percent(m.fidelity)} of {m.stated}",
        "tokens in a memory": lambda m: f"{m.tokens_per_memory:.1f}",
        "clips without a memory": lambda m: f"{m.failed} of {m.clips}",
    }
    rows = [[name, *map(tell, report.systems.values())] for name, tell in lines.items()]
    return _table(["", *_heads(report)], rows)


def _examples(report: GateReport) -> str:
    if not report.examples:
        return "None were kept."
    rows = [
        [one.clip, one.before or "(no memory)", one.after or "(no memory)"]
        for one in report.examples[:MOST_EXAMPLES]
    ]
    return _table(["clip", "before", "after"], rows)


def _heads(report: GateReport) -> list[str]:
    return [{"in use": "before (in use)", "candidate": "after"}.get(name, name) for name in report.systems]


def _interval(value: float | None, low: float | None, high: float | None, signed: bool = False) -> str:
    if value is None:
        return "-"
    form = "{:+.1f}" if signed else "{:.1f}"
    ends = "" if low is None else f" ({form.format(100 * low)} to {form.format(100 * high)})"
    return f"{form.format(100 * value)}{ends}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell(str(value)) for value in line)} |" for line in lines)


def cell(text: str) -> str:
    """The text on one line, with nothing that Markdown or HTML would take for its own."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
