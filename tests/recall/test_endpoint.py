"""A reader over HTTP, against a server process on this machine."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskmem_ros.memory import Store
from taskmem_ros.recall import Recall
from taskmem_ros.recall.endpoint import Endpoint, EndpointError

SERVER = Path(__file__).with_name("openai_server.py")
S = 1_000_000_000


class Server:
    def __init__(self, key=""):
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER)], env=os.environ | {"KEY": key}, stdout=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def test_a_reply_with_its_confidence(server):
    reply = Endpoint(server.url, "echo")("Where is the mug?", max_new_tokens=8)
    assert (reply.text, reply.finished, reply.ended) == ("Where is the mug?", True, "stop")
    assert reply.confidence == pytest.approx(math.exp(-1.0))
    assert Endpoint(server.url + "/", "short")("x").ended == "length"


def test_what_a_server_refuses_is_not_sent_again(server):
    endpoint = Endpoint(server.url, "strict")
    sent = ["max_completion_tokens", "messages", "model", "response_format", "temperature"]
    for _ in range(2):
        reply = endpoint("x")
        assert json.loads(reply.text) == sent and reply.confidence == 0.0


def test_the_deadline_is_for_the_whole_reply_and_hangs_up(server):
    started = time.monotonic()
    reply = Endpoint(server.url, "slow")("x", deadline=started + 0.5)
    assert 0.4 < time.monotonic() - started < 3
    assert (reply.finished, reply.ended, reply.text) == (False, "deadline", "")
    assert server.process.stdout.readline() == "hung up\n"
    assert not Endpoint(server.url, "echo")("x", deadline=time.monotonic() - 1).finished


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gone", ["no model 'gone'", "does not exist", "/models"]),
        ("empty", ["without content"]),
    ],
)
def test_a_wrong_model_or_reply_is_a_sentence(server, model, words):
    with pytest.raises(EndpointError) as error:
        Endpoint(server.url, model)("x")
    assert all(word in str(error.value) for word in [*words, server.url]) and "\n" not in str(error.value)


def test_a_wrong_path_is_a_sentence(server):
    with pytest.raises(EndpointError, match="no chat completions"):
        Endpoint(server.url.replace("/v1", "/v9"), "echo")("x")


def test_nobody_there_is_a_sentence():
    with Server() as gone:
        pass
    with pytest.raises(EndpointError, match=r"cannot be reached .*start its server"):
        Endpoint(gone.url, "echo")("x", deadline=time.monotonic() + 5)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x/v1", "http://"])
def test_an_address_that_is_none(url):
    with pytest.raises(ValueError, match="base_url"):
        Endpoint(url, "m")


def test_a_model_must_be_named(server):
    with pytest.raises(ValueError, match="name of a model"):
        Endpoint(server.url, " ")


def test_the_key_comes_from_the_environment(monkeypatch):
    with Server(key="secret") as guarded:
        monkeypatch.delenv("TASKMEM_READER_KEY", raising=False)
        with pytest.raises(EndpointError, match="wants a key .*TASKMEM_READER_KEY"):
            Endpoint(guarded.url, "echo")("x")
        monkeypatch.setenv("TASKMEM_READER_KEY", "wrong")
        with pytest.raises(EndpointError, match="refuses the key") as error:
            Endpoint(guarded.url, "echo")("x")
        assert "wrong" not in str(error.value)
        monkeypatch.setenv("TASKMEM_READER_KEY", "secret\n")
        assert Endpoint(guarded.url, "echo")("x").text == "x"
    with pytest.raises(ValueError, match="set it anew") as error:
        Endpoint("http://localhost/v1", "m", key="se\ncret")
    assert "cret" not in str(error.value)


def test_recall_needs_no_special_case(server, tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        for index, place in enumerate(("on the desk", "in the sink")):
            store.add_memory("hall", 0, index * S, (index + 1) * S, f"The mug is {place}.")
        answer = Recall(store, Endpoint(server.url, "reader"), rounds=1).ask("Where is the mug?")
        assert (answer.status, answer.text, [e.memory.id for e in answer.evidence]) == (
            "answered", "in the sink", [2],
        )  # fmt: skip
        late = Recall(store, Endpoint(server.url, "slow")).ask("Where is the mug?", timeout_s=0.4)
        assert (late.status, [e.memory.id for e in late.evidence]) == ("timed_out", [2, 1])
