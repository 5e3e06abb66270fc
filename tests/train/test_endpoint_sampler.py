"""Candidates from a server over HTTP: each has its seed; no memory is none; a dead server is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from judge_cases import context
from taskmem_train.phase_two.endpoint import EndpointSampler
from taskmem_train.phase_two.ledger import RolloutLedger
from taskmem_train.phase_two.settings import PhaseTwoConfig

from taskmem_ros.recall.endpoint import EndpointError


class Handler(BaseHTTPRequestHandler):
    """Tells what it was asked with; odd seeds get prose, seed 6 gets cut off."""

    asked: list[dict] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.asked.append(body)
        pictures = sum(part["type"] == "image_url" for part in body["messages"][0]["content"])
        seed = body["seed"]
        text = "A room." if seed % 2 else json.dumps({"description": f"seed {seed} of {pictures} pictures"})
        choice = {"message": {"content": text}, "finish_reason": "length" if seed == 6 else "stop"}
        reply = json.dumps({"choices": [choice]}).encode()
        self.send_response(200 if body["model"] == "policy" else 500)
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def address():
    Handler.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_every_candidate_is_a_request_with_a_seed_of_its_own(address, tmp_path):
    sampler = EndpointSampler(address, "policy", temperature=0.8, seed=4, max_new_tokens=99)
    ledger = RolloutLedger(tmp_path / "rollouts.db")
    contexts = [context("The door is open.", id="a"), context(id="b", index=3)]
    (first, second) = ledger.candidates(
        contexts, lambda some: sampler.sample(some, 3), sampler.identity, progress=False
    )
    assert [draft.text for draft in first] == ["seed 4 of 1 pictures", None, None]
    assert "not a JSON object" in first[1].error and "cut off (length)" in first[2].error
    assert len(second) == 3
    assert sorted(body["seed"] for body in Handler.asked) == [4, 4, 5, 5, 6, 6]
    for body in Handler.asked:
        assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.8, 1.0, 99)
        assert "response_format" not in body  # a model that thinks first could not
    texts = [part.get("text", "") for body in Handler.asked for part in body["messages"][0]["content"]]
    assert any("The door is open." in text for text in texts)

    ledger.candidates(contexts, lambda some: pytest.fail("asked again"), sampler.identity, progress=False)


def test_a_server_that_fails_is_an_error_and_leaves_no_candidate(address, tmp_path):
    sampler = EndpointSampler(address, "another")
    ledger = RolloutLedger(tmp_path / "rollouts.db")
    with pytest.raises(EndpointError, match="The sampler at .* answered 500"):
        ledger.candidates([context()], lambda some: sampler.sample(some, 2), sampler.identity, progress=False)
    right = EndpointSampler(address, "policy")
    (drafts,) = ledger.candidates(
        [context()], lambda some: right.sample(some, 1), right.identity, progress=False
    )
    assert drafts[0].text == "seed 0 of 1 pictures"


def test_settings_name_the_server_and_its_model_together(address):
    assert PhaseTwoConfig(home="finder", sampler=address, sampler_model="policy")
    with pytest.raises(ValueError, match="--sampler and --sampler-model go together"):
        PhaseTwoConfig(home="finder", sampler=address)
