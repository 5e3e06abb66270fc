"""Whether the model can be found, loaded, and made to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from taskmem_ros.doctor.check import FAIL, OK, WARN, Check

if TYPE_CHECKING:
    from taskmem_ros.policy import MemoryPolicy

TRY = "Answer with one word: ready."


def check_model(
    model: str, revision: str | None, load: Callable[[], MemoryPolicy], when: str
) -> Iterator[Check]:
    """Find a model; load it and let it write a few words.

    load: loads it. when: "always", "never", or "here": only if nothing has to be downloaded.
    """
    try:
        where = _on_this_machine(model, revision)
    except ValueError as error:
        yield Check("model", model, FAIL, str(error), "Name a model with --model.")
        return
    except ImportError as error:
        yield Check("model", model, FAIL, f"packages do not import: {error}", "Install the packages above.")
        return
    if where:
        yield Check("model", model, OK, where)
    elif when != "always":
        fix = "The first start downloads it; `taskmem doctor --load always` does so now."
        yield Check("model", model, WARN, "is not on this machine yet", fix)
    if when == "always" or (when == "here" and where):
        yield from _load(load)


def _load(load: Callable[[], MemoryPolicy]) -> Iterator[Check]:
    try:
        policy = load()
        reply = policy.complete(TRY, max_new_tokens=8)
    except Exception as error:  # whatever a broken model or library raises is the finding
        text = " ".join(f"does not load: {type(error).__name__}: {error}".split())
        fix = "Check --model, --quantization, --device and the packages above."
        yield Check("model", "load", FAIL, text, fix)
        return
    lines = str(policy.report).splitlines()
    yield Check("model", "load", OK, "; ".join(line for line in lines if not line.startswith("warning")))
    yield Check("model", "write", OK, f"{reply.tokens} tokens in {reply.seconds:.2f} s")
    for warning in policy.report.warnings:
        yield Check("model", "warning", WARN, warning, "Choose another --quantization, or accept it.")


def _on_this_machine(model: str, revision: str | None) -> str:
    """The model's folder on this machine, "" where it would be downloaded. Raises LoadError, a ValueError."""
    from taskmem_ros.policy.load import find_checkpoint  # seconds of imports

    name, local = find_checkpoint(model)
    if local:
        return name
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return str(Path(found).parent) if isinstance(found, str) else ""
