"""The gate: each rule refuses on its own, and what passes is a folder that the robot takes."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from peft import BeftConfig, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from taskmem_train.gate import Example, GateReport, GateRules, Measures, decide, publish, refuse
from taskmem_train.home import home_stream
from transformers import AutoModelForImageTextToText

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.load import file_hash

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"
RULES = GateRules(min_questions=200)
COUNT, STREAMS = 200, 20  # ten questions about each stream


def measures(right: int = 100, **other) -> Measures:
    """`right` of COUNT questions, spread evenly over the streams: the n-th question of all streams, then the
    next.
    """
    order = [stream * 10 + turn for turn in range(10) for stream in range(STREAMS)]
    good = set(order[:right])
    values = {
        "questions": [f"q{n}" for n in range(COUNT)],
        "groups": [f"s{n // 10}" for n in range(COUNT)],
        "kinds": ["object" if n % 2 else "event" for n in range(COUNT)],
        "answered": [n in good or n % 3 == 0 for n in range(COUNT)],
        "right": [n in good for n in range(COUNT)],
        "stated": 1000, "true": 950, "clips": 500, "failed": 5, "tokens_per_memory": 20.0,
    }  # fmt: skip
    return Measures(**values | other)


BEFORE, PROMPT, AFTER = measures(), measures(110), measures(120)


def refused(candidate: Measures = AFTER, in_use: Measures = BEFORE, prompt=PROMPT, **rules) -> dict[str, str]:
    """rule -> sentence of those that refuse."""
    decision = decide(candidate, in_use, prompt, replace(RULES, **rules))
    found = {check.rule: check.text for check in decision.checks if not check.passed}
    assert decision.published == (not found) and decision.reasons == tuple(found.values())
    assert all(check.text.endswith(".") and "\n" not in check.text for check in decision.checks)
    return found


def test_better_as_truthful_and_as_long_is_published():
    decision = decide(AFTER, BEFORE, PROMPT, RULES)
    assert decision.published and decision.reasons == ()
    assert [check.rule for check in decision.checks] == [
        "questions", "accuracy", "task prompt", "fidelity", "length", "failed clips",
    ]  # fmt: skip
    assert decision.checks[1].text == (
        "The accuracy is 60.00% against 50.00% of what is in use: +10.00 points, 95% interval +10.00 points "
        "to +10.00 points; its lower end must be above +0.00 points."
    )
    assert refused(prompt=None) == {}


GAIN = {"max_failed_gain": 0.01}


@pytest.mark.parametrize(
    ("rule", "inside", "outside", "numbers"),
    [
        ("questions", {"min_questions": 200}, {"min_questions": 201}, ("200 held-out", "20 streams", "201")),
        ("accuracy", {"min_gain": 0.09}, {"min_gain": 0.1}, ("60.00%", "50.00%", "above +10.00")),
        ("task prompt", {"prompt": measures(120)}, {"prompt": measures(121)}, ("60.50%", "-0.50", "+0.00")),
        ("task prompt", {"min_over_prompt": 0.05}, {"min_over_prompt": 0.051}, ("55.00%", "+5.10 points")),
        ("fidelity", {"true": 930}, {"true": 929}, ("92.90%", "95.00%", "-2.10 points", "-2.00 points")),
        ("fidelity", {"max_fidelity_loss": 0.0}, {"max_fidelity_loss": 0.0, "true": 949}, ("94.90%",)),
        ("length", {"tokens_per_memory": 22.0}, {"tokens_per_memory": 22.1}, ("22.10", "20.00", "+10.50%")),
        ("length", {"tokens_per_memory": 18.0}, {"tokens_per_memory": 17.9}, ("17.90", "-10.50%", "10.00%")),
        ("failed clips", {"failed": 5}, {"failed": 6}, ("6 got no memory (1.20%)", "5 of 500 (1.00%)")),
        ("failed clips", GAIN | {"failed": 10}, GAIN | {"failed": 11}, ("2.20%", "+1.00 points")),
    ],
)  # fmt: skip
def test_each_rule_refuses_on_its_own(rule, inside, outside, numbers):
    def judged(given):
        of_rules = {item.name for item in fields(GateRules)} & given.keys()
        of_measures = {item.name for item in fields(Measures)} & given.keys()
        candidate = replace(AFTER, **{name: given[name] for name in of_measures})
        return refused(
            candidate, prompt=given.get("prompt", PROMPT), **{name: given[name] for name in of_rules}
        )

    assert judged(inside) == {}
    found = judged(outside)
    assert list(found) == [rule]
    assert all(number in found[rule] for number in numbers), found[rule]


def test_what_was_drawn_again_is_no_more_questions():
    """Half as many questions, each asked of memories that were drawn twice."""
    twice, before = replace(AFTER, repeats=2), replace(BEFORE, repeats=2)
    found = refused(twice, before, None)
    assert list(found) == ["questions"] and found["questions"].startswith(
        "100 held-out questions about 20 streams were asked, each of memories drawn 2 times; it takes "
    )
    made = report(twice, in_use=before, task_prompt=None)
    assert made.accuracy("candidate", "all")["questions"] == 100


def test_a_gain_on_one_stream_is_no_gain():
    def all_right_on(streams: int) -> Measures:
        right = [n // 10 < streams or good for n, good in enumerate(BEFORE.right)]
        return replace(BEFORE, right=right, answered=[a or r for a, r in zip(BEFORE.answered, right)])

    found = refused(all_right_on(1), prompt=None)
    assert list(found) == ["accuracy"]
    assert "52.50%" in found["accuracy"] and "interval +0.00 points" in found["accuracy"]
    assert refused(all_right_on(8), prompt=None) == {}


def test_what_was_not_measured_is_refused():
    one = {"groups": ["s"] * COUNT}
    assert list(refused(replace(AFTER, **one), replace(BEFORE, **one), None)) == ["accuracy"]
    assert list(refused(replace(AFTER, stated=0, true=0))) == ["fidelity"]
    assert list(refused(in_use=replace(BEFORE, stated=0, true=0))) == ["fidelity"]
    assert list(refused(replace(AFTER, clips=0, failed=0))) == ["failed clips"]
    assert list(refused(replace(AFTER, tokens_per_memory=0.0))) == ["length"]
    nothing = dict.fromkeys(("questions", "groups", "kinds", "answered", "right"), ())
    found = refused(replace(AFTER, **nothing), replace(BEFORE, **nothing), None, min_questions=0)
    assert list(found) == ["questions"]


def test_several_reasons_are_all_told():
    found = refused(replace(measures(90), true=900, failed=20, tokens_per_memory=30.0))
    assert list(found) == ["accuracy", "task prompt", "fidelity", "length", "failed clips"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"right": [True]}, "right has 1 entries for 200 questions"),
        ({"true": 1001}, "true is 1001 of stated 1000"),
        ({"failed": -1}, "failed is -1"),
        ({"answered": [False] * COUNT}, "is right without an answer"),
        ({"tokens_per_memory": float("nan")}, "tokens_per_memory is nan"),
    ],
)
def test_impossible_measures(change, said):
    with pytest.raises(ValueError, match=said):
        replace(BEFORE, **change)


def test_other_questions_cannot_be_compared():
    other = replace(BEFORE, questions=[f"x{n}" for n in range(COUNT)])
    with pytest.raises(ValueError, match="the candidate and what is in use were asked other questions"):
        decide(AFTER, other, None, RULES)
    with pytest.raises(ValueError, match="the candidate and the task prompt"):
        decide(AFTER, BEFORE, other, RULES)


EXAMPLES = (
    Example("hall 08:00:10", "The door is open.", "Ben takes the `red` mug | from the <b>table</b>."),
    Example("hall 08:00:20", None, "Anna waves."),
)


def report(candidate: Measures = AFTER, kind: str = "steer", **other) -> GateReport:
    values = {
        "name": "finder, 5 questions", "kind": kind, "base_model": "demo", "base_revision": "abc",
        "config": {"lr": 0.05, "seeds": (1, 2), "layer": None}, "candidate": candidate, "in_use": BEFORE,
        "task_prompt": PROMPT, "questions": ("Where is the mug?", "Who took\nthe | book?"),
        "examples": EXAMPLES,
    }  # fmt: skip
    return GateReport.judge(rules=RULES, **values | other)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> dict[str, Path]:
    """A steering vector and a LoRA on the demo model, as PEFT saves them."""
    root = tmp_path_factory.mktemp("adapters")
    for kind, config in {
        "steer": BeftConfig(target_modules=r".*language_model\.layers\.2\.mlp\.down_proj"),
        "lora": LoraConfig(target_modules=r".*language_model\.layers\.2\..*\.(q_proj|v_proj)", r=2),
    }.items():
        torch.manual_seed(1)
        model = get_peft_model(AutoModelForImageTextToText.from_pretrained(DEMO, dtype=torch.float32), config)
        for name, parameter in model.named_parameters():
            if "beft_bias" in name or "lora_B" in name:
                torch.nn.init.normal_(parameter, std=5.0)
        model.save_pretrained(root / kind)
    return {kind: root / kind for kind in ("steer", "lora")}


@pytest.mark.parametrize("kind", ["steer", "lora"])
def test_a_published_folder_is_what_the_robot_loads(adapters, tmp_path, kind):
    out = publish(adapters[kind], tmp_path / "new" / "finder-1", report(kind=kind))
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "gate.json",
    ]  # fmt: skip
    assert [path.name for path in out.parent.iterdir()] == ["finder-1"]
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (out / name).read_bytes() == (adapters[kind] / name).read_bytes()

    policy, clip = MemoryPolicy.load("demo", device="cpu"), home_stream(2_000_041, 1).seen[0].clip
    bare = policy.write([clip], [], temperature=0, max_new_tokens=48).raw
    policy.set_adapter(out)
    assert policy.provenance.adapter == file_hash(out / "adapter_model.safetensors")
    steered = policy.write([clip], [], temperature=0, max_new_tokens=48).raw
    assert steered != bare
    # As the card says.
    base = AutoModelForImageTextToText.from_pretrained(DEMO, dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, str(out)).state_dict()
    saved = load_file(out / "adapter_model.safetensors")
    for name, tensor in saved.items():
        (found,) = [key for key in loaded if key.replace(".default", "") == name]
        assert torch.equal(loaded[found], tensor)


def test_what_the_folder_says(adapters, tmp_path):
    out = publish(adapters["steer"], tmp_path / "finder-1", report(in_use_name="finder-0"))
    about = json.loads((out / "gate.json").read_text())
    assert about["decision"]["published"] and about["config"] == {"lr": 0.05, "seeds": [1, 2], "layer": None}
    assert about["rules"]["min_questions"] == 200 and about["questions"][0] == "Where is the mug?"
    assert about["metrics"]["candidate"]["kinds"]["all"]["value"] == AFTER.accuracy == 0.6
    assert about["metrics"]["candidate"]["kinds"]["event"]["questions"] == 100
    assert about["metrics"]["in use"]["fidelity"] == 0.95 and about["gain"]["all"][
        "difference"
    ] == pytest.approx(0.1)

    card = ModelCard.load(out / "README.md")
    assert (card.data.library_name, card.data.base_model) == ("peft", "demo")
    assert {"taskmem", "steer"} <= set(card.data.tags)
    text = card.text
    assert "| **all** | 200 | 50.0 (50.0 to 50.0) | 55.0 (" in text and "| +10.0 (+10.0 to +10.0) |" in text
    assert "| kind | questions | before (in use) | task prompt | after | candidate over in use |" in text
    assert "| object | 100 |" in text and "| statements that are true | 95.0% of 1000 |" in text
    assert "- **Replaces**: adapter `finder-0`." in text and "revision `abc`" in text
    assert r"Ben takes the \`red\` mug \| from the &lt;b>table&lt;/b>." in text and "(no memory)" in text
    assert (
        r"2. Who took the \| book?" in text
        and "adapter:=FOLDER" in text
        and 'from_pretrained("models/demo")' in text
    )
    assert all(check.text in text for check in report().decision.checks)


def test_the_same_is_published_once_and_nothing_is_overwritten(adapters, tmp_path):
    out = publish(adapters["steer"], tmp_path / "finder", report())
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert publish(adapters["steer"], out, report()) == out
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    for folder, other in ((adapters["lora"], report()), (adapters["steer"], report(name="other"))):
        with pytest.raises(ValueError, match="is there already with something else"):
            publish(folder, out, other)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        publish(adapters["steer"], tmp_path / "file", report())
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "finder"]


def test_a_broken_adapter_is_not_published(adapters, tmp_path):
    for name, tensors in (
        ("nan", {key: tensor * float("nan") for key, tensor in _weights(adapters).items()}),
        ("none", None),
    ):
        folder = tmp_path / name
        folder.mkdir()
        if tensors:
            save_file(tensors, folder / "adapter_model.safetensors")
            (folder / "adapter_config.json").write_bytes(
                (adapters["steer"] / "adapter_config.json").read_bytes()
            )
        with pytest.raises(ValueError, match="not finite" if tensors else "has no adapter_config.json"):
            publish(folder, tmp_path / "out", report())
    assert not (tmp_path / "out").exists()


def _weights(adapters: dict[str, Path]) -> dict[str, torch.Tensor]:
    return load_file(adapters["steer"] / "adapter_model.safetensors")


def test_an_interrupted_publishing_leaves_nothing(adapters, tmp_path, monkeypatch):
    def cut_off(file):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", cut_off)
    with pytest.raises(KeyboardInterrupt):
        publish(adapters["steer"], tmp_path / "finder", report())
    with pytest.raises(KeyboardInterrupt):
        refuse(tmp_path, report(measures(90)))
    assert not list(tmp_path.iterdir())


def test_a_refused_one_says_why(adapters, tmp_path):
    low = report(replace(AFTER, true=900, failed=20))
    with pytest.raises(ValueError, match="the gate refused 'finder, 5 questions': Of 1000 statements 90.00%"):
        publish(adapters["steer"], tmp_path / "finder", low)
    path = refuse(tmp_path / "run", low)
    assert path == tmp_path / "run" / "refused.json" and len(list(path.parent.iterdir())) == 1
    told = json.loads(path.read_text())
    assert [reason.split()[0] for reason in told["decision"]["reasons"]] == ["Of", "Of"]
    assert told["decision"]["published"] is False and told["metrics"]["candidate"]["true"] == 900
    refuse(tmp_path / "run", report(measures(90)))
    assert "45.00%" in json.loads(path.read_text())["decision"]["reasons"][0]
    with pytest.raises(ValueError, match="publish it"):
        refuse(tmp_path / "run", report())
