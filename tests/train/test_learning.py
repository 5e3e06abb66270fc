"""It learns: after five questions of a role, memories answer that role's questions better, and are as true.

The experiment of benchmarks/phase_two.py at its smallest, with a fixed seed.
"""

from __future__ import annotations

from taskmem_train.bench import RecallReader, home_dataset, run_stream_benchmark
from taskmem_train.bench.command import token_counter
from taskmem_train.bench.systems import PolicyMemorizer
from taskmem_train.phase_two.fit import ADAPTER, phase_two
from taskmem_train.phase_two.settings import PhaseTwoConfig

from taskmem_ros.policy import MemoryPolicy

SMALL = PhaseTwoConfig(
    home="steward", home_seeds="2700000-2700009", home_clips=4, asked_seeds="2710000-2710009",
    candidates=6, steps=16, batch=8, accumulation=1, warmup=1, lr=2e-3, truth_pairs=0.25, seed=0,
)  # fmt: skip


def test_phase_two_beats_phase_one_and_stays_true(tmp_path):
    policy = MemoryPolicy.load("demo")
    report = phase_two(SMALL, tmp_path / "run", policy)
    assert report["pairs"] >= 12, report

    dataset = home_dataset(range(2_720_000, 2_720_006), questions=5, clips=8, roles=("steward",))
    systems = {
        "Phase One": PolicyMemorizer(policy),
        "Phase Two": PolicyMemorizer(policy, adapter=tmp_path / "run" / ADAPTER),
    }
    result = run_stream_benchmark(
        dataset, systems, RecallReader.of_policy(policy), tmp_path / "bench",
        count_tokens=token_counter(policy), progress=False,
    )  # fmt: skip
    before, after = result.row("Phase One"), result.row("Phase Two")
    assert after.accuracy.value >= before.accuracy.value + 0.1, result.table()
    assert after.memories.true_share >= before.memories.true_share - 0.02, result.table()
    assert after.memories.tokens_per_memory <= 1.1 * before.memories.tokens_per_memory, result.table()
