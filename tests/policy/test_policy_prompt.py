"""The memorizing prompt and the reading of its reply."""

from __future__ import annotations

import pytest
from tiny_models import make_clip

from taskmem_ros.policy.prompt import PROMPT_HASH, VideoPart, memorize_parts, memory_reply, parse_memory


def test_the_order_is_what_is_given_then_video_then_memories_and_instruction():
    clips = [make_clip(0), make_clip(1), make_clip(2)]
    parts = memorize_parts(clips, ["a cup", "a hat"])
    kinds = ["video" if isinstance(part, VideoPart) else "text" for part in parts]
    assert kinds[0] == kinds[-1] == "text" and kinds.count("video") == 3
    assert parts[-1].index("- a cup") < parts[-1].index("- a hat") < parts[-1].index("JSON")
    assert parts[1].times_s[0] == 0 and parts[-2].times_s[0] == 20


@pytest.mark.parametrize(
    "reply",
    [
        '{"description": "a cup on  the table"}',
        '```json\n{"description": "a cup on the table"}\n```',
        '{"description": "a cup on the table"',
        '<think>is it {"description": "a hat"}?</think>\n\n{"description": "a cup on the table"}',
        memory_reply("a cup on the table"),
    ],
)
def test_a_memory_is_read_out_of_its_reply(reply):
    assert parse_memory(reply) == "a cup on the table"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   ",
        "a cup",
        "[]",
        "{}",
        '{"description": ""}',
        '{"description": 3}',
        '{"text": "x"}',
        "<think>x</think>",
    ],
)
def test_what_is_no_memory_is_an_error(reply):
    with pytest.raises(ValueError, match="reply"):
        parse_memory(reply)


def test_the_prompt_has_a_short_hash():
    assert len(PROMPT_HASH) == 12 and int(PROMPT_HASH, 16) >= 0
