"""One run, step by step: train, gate, sign, publish. Each step is noted when it is done; none is done twice.

A run's folder OUT/runs/NAME is that of Phase Two; in it, gate/ has what was measured and passed/ID the
adapter that the gate let through. OUT/adapters/ID is the signed package, as it goes to the exchange.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from taskmem_ros.durable import sync, sync_tree, write_file
from taskmem_ros.exchange.keys import Keyring, SigningKey
from taskmem_ros.exchange.manifest import (
    CONFIG_FILE,
    GATE_FILE,
    LORA,
    NAME,
    TASK_UID,
    WEIGHTS_FILE,
    AdapterManifest,
    next_id,
)
from taskmem_ros.exchange.package import pack, verify
from taskmem_ros.exchange.place import Place
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.prompt import PROMPT_HASH
from taskmem_train.gate.command import run_gate
from taskmem_train.gate.folder import REFUSED_FILE
from taskmem_train.nightly.ledger import DECLINED, PACKED, PASSED, PLANNED, PUBLISHED, TRAINED, Ledger, Run
from taskmem_train.nightly.library import ADAPTERS, Library
from taskmem_train.nightly.settings import NightlyConfig
from taskmem_train.phase_two.fit import phase_two

# (how many, bytes of JSON) of what a manifest names; in all it takes 256 KiB, the rest of it needs little.
MOST_QUESTIONS, MOST_TASKS, MOST_BUNDLES = (1000, 100_000), (10_000, 90_000), (10_000, 40_000)
LONGEST_QUESTION = 300  # characters of one, in a manifest
RUNS, GATED, NOTES_FILE = "runs", "passed", "notes.json"


class Runner:
    """Brings runs to their end. policy: loads the base model of some settings, once for many runs."""

    def __init__(
        self,
        out: Path,
        place: Place,
        ledger: Ledger,
        library: Library,
        key: SigningKey,
        keyring: Keyring,
        policy: Callable[[NightlyConfig], MemoryPolicy],
        *,
        progress: bool = True,
    ):
        self._out, self._place, self._ledger, self._library = out, place, ledger, library
        self._key, self._keyring, self._policy, self._progress = key, keyring, policy, progress

    def finish(self, run: Run, config: NightlyConfig) -> Run:
        """Do what is left of a run. config: as it was when the run was planned.

        Raises what a step raises: ValueError, OSError, LoadError, RuntimeError; the run is as far as it was.
        """
        steps = {
            PLANNED: self._train, TRAINED: self._gate, PASSED: self._pack, PACKED: self._publish,
        }  # fmt: skip
        while step := steps.get(run.state):
            run = step(run, config)
        return run

    def folder(self, run: Run) -> Path:
        return self._out / RUNS / run.name

    def _train(self, run: Run, config: NightlyConfig) -> Run:
        if not _is_trained(self.folder(run)):
            bundles = tuple(str(self._out / file) for file in run.plan.bundles)
            phase_two(config.to_learn(bundles, run.plan.learn), self.folder(run), self._policy(config))
        sync_tree(self.folder(run))  # the ledger must not know of more than the disk does
        return self._ledger.advance(run, TRAINED)

    def _gate(self, run: Run, config: NightlyConfig) -> Run:
        folder = self.folder(run)
        used, why = self._in_use(run)
        weights = (folder / "adapter" / WEIGHTS_FILE).read_bytes()
        id = next_id(config.name or run.about, run.created_ns, hashlib.sha256(weights).hexdigest())
        bundles = tuple(str(self._out / file) for file in run.plan.bundles)
        gate = config.to_gate(
            bundles, run.plan.ask, name=id, publish=str(folder / GATED), in_use=str(used or "")
        )
        outcome = run_gate(folder, gate, self._policy(config), progress=self._progress)
        notes = [*([why] if why else []), *outcome.notes]
        _write_json(folder / NOTES_FILE, {"in_use": used.name if used else "", "notes": notes})
        decision = outcome.report.decision
        if not decision.published:
            return self._ledger.advance(
                run, DECLINED, reason=" ".join(decision.reasons), decision="not published"
            )
        return self._ledger.advance(run, PASSED, adapter=id)

    def _in_use(self, run: Run) -> tuple[Path | None, str]:
        """(folder of the adapter that the robot uses, why the candidate is compared with the bare policy)."""
        if not run.plan.in_use:
            return None, ""
        folder, why = self._library.find(run.plan.in_use)
        return folder, why and f"Compared with the bare policy, not with what the robot uses: {why}."

    def _pack(self, run: Run, config: NightlyConfig) -> Run:
        folder = self._out / ADAPTERS / run.adapter
        if folder.is_dir() and self._is_late(verify(folder, self._keyring, id=run.adapter).manifest):
            late = folder.with_name(f".{folder.name}.late")
            shutil.rmtree(late, ignore_errors=True)  # of a night that was killed
            shutil.rmtree(folder.rename(late))
        if not folder.is_dir():
            self._library.look_again()  # others may have published since this night began
            passed = self.folder(run) / GATED / run.adapter
            pack(passed, folder.parent, self._manifest(run, passed), self._key)
        verify(folder, self._keyring, id=run.adapter)  # as a robot will
        return self._ledger.advance(run, PACKED)

    def _manifest(self, run: Run, passed: Path) -> AdapterManifest:
        report = json.loads((passed / GATE_FILE).read_text(encoding="utf-8"))
        notes = read_notes(self.folder(run))
        together = len(run.plan.robots) > 1
        return AdapterManifest(
            id=run.adapter,
            serial=self._library.next_serial(report["base_revision"]),
            parent=notes["in_use"],
            base_model=report["base_model"],
            base_revision=report["base_revision"],
            prompt_hash=PROMPT_HASH,
            kind=report["kind"],
            layer=None if report["kind"] == LORA else layer_of(passed / CONFIG_FILE),
            metrics=metrics(report),
            questions=newest([short(question) for question in report["questions"]], *MOST_QUESTIONS),
            tasks=newest([uid for uid in run.plan.learn if TASK_UID.fullmatch(uid)], *MOST_TASKS),
            bundles=newest([id for id in run.plan.bundle_ids if NAME.fullmatch(id)], *MOST_BUNDLES),
            robots=() if together else run.plan.robots,
            created_ns=run.created_ns,
        )

    def _publish(self, run: Run, config: NightlyConfig) -> Run:
        folder = self._out / ADAPTERS / run.adapter
        manifest = verify(folder, self._keyring, id=run.adapter).manifest
        if self._is_late(manifest):
            return self._ledger.advance(run, PASSED)  # to be packed anew
        self._place.push_adapter(folder)
        self._library.look_again()
        told = manifest.metrics
        reason = (
            f"{run.adapter}, serial {manifest.serial}: {told['accuracy']:.1%} of {told['questions']} held-"
            f"out questions are answered rightly, {told['accuracy_before']:.1%} before"
        )
        return self._ledger.advance(run, PUBLISHED, reason=reason, decision="published")

    def _is_late(self, manifest: AdapterManifest) -> bool:
        """Whether others published since this was packed, as while the exchange was away: no robot would take
        its serial any more.
        """
        self._library.look_again()
        here = manifest.id in self._library.manifests()
        return not here and manifest.serial < self._library.next_serial(manifest.base_revision)


def _is_trained(folder: Path) -> bool:
    """Whether Phase Two came to its end: it writes how long it took after everything else."""
    done = folder / "yield.json"
    return done.is_file() and "seconds" in json.loads(done.read_text(encoding="utf-8"))


def read_report(folder: Path, run: Run) -> dict[str, Any] | None:
    """What the gate found in a run's folder, None where it was not reached."""
    for path in (folder / GATED / run.adapter / GATE_FILE if run.adapter else None, folder / REFUSED_FILE):
        if path and path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    return None


