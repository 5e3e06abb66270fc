"""The gate from a run's folder to a published one: held-out tasks, the demo model, adapters that do nothing
and that break it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml
from peft import BeftConfig, get_peft_model
from taskmem_train.bench.bundle import bundle_dataset
from taskmem_train.bench.systems import PolicyMemorizer
from taskmem_train.bench.types import FIRST_DAY_NS
from taskmem_train.bundles import home_bundle
from taskmem_train.cli import main
from taskmem_train.gate import GateConfig, measure, run_gate
from taskmem_train.gate.trained import TrainedRun, held_out_tasks
from taskmem_train.home import home_stream
from taskmem_train.judges.truth import HomeTruth
from taskmem_train.judges.types import JudgeError
from taskmem_train.phase_two.settings import PhaseTwoConfig
from taskmem_train.rollout import Sampler
from transformers import AutoModelForImageTextToText

from taskmem_ros.exchange import Bundle
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.load import file_hash

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"
ASKED_LATELY = ["Where is the red mug?", "Where can I find the green hat?"]
# About 7300024 nothing is asked: a finder saw none of its things in these clips.
HELD_OUT = {"home": "finder", "seeds": "7300024-7300027", "clips": 2, "questions": 2, "min_questions": 4}
LONGEST = 64  # tokens of a memory: a broken adapter never ends
# What any adapter keeps: whether it may be published hangs on other rules then.
LOOSE = {"min_gain": -1.0, "min_over_prompt": -1.0, "max_length_change": 10.0}


@pytest.fixture(scope="module")
def policy() -> MemoryPolicy:
    return MemoryPolicy.load("demo", device="cpu")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> dict[str, Path]:
    """Steering vectors: "same" is zero, "other" changes some words, "noise" drowns what the model thinks."""
    root = tmp_path_factory.mktemp("adapters")
    for name, std in (("same", 0.0), ("other", 1.0), ("noise", 4.0)):
        torch.manual_seed(1)
        config = BeftConfig(target_modules=r".*language_model\.layers\.2\.mlp\.down_proj")
        model = get_peft_model(AutoModelForImageTextToText.from_pretrained(DEMO, dtype=torch.float32), config)
        for key, parameter in model.named_parameters():
            if "beft_bias" in key:
                torch.nn.init.normal_(parameter, std=std)
        model.save_pretrained(root / name)
    return {path.name: path for path in root.iterdir()}


def trained(folder: Path, adapter: Path, **config) -> Path:
    """A run's folder, as phase-two leaves it."""
    how = {"adapter": "steer", "questions": 2, "device": "cpu", "max_new_tokens": LONGEST}
    values = asdict(PhaseTwoConfig(**how | config))
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    (folder / "yield.json").write_text(json.dumps({"questions": ASKED_LATELY}))
    (folder / "adapter").mkdir()
    for path in adapter.iterdir():
        (folder / "adapter" / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def same(adapters, tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "same", adapters["same"], home="finder")


def gate(run: Path, policy: MemoryPolicy, out: Path, **config):
    return run_gate(run, GateConfig(publish=str(out), **HELD_OUT | config), policy, progress=False)


def refusing(outcome) -> list[str]:
    return [check.rule for check in outcome.report.decision.checks if not check.passed]


def test_an_adapter_that_changes_nothing_is_refused_because_it_is_not_better(same, tmp_path, capsys):
    told = [f"--{name.replace('_', '-')}={value}" for name, value in HELD_OUT.items()]
    told += ["--min-over-prompt=-1", f"--publish={tmp_path / 'adapters'}", "--device=cpu"]
    assert main(["gate", str(same), *told]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["passes", "refuses", *["passes"] * 4, "refused"]
    assert "+0.00 points, 95% interval +0.00 points to +0.00 points" in lines[1]
    assert lines[-1].endswith("same/refused.json") and not (tmp_path / "adapters").exists()
    told = json.loads((same / "refused.json").read_text())
    assert told["questions"] == ASKED_LATELY and told["config"]["gate"]["seeds"] == HELD_OUT["seeds"]
    before, after = told["metrics"]["in use"], told["metrics"]["candidate"]
    assert before == after and before["clips"] == 6 and before["stated"] > 6 and before["fidelity"] > 0.5
    assert len(told["examples"]) == 3 and all(one["before"] == one["after"] for one in told["examples"])
    assert re.fullmatch(r"home-7300025-\d+ \d\d:\d\d:\d\d", told["examples"][0]["clip"])
    assert (same / "gate" / "results.md").is_file()


def test_an_adapter_that_breaks_memories_is_refused_for_what_it_breaks(adapters, policy, tmp_path):
    run = trained(tmp_path / "noise", adapters["noise"], home="finder")
    outcome = gate(run, policy, tmp_path / "adapters", **LOOSE)
    assert set(refusing(outcome)) & {"fidelity", "failed clips"} and policy.provenance.adapter == ""
    assert outcome.path == run / "refused.json" and not (tmp_path / "adapters").exists()
    example = outcome.report.examples[0]
    assert example.before and example.before != example.after


def test_what_passes_is_published_and_loads_on_the_robot(same, adapters, policy, tmp_path):
    (same / "refused.json").write_text("of an earlier try")
    how = LOOSE | {"adapter_in_use": str(adapters["other"]), "max_fidelity_loss": 1.0, "name": "finder-2"}
    outcome = gate(same, policy, tmp_path / "adapters", **how)
    assert outcome.path == tmp_path / "adapters" / "finder-2" and refusing(outcome) == []
    assert not (same / "refused.json").exists()
    about = json.loads((outcome.path / "gate.json").read_text())
    assert (about["in_use_name"], about["kind"], about["base_model"]) == ("other", "steer", "demo")
    assert str(tmp_path) not in (outcome.path / "gate.json").read_text()  # nothing of this machine
    card = (outcome.path / "README.md").read_text()
    assert "home-7300025" in card and ASKED_LATELY[0] in card and "adapter `other`" in card

    clip = home_stream(7_300_025, 1).seen[0].clip
    bare = policy.write([clip], [], temperature=0)
    policy.set_adapter(outcome.path)
    assert policy.provenance.adapter == file_hash(outcome.path / "adapter_model.safetensors")
    assert policy.write([clip], [], temperature=0).text == bare.text
    policy.unload_adapter()


def test_a_gate_that_was_cut_off_goes_on(same, adapters, policy, tmp_path, monkeypatch):
    whole = gate(same, policy, tmp_path / "adapters", name="x")
    run = trained(tmp_path / "same", adapters["same"], home="finder")
    write, written = PolicyMemorizer.write, []

    def cut_off(self, contexts):
        if len(written) == 9:  # in the midst of the second system
            raise KeyboardInterrupt
        written.extend(contexts)
        return write(self, contexts)

    with monkeypatch.context() as patch:
        patch.setattr(PolicyMemorizer, "write", cut_off)
        with pytest.raises(KeyboardInterrupt):
            gate(run, policy, tmp_path / "adapters", name="x")
    monkeypatch.setattr(PolicyMemorizer, "write", lambda self, c: written.extend(c) or write(self, c))
    outcome = gate(run, policy, tmp_path / "adapters", name="x")
    assert len(written) == 3 * 3 * 2  # systems, homes, clips: none of them twice
    assert outcome.report.json() == whole.report.json()


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ("2400007-2400040", r"home 2400007 was trained on \(home_seeds in .*config.yaml\); take other homes"),
        ("2449999-2450000", r"home 2450000 was trained on \(asked_seeds in"),
    ],
)
def test_homes_that_were_trained_on_are_refused_by_name(same, policy, tmp_path, seeds, said):
    with pytest.raises(ValueError, match=said):
        gate(same, policy, tmp_path, seeds=seeds)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory, policy) -> dict[str, Path]:
    """Of other homes each: "week1" is trained on, "week2" is held out."""
    root = tmp_path_factory.mktemp("bundles")
    for name, first in (("week1", 7_300_030), ("week2", 7_300_032)):
        path = root / f"{name}.bundle"
        home_bundle(path, range(first, first + 2), "finder", 4, Sampler(policy), clips=2).close()
    return {path.stem: path for path in root.iterdir()}


