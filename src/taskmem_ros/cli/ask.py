"""`taskmem ask`: a question to the store's file, or to a running agent."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from rich.text import Text

from taskmem_ros.cli import show
from taskmem_ros.cli.look import add_span_options, add_store_options, print_found
from taskmem_ros.cli.meaning import add_encoder_option, encoder_of
from taskmem_ros.cli.model import add_model_options, load_and_tell
from taskmem_ros.cli.paper import Paper
from taskmem_ros.cli.pictures import Pictures, add_pictures_option, protocol
from taskmem_ros.cli.ros import import_node_module
from taskmem_ros.cli.times import span_of, zone_of
from taskmem_ros.memory import Store, StoreError
from taskmem_ros.recall import ROUNDS, Answer, Completion, Reader, Recall, answer_task, rounds_for

SOURCE = "cli"
LONGEST_S = 86400

DESCRIPTION = """\
Ask what was seen. The answer comes from memory alone, with the memories that
say it. Without --service the model is loaded here and reads the store's file,
whether an agent runs or not."""

EXAMPLES = """exit status: 0 answered, 1 not answered (the reason is said), 2 error

examples:
  taskmem ask 'Where is the red mug?'
  taskmem ask 'Who opened the door?' --choice Anna --choice Ben --since 2h
  taskmem ask 'Where is the red mug?' --service robot1/ask_memory --json"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    ask = commands.add_parser(
        "ask",
        help="ask what was seen",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ask.add_argument("question", help="in plain English")
    ask.add_argument(
        "--choice",
        action="append",
        default=[],
        metavar="TEXT",
        help="a possible answer; give it for each of them",
    )
    add_store_options(ask)
    add_span_options(ask)
    ask.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="for the answer (default: %(default)g)"
    )
    ask.add_argument(
        "--no-record", action="store_true", help="do not keep the question among the tasks to learn from"
    )
    ask.add_argument(
        "--service", metavar="NAME", help="ask the agent that serves this ROS 2 service, e.g. ask_memory"
    )
    add_encoder_option(ask)
    add_pictures_option(ask)
    reader = ask.add_argument_group("reader")
    reader.add_argument(
        "--reader-url",
        metavar="URL",
        help="read with an OpenAI-compatible endpoint, as in http://localhost:8000/v1, not the model; its "
        "key is in the environment's TASKMEM_READER_KEY",
    )
    reader.add_argument("--reader-model", metavar="NAME", help="the endpoint's model")
    reader.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help=f"readings for the question, with further searches (default: {ROUNDS}; very small models: 1)",
    )
    add_model_options(ask)
    ask.set_defaults(run=run_ask)


def run_ask(options: argparse.Namespace) -> int:
    if not options.question.strip():
        raise ValueError("The question is empty; say what is to be answered from memory.")
    if options.rounds is not None and not 1 <= options.rounds <= 20:
        raise ValueError(f"--rounds is {options.rounds}; it must lie between 1 and 20.")
    if options.reader_model and not options.reader_url:
        raise ValueError("--reader-model goes with --reader-url, the address of the endpoint that has it.")
    if not 0 < options.timeout <= LONGEST_S:
        raise ValueError(
            f"--timeout is {options.timeout:g}; it must be above 0 and at most {LONGEST_S} seconds."
        )
    answer = _ask_agent(options) if options.service else _ask_file(options)
    if options.json:
        show.print_record(_record(answer, options))
    else:
        _print(answer, options)
    return 0 if answer.status == "answered" else 1


def _ask_agent(options: argparse.Namespace) -> Answer:
    if options.camera:
        raise ValueError(
            "--camera goes with the store's file; a running agent is asked about all its cameras."
        )
    if options.no_record:
        raise ValueError("--no-record goes with the store's file; a running agent keeps every question.")
    since, until = span_of(options)
    client = import_node_module("taskmem_ros.nodes.client", "--service")
    return client.ask(options.service, options.question, options.choice, since, until, options.timeout)


def _ask_file(options: argparse.Namespace) -> Answer:
    since, until = span_of(options)
    with _open(options) as store:
        # A store without memories needs no reader to say so.
        reader, rounds, who = _reader(options) if store.watermark() else (_no_reader, 1, {})
        recall = Recall(
            store,
            reader,
            rounds=options.rounds or rounds,
            timezone=zone_of(options),
            encoder=encoder_of(options, store),
        )
        if store.read_only:
            return recall.ask(options.question, options.choice, since, until, options.timeout, options.camera)
        task = store.add_task(
            options.question, choices=options.choice, source=SOURCE, since_ns=since, until_ns=until
        )
        return answer_task(store, recall, task, timeout_s=options.timeout, camera=options.camera, **who)[0]


def _reader(options: argparse.Namespace) -> tuple[Reader, int, dict[str, str]]:
    """(the reader, its rounds, who that is)."""
    if options.reader_url:
        from taskmem_ros.recall.endpoint import Endpoint

        endpoint = Endpoint(options.reader_url, options.reader_model or "")
        return endpoint, ROUNDS, {"model": endpoint.model}
    policy = load_and_tell(options)
    return policy.complete, rounds_for(policy.report.parameters), asdict(policy.provenance)


def _open(options: argparse.Namespace) -> Store:
    if options.no_record:
        return Store.open(options.database, read_only=True)
    try:
        return Store.open(options.database, create=False)
    except StoreError as error:
        store = Store.open(options.database, read_only=True)
        print(f"taskmem: the question is not kept among the tasks: {error}", file=sys.stderr)
        return store


def _no_reader(prompt: str, *, max_new_tokens: int, deadline: float | None) -> Completion:
    raise RuntimeError("The first memories came while the question was asked; ask again.")


def _print(answer: Answer, options: argparse.Namespace) -> None:
    paper = Paper()
    pictures = Pictures(protocol(options.pictures, paper.terminal))
    if answer.status == "answered":
        said = Text.assemble((show.plain(answer.text), "bold"))
        if answer.confidence:  # not every endpoint tells one
            said.append(f"  (confidence {answer.confidence:.2f})", show.DIM)
    else:
        said = Text(f"{show.plain(answer.message)}  ")
        said.append(f"({answer.status})", show.STATUS_STYLES.get(answer.status, show.WARNING))
    paper.row(Text(), said)
    if answer.status == "answered" and answer.message:
        paper.row(Text(), Text(show.plain(answer.message), show.DIM))
    print_found(paper, pictures, answer.evidence, zone_of(options))


def _record(answer: Answer, options: argparse.Namespace) -> dict[str, Any]:
    zone = zone_of(options)
    evidence = [show.memory_record(e.memory, zone) | {"score": e.score} for e in answer.evidence]
    names = ("status", "text", "message", "confidence", "watermark")
    return (
        {"type": "answer", "question": options.question}
        | {n: getattr(answer, n) for n in names}
        | {"evidence": evidence}
    )
