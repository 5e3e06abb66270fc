"""An OpenAI-compatible server to test against, a process of its own: python openai_server.py

It prints its port, and serves what the model's name asks for: "echo" gives the prompt back, "slow" never ends
its reply, "strict" refuses log probabilities, "empty" has no content; other names are unknown. With a KEY in
the environment it wants that key.
"""

from __future__ import annotations

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = os.environ.get("KEY", "")
        if self.path != "/v1/chat/completions":
            return self.send(404, {"error": {"message": f"no {self.path}"}})
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            return self.send(401, {"error": {"message": "Incorrect API key provided"}})
        return getattr(self, f"model_{asked['model']}", self.unknown)(asked)

    def unknown(self, asked):
        self.send(404, {"error": {"message": f"The model `{asked['model']}` does not exist"}})

    def model_echo(self, asked):
        tokens = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]
        self.reply(asked["messages"][0]["content"], {"content": tokens} if asked.get("logprobs") else None)

    def model_reader(self, asked):
        """Answers with the newest memory that is numbered in the prompt."""
        lines = [line for line in asked["messages"][0]["content"].splitlines() if line.startswith("[")]
        number, text = lines[-1][1:].split("] ", 1)
        said = text.partition(" is ")[2].split(".")[0] or "not in memory"
        self.reply(json.dumps({"memories": [int(number)], "answer": said}), None)

    def model_strict(self, asked):
        for field in ("logprobs", "max_tokens"):
            if field in asked:
                return self.send(
                    400, {"error": {"message": f"Unsupported parameter: '{field}'", "param": field}}
                )
        return self.reply(json.dumps(sorted(asked)), None)

    def model_short(self, asked):
        self.reply("cut", None, "length")

    def model_empty(self, asked):
        self.send(200, {"choices": [{"message": {"role": "assistant", "content": None}}]})

    def model_slow(self, asked):
        """Sends white space for ever, as some servers do while they think."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"\n")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            print("hung up", flush=True)

    def reply(self, text, logprobs, finish="stop"):
        message = {"role": "assistant", "content": text}
        self.send(200, {"choices": [{"message": message, "finish_reason": finish, "logprobs": logprobs}]})

    def send(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Its standard error is the test's."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
