"""OUT/reports/NAME.md and NAME.html: what a night did and why, before and after on held-out tasks.

The page needs nothing else: no network, no other file, no script. Texts are escaped by jinja2; the page's own
content security policy lets nothing load but its own style, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from taskmem_train.gate.card import cell
from taskmem_train.nightly.ledger import DECLINED, FAILED, PUBLISHED, Ledger, Run
from taskmem_train.nightly.log import at
from taskmem_train.nightly.runs import RUNS, read_notes, read_report

REPORTS = "reports"  # folder under OUT
PAGE = Path(__file__).parent / "page"
WORDS = {PUBLISHED: "published", DECLINED: "not published", FAILED: "failed"}
HEADS = {"in use": "before (in use)", "task prompt": "task prompt", "candidate": "after"}


def write_report(ledger: Ledger, out: Path, *, waits: bool = True) -> Path | None:
    """Write what was decided since the last report; returns the page, None where there is nothing to tell.

    waits: also where no run has ended. What stands in a report stands in no later one.
    """
    runs, decisions = ledger.unreported(), ledger.to_report()
    if not runs and not (waits and decisions):
        return None
    now = datetime.now(timezone.utc)
    told = view([_run_view(out, run) for run in runs], decisions, now)
    folder = out / REPORTS
    folder.mkdir(parents=True, exist_ok=True)
    name, number = f"{now:%Y%m%dT%H%M%S}", 1
    while (page := folder / f"{name}{f'-{number}' * (number > 1)}.html").exists():
        number += 1
    _write(page.with_suffix(".md"), render(told, "report.md"))
    _write(page, render(told, "report.html"))
    ledger.reported(runs, decisions)
    return page


def view(
    runs: Sequence[Mapping[str, Any]], decisions: Sequence[Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """What both forms of the report show."""
    counts = {word: sum(run["word"] == word for run in runs) for word in WORDS.values()}
    took = sum(row["decision"] == "took a bundle" for row in decisions)
    refused = sum(row["decision"] == "refused a bundle" for row in decisions)
    figures = [*((count, word) for word, count in counts.items() if count)]
    for count, word in ((took, "taken"), (refused, "refused")):
        figures += [(count, f"bundle{'s' * (count != 1)} {word}")] * bool(count)
    return {
        "title": f"{now:%d %B %Y, %H:%M} UTC",
        "figures": figures,
        "runs": list(runs),
        "decisions": [
            {"at": at(row["at_ns"]), "robot": row["robot"], "what": row["decision"], "why": row["reason"]}
            for row in decisions
        ],
    }


def render(told: Mapping[str, Any], template: str) -> str:
    """The report as page/TEMPLATE has it."""
    html = template.endswith(".html")
    environment = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "points": points, "share": share, "x": _x}
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(told, style=Markup(style), style_hash=f"sha256-{digest}")


def _run_view(out: Path, run: Run) -> dict[str, Any]:
    """What there is to tell of a run, as far as it came."""
    folder = out / RUNS / run.name
    report, learned = read_report(folder, run), _yield(folder)
    notes = read_notes(folder)
    told: dict[str, Any] = {
        "about": run.about, "name": run.name, "word": WORDS[run.state], "adapter": run.adapter,
        "reason": run.reason, "in_use": notes["in_use"], "notes": notes["notes"], "new": run.plan.new,
        "learned": len(run.plan.learn), "questions": learned.get("questions", []), "pairs": _pairs(learned),
        "seconds": learned.get("seconds"), "checks": [], "accuracy": [], "truth": [], "examples": [],
        "drawn_by": "", "confidence": 0.0, "heads": [], "base": "", "kind": "",
    }  # fmt: skip
    if report:
        told |= _gate_view(report)
    return told


def _gate_view(report: Mapping[str, Any]) -> dict[str, Any]:
    systems = report["metrics"]
    kinds = list(systems["candidate"]["kinds"])
    kinds = kinds[:1] if len(kinds) == 2 else kinds  # all, and the only one there is
    return {
        "base": f"{report['base_model']}, revision {report['base_revision']}", "kind": report["kind"],
        "checks": report["decision"]["checks"], "confidence": report["rules"]["confidence"],
        "drawn_by": report["config"]["gate"].get("drawn_by", "streams"),
        "heads": [HEADS[name] for name in systems],
        "accuracy": [
            {
                "kind": kind, "questions": systems["candidate"]["kinds"][kind]["questions"],
                "systems": [
                    {"head": HEADS[name], "after": name == "candidate"} | systems[name]["kinds"][kind]
                    for name in systems
                ],
                "gain": report["gain"][kind],
            }
            for kind in kinds
        ],
        "truth": [
            ("questions answered", [share(one["coverage"]) for one in systems.values()]),
            ("answers that are right", [share(one["precision"]) for one in systems.values()]),
            ("statements that are true", [_of(one["fidelity"], one["stated"]) for one in systems.values()]),
            ("tokens in a memory", [f"{one['tokens_per_memory']:.1f}" for one in systems.values()]),
            ("clips without a memory", [f"{one['failed']} of {one['clips']}" for one in systems.values()]),
        ],
        "examples": [
            {"clip": _clip(one["clip"])} | {name: one[name] or "(no memory)" for name in ("before", "after")}
            for one in report["examples"]
        ],
    }  # fmt: skip


def _clip(name: str) -> str:
    """Camera, day and time of a clip, where the gate names it by its stream in a bundle."""
    found = re.fullmatch(r"[0-9a-f]{16}/(?P<camera>.*)/\d+/(?P<start>\d+) (?P<clock>[\d:]+)", name)
    if not found:
        return name
    day = datetime.fromtimestamp(int(found["start"]) // 1_000_000_000, timezone.utc)
    return f"{found['camera']}, {day:%d %b} {found['clock']}"


def _yield(folder: Path) -> dict[str, Any]:
    path = folder / "yield.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _pairs(learned: Mapping[str, Any]) -> str:
    """How many pairs there were to learn from, and why not more."""
    if not learned:
        return ""
    why = ", ".join(f"{reason} {count}" for reason, count in learned["reasons"].items() if count)
    return (
        f"{learned['pairs']} pairs of {learned['contexts']} contexts"
        + (f" (none of the others: {why})" if why else "")
        + f", {learned['truth_pairs']} pairs of a true memory over a false one"
    )


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value + 0.0:+.1f}"


def _of(value: float | None, count: int) -> str:
    return "nobody checked" if value is None else f"{value:.1%} of {count}"


def _x(value: float | None) -> str:
    """A share as a place on a scale of 0 to 100."""
    return f"{100 * (value or 0.0):.1f}"


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.partial")
    with draft.open("w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
