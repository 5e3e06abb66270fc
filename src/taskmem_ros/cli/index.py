"""`taskmem index`: the vectors that search by meaning needs."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from taskmem_ros.cli.look import DATABASE_HELP
from taskmem_ros.cli.meaning import ENVIRONMENT, add_encoder_option, load
from taskmem_ros.memory import Store
from taskmem_ros.recall import VectorIndexer

INDEX_DESCRIPTION = """\
Make the vectors that search by meaning needs, for the memories that have none.
An agent with the parameter encoder does so by itself; this is for stores that
`taskmem ingest` wrote, and for a change of encoder: vectors of another are
dropped. It can be interrupted and goes on where it was."""

INDEX_EXAMPLES = """examples:
  taskmem index --encoder sentence-transformers/all-MiniLM-L6-v2
  taskmem search 'something to drink from' --encoder ~/models/all-MiniLM-L6-v2"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    index = commands.add_parser(
        "index",
        help="make the vectors for search by meaning",
        description=INDEX_DESCRIPTION,
        epilog=INDEX_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    index.add_argument("--database", metavar="FILE", help=DATABASE_HELP)
    add_encoder_option(index)
    index.set_defaults(run=run_index)


def run_index(options: argparse.Namespace) -> int:
    if not options.encoder:
        raise ValueError(f"no encoder is named; say --encoder MODEL, or set {ENVIRONMENT}")
    encoder = load(options.encoder)
    made = 0
    with Store.open(options.database) as store:
        indexer = VectorIndexer(store, encoder)
        with tqdm(unit=" memories") as bar:
            while count := indexer.step():
                made += count
                bar.update(count)
    print(f"{made} vectors made by {encoder.name}")
    return 0
