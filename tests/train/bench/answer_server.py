"""An OpenAI-compatible server that answers and judges, a process of its own: python answer_server.py

It prints its port. Models: "newest" quotes the newest memory of the prompt, "judge" finds right what is to be
"the first", "rambling" never decides.
"""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = getattr(self, f"model_{asked['model']}")(asked["messages"][0]["content"])
        body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def model_newest(self, prompt):
        number, memory = re.findall(r"^\[(\d+)\] (?:\S+ )?.*?(plain clip \d+)", prompt, re.MULTILINE)[-1]
        return json.dumps({"memories": [int(number)], "answer": memory})

    def model_judge(self, prompt):
        return f'<think>Hm.</think>{{"right": {"true" if "Right answer: the first" in prompt else "false"}}}'

    def model_rambling(self, prompt):
        return "It may be right, or it may not."

    def log_message(self, *arguments):
        """Its standard error is the test's."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