def read_notes(folder: Path) -> dict[str, Any]:
    path = folder / NOTES_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"in_use": "", "notes": []}


def metrics(report: dict[str, Any]) -> dict[str, float | int | str]:
    """What the gate measured, for an adapter's manifest: finite numbers alone."""
    after, before = report["metrics"]["candidate"], report["metrics"]["in use"]
    gain = report["gain"]["all"]
    found = {
        "accuracy": after["accuracy"], "accuracy_before": before["accuracy"],
        "accuracy_task_prompt": report["metrics"].get("task prompt", {}).get("accuracy"),
        "gain_low": gain["low"], "gain_high": gain["high"], "confidence": report["rules"]["confidence"],
        "questions": after["kinds"]["all"]["questions"],
        "fidelity": after["fidelity"], "fidelity_before": before["fidelity"],
        "tokens_per_memory": after["tokens_per_memory"],
        "tokens_per_memory_before": before["tokens_per_memory"],
        "clips": after["clips"], "failed_clips": after["failed"],
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def short(question: str) -> str:
    """A question as a manifest has it, for people."""
    return question if len(question) <= LONGEST_QUESTION else f"{question[: LONGEST_QUESTION - 3]}..."


def newest(texts: Sequence[str], most: int, most_bytes: int) -> tuple[str, ...]:
    """As many of the last ones as there is room for in a manifest, in their order."""
    kept, size = [], 0
    for text in texts[::-1][:most]:
        size += len(json.dumps(text, ensure_ascii=False).encode()) + 1  # a comma
        if size > most_bytes:
            break
        kept.append(text)
    return tuple(kept[::-1])


def layer_of(config: Path) -> int:
    """The layer of a steering vector, as PEFT's settings have it. Raises ValueError."""
    told = json.loads(config.read_text(encoding="utf-8"))["target_modules"]
    found = re.findall(r"layers\\?\.(\d+)\\?\.", told if isinstance(told, str) else " ".join(told))
    if len(set(found)) != 1:
        raise ValueError(f"{config} names no single layer in target_modules {told!r}; train again")
    return int(found[0])


def settings_of(config: NightlyConfig) -> str:
    """The settings of a run, as they are kept with its plan: all but those of this machine's night."""
    values = {
        name: value for name, value in asdict(config).items() if name not in ("exchange", "key", "keyring")
    }
    return json.dumps(values)


def with_settings(config: NightlyConfig, kept: str) -> NightlyConfig:
    """The settings that a run was planned with, in the exchange, and with the servers, of now."""
    known = {item.name for item in fields(NightlyConfig)}
    values = {name: value for name, value in json.loads(kept).items() if name in known}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    about = {name: getattr(config, name) for name in ("exchange", "key", "keyring")}
    # A server may have moved since, and a run waits for it.
    for name in ("judge_url", "reader_url"):
        if values.get(name) and getattr(config, name):
            about[name] = getattr(config, name)
    return NightlyConfig(**values | about)


def _write_json(path: Path, value: Any) -> None:
    draft = path.with_name(f".{path.name}.partial")
    write_file(draft, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())
    draft.replace(path)
    sync(path.parent)
