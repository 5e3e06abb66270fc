"""The option `--encoder` of commands that search by meaning."""

from __future__ import annotations

import argparse
import os

from taskmem_ros.memory import Store
from taskmem_ros.recall import Encoder, EncoderError, load_encoder

ENVIRONMENT = "TASKMEM_ENCODER"


def add_encoder_option(parser: argparse.ArgumentParser) -> None:
    """--encoder MODEL; read it with `encoder_of`."""
    parser.add_argument(
        "--encoder",
        metavar="MODEL",
        default=os.environ.get(ENVIRONMENT),
        help="sentence encoder for search by meaning: a folder (with model.onnx, or as transformers saves it)"
        f" or a hub id (default: ${ENVIRONMENT}, else none)",
    )


def encoder_of(options: argparse.Namespace, store: Store) -> Encoder | None:
    """The encoder asked for. Raises ValueError where it cannot be had, or the store's vectors are not its."""
    if not options.encoder:
        return None
    encoder = load(options.encoder)
    known = store.encoder()
    if known != (encoder.name, encoder.dimensions):
        has = f"vectors of {known[0]}" if known else "no vectors"
        raise ValueError(
            f"{store.path} has {has}, and {encoder.name} was asked for; "
            f"`taskmem index --encoder {options.encoder}` makes them"
        )
    return encoder


def load(model: str) -> Encoder:
    """`load_encoder`, with a ValueError that `taskmem` prints."""
    try:
        return load_encoder(model)
    except EncoderError as error:
        raise ValueError(str(error)) from error
