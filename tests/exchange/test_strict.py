"""JSON from strangers: what has one reading is read, everything else is refused."""

from __future__ import annotations

import json

import pytest

from taskmem_ros.exchange.strict import read_json


def test_what_is_read():
    told = read_json('{"a": [1, -2.5, 1e-9, true, null, "ä\\n\\ud83d\\ude00"], "b": {}}\n'.encode())
    assert told == {"a": [1, -2.5, 1e-9, True, None, "ä\n😀"], "b": {}}
    assert read_json(b"9223372036854775807") == 2**63 - 1
    assert str(read_json(b"[" * 32 + b"]" * 32)) == "[" * 32 + "]" * 32


@pytest.mark.parametrize("data, why", [
    (b'{"a": 1, "a": 1}', "twice"),
    (b'[{"b": {"a": 1, "\\u0061": 2}}]', "twice"),
    (json.dumps({str(n): n for n in range(200_000)})[:-1].encode() + b', "199999": 1}', "twice"),
    (b"[NaN]", "NaN"), (b"Infinity", "Infinity"), (b"[-Infinity]", "-Infinity"),
    (b"1e999", "too large"), (b"[-1e999]", "too large"),
    (b"123456789012345678901", "too large"), (b"-" + b"9" * 200_000, "too large"),
    (b'"\\ud800"', "Unicode"), (b'{"\\udfff": 1}', "Unicode"), (b"\xff", "Unicode"),
    (b'"\xed\xa0\x80"', "Unicode"),
    (b"[" * 32 + b"1" + b"]" * 32, "nested"), (b"[" * 900 + b"]" * 900, "nested"),
    (b"[" * 200_000, "nested"), (b"[" * 50_000 + b"]" * 50_000, "nested"),
    (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested"),
    (b"", "character 0"), (b"{} {}", "character 3"), (b"{'a': 1}", "character 1"), (b"[1,]", "character"),
    (b"\xef\xbb\xbf{}", "character 0"), (b"{}\0", "character 2"), (b"01", "character 1"),
], ids=lambda value: repr(value[:24]))  # fmt: skip
def test_what_is_refused(data, why):
    with pytest.raises(ValueError, match=why) as caught:
        read_json(data)
    assert len(str(caught.value)) < 200