def of_bundle(bundles, adapters, folder: Path) -> Path:
    how = {"bundle": (str(bundles["week1"]),), "judge": "answerability", "quality": "none"}
    return trained(folder, adapters["same"], **how)


def test_tasks_that_were_trained_on_are_refused_by_name(bundles, adapters, policy, tmp_path, capsys):
    run = of_bundle(bundles, adapters, tmp_path / "run")
    told = ["gate", str(run), f"--publish={tmp_path}", "--bundle", str(bundles["week1"])]
    assert main(told) == 1 and "home 7300030 was trained on (bundle in" in capsys.readouterr().err
    assert main([*told[:3], "--home=finder", "--seeds=7300031"]) == 1
    assert "home 7300031 was trained on" in capsys.readouterr().err
    robot = _of_robot(bundles["week1"], tmp_path / "kitchen.bundle", 4)
    how = {"bundle": (str(robot),), "quality": "none"}
    run = trained(tmp_path / "robot", adapters["same"], judge="random", **how)
    with pytest.raises(
        ValueError, match=r"task [34] of kitchen.bundle was trained on \('Where .*take bundles of"
    ):
        gate(run, policy, tmp_path, home="", bundle=(str(robot),))
    # Of the same clips, but of tasks before the two recent ones: for the judge that knew their answers only.
    older = _of_robot(bundles["week1"], tmp_path / "older.bundle", 2)
    config = GateConfig(publish="", bundle=(str(older),))
    tasks = held_out_tasks(config, TrainedRun.read(run))
    assert len(tasks.dataset.streams[0].questions) > 0 and (tasks.clips, tasks.clips_trained_on) == (4, 4)
    knowing = trained(tmp_path / "knowing", adapters["same"], judge="answerability", **how)
    with pytest.raises(ValueError, match=r"task [12] of kitchen.bundle was trained on"):
        held_out_tasks(config, TrainedRun.read(knowing))
    robot.unlink()
    with pytest.raises(
        ValueError, match=r"kitchen.bundle, which .* was trained on, is not there; put it back"
    ):
        gate(run, policy, tmp_path, home="", bundle=(str(bundles["week2"]),))


