"""What `taskmem ask --service` refuses before it looks for an agent."""

from __future__ import annotations

import pytest

pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from taskmem_ros.nodes.client import ask

Y2050 = 2_524_608_000 * 10**9


@pytest.mark.parametrize(
    "span, word",
    [((Y2050, None), "start"), ((None, Y2050), "end"), ((-1, None), "start"), ((None, 0), "end")],
)
def test_a_time_that_a_message_cannot_hold(span, word):
    with pytest.raises(ValueError, match=f"The {word} of the span .* 2038-01-19"):
        ask("ask_memory", "Where is the red mug?", (), *span)
