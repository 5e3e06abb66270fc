"""An OpenAI-compatible server of judges of all kinds, a process of its own: python judge_server.py

It prints its port. The model's name says how it judges; other names are refused.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


class Handler(BaseHTTPRequestHandler):
    lock = threading.Lock()
    in_flight = 0

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization", "") != os.environ.get("WANTED", ""):
            return self.send(401, {"error": {"message": "not you"}})
        judge = getattr(self, f"model_{asked['model']}", None)
        if judge is None:
            return self.send(500, {"error": {"message": "on fire"}})
        reply = judge(asked["messages"][0]["content"])
        return self.send(200, {"choices": [{"message": {"content": reply}, "finish_reason": "stop"}]})

    def model_first(self, prompt):
        """Likes a place."""
        return '{"reason": "it comes first", "better": "A"}'

    def model_longer(self, prompt):
        """Has an opinion of its own, which it thinks about aloud."""
        first, second = re.search(r"Entry A: (.*)\nEntry B: (.*)\n", prompt).groups()
        better = "tie" if len(first) == len(second) else "(A)" if len(first) > len(second) else "(b)."
        return f"<think>Is it A? Is it B?</think>\n{better}"

    def model_rambling(self, prompt):
        return "Both A and B have their points."

    def model_slowly(self, prompt):
        """Understands at the second try."""
        return "B" if prompt.endswith("Reply with the JSON alone.") else "Entry B, for entry A is bad."

    def model_late(self, prompt):
        time.sleep(2)
        return "A"

    def model_crowd(self, prompt):
        """A as long as no more than three ask at once."""
        with self.lock:
            Handler.in_flight += 1
        time.sleep(0.3)
        many = Handler.in_flight > 3
        with self.lock:
            Handler.in_flight -= 1
        return "B" if many else "A"

    def model_seeing(self, content):
        """Finds two statements in every note, the second right where all pictures are bright."""
        pictures = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
        jpegs = [base64.b64decode(url.removeprefix("data:image/jpeg;base64,")) for url in pictures]
        images = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]
        # OpenCV's pictures are BGR: a red frame is bright in its last channel.
        right = 1 + all(image[..., 2].mean() > 200 for image in images)
        said = [part["text"] for part in content if part["type"] == "text"]
        wrong = [f"{len(images)} pictures: {said[1]}"] if right == 1 else []
        return json.dumps({"wrong": wrong, "statements": 2, "right": right})

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