def _of_robot(path: Path, out: Path, tasks: int) -> Path:
    """A bundle's clips and first tasks as those of a robot that is no demo home."""
    with Bundle.open(path) as bundle:
        clips, asked = [clip.decoded() for clip in bundle.clips()], bundle.tasks()[:tasks]
    Bundle.create(out, clips=clips, tasks=asked, robot="kitchen").close()
    return out


def test_memories_of_a_bundle_are_checked_by_a_judge_or_not_let_through_in_silence(
    bundles, adapters, policy, tmp_path
):
    run = of_bundle(bundles, adapters, tmp_path / "run")
    how = LOOSE | {"home": "", "bundle": (str(bundles["week2"]),), "min_questions": 2}
    outcome = gate(run, policy, tmp_path / "adapters", **how)
    assert refusing(outcome) == ["fidelity"]
    assert outcome.report.decision.reasons == (
        "Nobody checked whether the memories are true; name a judge of quality.",
    )
    outcome = gate(run, policy, tmp_path / "adapters", allow_unchecked=True, **how)
    assert "it is let through unchecked." in (outcome.path / "README.md").read_text()

    data = bundle_dataset([bundles["week2"]])
    facts = {}
    for stream in data.streams:
        seen = home_stream(int(stream.id.split("/")[1].split("-")[1]), 2).seen
        facts |= {f"{stream.id}@{one.clip.start_ns + FIRST_DAY_NS}": one.facts for one in seen}

    def checked(judge):
        folder = run / "gate"
        how = {"quality": (judge, "truth"), "max_new_tokens": LONGEST, "progress": False}
        return measure(data, policy, run / "adapter", ASKED_LATELY, folder, **how)

    class Gone:
        def grade(self, context, texts):
            raise JudgeError("no server")

    with pytest.raises(
        ValueError, match="failed on 3 clips in a row, the last time with no server; run again"
    ):
        checked(Gone())
    found = checked(HomeTruth(facts))
    assert found.candidate == found.in_use and found.truth["candidate"].ungraded == 0
    assert 0 < found.candidate.true <= found.candidate.stated >= 4
    assert checked(Gone()).in_use == found.in_use  # nothing is asked again


def test_what_is_no_finished_run_and_settings_that_do_not_go_together(same, policy, tmp_path):
    with pytest.raises(
        ValueError, match=r"has no config.yaml: it is no finished run; run `taskmem-train phase"
    ):
        gate(tmp_path, policy, tmp_path)
    for config, said in (
        ({"home": ""}, "give either --home ROLE or --bundle FILE"),
        ({"home": "finder+cook"}, "home role 'cook' is not known"),
        ({"quality": "endpoint"}, "the demo home's truth is known"),
        (
            {"home": "", "bundle": ("b",), "quality": "endpoint"},
            "quality is 'endpoint'; it and --quality-model",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            GateConfig(publish=str(tmp_path), **HELD_OUT | config)
