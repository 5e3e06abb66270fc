"""What the store hands out: plain frozen values, never a SQLite row.

Times are int nanoseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskmem_ros.clips import Pose

KINDS = ("question", "task")
QUEUED = "queued"
OUTCOMES = ("answered", "not_in_memory", "not_watching", "timed_out", "failed")
STATUSES = (QUEUED, *OUTCOMES)
RIGHT, WRONG = VERDICTS = ("right", "wrong")


class StoreError(Exception):
    """The store cannot do what was asked: one sentence that names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class Memory:
    """One thing remembered: what camera `camera` saw from start_ns to end_ns.

    pose: of the observer in `pose.frame_id`, None where it was not known.
    model, revision, adapter, prompt_hash: what wrote it.
    thumbnail: JPEG, b"" where there is none or none was read.
    created_ns: wall time of writing, whatever clock the camera ran on.
    """

    id: int
    camera: str
    episode: int
    start_ns: int
    end_ns: int
    text: str
    pose: Pose | None = None
    model: str = ""
    revision: str = ""
    adapter: str = ""
    prompt_hash: str = ""
    thumbnail: bytes = b""
    created_ns: int = 0


@dataclass(frozen=True)
class Task:
    """A question or a task that the robot was given.

    status: one of STATUSES. answer: None unless status is "answered".
    message: why there is no answer, else "".
    choices: empty for an open question. since_ns, until_ns: the time span asked about, None where open.
    known_answer: the right answer where the asker knows it (for training), else None. confidence: 0..1.
    evidence: ids of the memories that the answer stands on, best first. watermark: newest memory id when
    answering.
    """

    id: int
    question: str
    kind: str
    choices: tuple[str, ...]
    source: str
    asked_ns: int
    since_ns: int | None = None
    until_ns: int | None = None
    known_answer: str | None = None
    status: str = QUEUED
    answer: str | None = None
    message: str = ""
    confidence: float = 0.0
    evidence: tuple[int, ...] = ()
    watermark: int = 0
    answered_ns: int | None = None


@dataclass(frozen=True)
class Feedback:
    """What somebody said of a task's outcome: one of VERDICTS. Of several the newest (by id) counts.

    answer: the right one, where the verdict is "wrong" and it is known, else None. source: who said so.
    """

    id: int
    task_id: int
    verdict: str
    answer: str | None
    source: str
    given_ns: int


@dataclass(frozen=True)
class Failure:
    """A clip that could not be memorized. raw: what the policy wrote instead; error: why it was not taken."""

    id: int
    camera: str
    episode: int
    start_ns: int
    end_ns: int
    raw: str
    error: str
    created_ns: int


@dataclass(frozen=True)
class Source:
    """A bag or film that was read into the store.

    finished_ns: None while reading, or where reading was cut off.
    """

    id: int
    name: str
    fingerprint: str
    camera: str
    started_ns: int
    finished_ns: int | None


@dataclass(frozen=True)
class Summary:
    """How much a store holds.

    first_ns, last_ns: None in an empty store; bytes: size of the file and its log.
    """

    memories: int
    tasks: int
    queued_tasks: int
    failures: int
    gaps: int
    first_ns: int | None
    last_ns: int | None
    schema_version: int
    bytes: int
