"""`taskmem keys`: whose adapters a robot takes, and the keys that sign them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from taskmem_ros.cli import show
from taskmem_ros.cli.paper import Paper

DESCRIPTION = """\
Adapters come over an exchange that nobody need trust: a workstation signs them with its
private key, and a robot takes those alone whose key is in its keyring, a file of lines
`ed25519 BASE64 NAME`."""

EXAMPLES = """examples:
  taskmem keys make workshop              on the workstation; prints the line to trust
  taskmem keys trust ed25519 BASE64 workshop          on each robot
  taskmem keys list
  taskmem keys revoke workshop            when the private key may be in other hands"""

MAKE = """\
Make a key to sign adapters with. The private key is written to FILE, readable by you alone;
keep it on the workstation. The public line goes to standard output: give it to
`taskmem keys trust` on each robot."""
TRUST = """\
Take adapters that this key signed: add its public line to the robot's keyring. Nothing else
says whose key it is, so let the line come by a way that you trust. A file may have several."""
REVOKE = """\
Take nothing more that this key signed, old or new: its line in the keyring gets the word
`revoked`. A line that the keyring has not yet is added as revoked."""
LIST = "Show the private keys of this computer (own), and the keyring's (trusted, revoked)."


def add_commands(commands: argparse._SubParsersAction) -> None:
    keys = commands.add_parser(
        "keys",
        help="make keys that sign adapters, and choose whose a robot takes",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = keys.add_subparsers(metavar="COMMAND", required=True)
    make = _add(kinds, "make", "make a private key and print its public line", MAKE)
    make.add_argument("name", metavar="NAME", help="what robots know it by, as in workshop")
    make.add_argument(
        "-o", "--output", metavar="FILE", help="the private key's (default: ~/.taskmem/keys/NAME.pem)"
    )
    make.set_defaults(run=run_make)
    listing = _add(kinds, "list", "show this computer's keys and the keyring", LIST)
    listing.add_argument(
        "--folder", metavar="FOLDER", help="of private keys, NAME.pem (default: ~/.taskmem/keys)"
    )
    _add_keyring(listing)
    listing.set_defaults(run=run_list)
    trust = _add(kinds, "trust", "take adapters that a key signed", TRUST)
    trust.add_argument(
        "what", metavar="LINE", nargs="+", help="the public line, a file of such lines, or - for stdin"
    )
    _add_keyring(trust)
    trust.set_defaults(run=run_trust)
    revoke = _add(kinds, "revoke", "take nothing more that a key signed", REVOKE)
    revoke.add_argument("what", metavar="KEY", nargs="+", help="its id, its name, or its public line")
    _add_keyring(revoke)
    revoke.set_defaults(run=run_revoke)


def _add(commands: argparse._SubParsersAction, name: str, short: str, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=short, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="JSON for programs, one object on each line")
    return parser


def _add_keyring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keyring", metavar="FILE", help="of the keys to trust (default: ~/.taskmem/trusted_keys)"
    )


def run_make(options: argparse.Namespace) -> int:
    from taskmem_ros.exchange.keys import KEYS_FOLDER, SigningKey

    key = SigningKey.generate()
    line = key.public_line(options.name)  # before the file: the name may be none
    path = key.write(options.output or KEYS_FOLDER / f"{options.name}.pem")
    if options.json:
        show.print_record(_record("own", key.id, options.name, line) | {"file": str(path)})
        return 0
    print(f"The private key {key.id} is in {path}; keep it on this computer.", file=sys.stderr)
    print(f"On each robot: taskmem keys trust {line}", file=sys.stderr)
    print(line)
    return 0


def run_list(options: argparse.Namespace) -> int:
    from taskmem_ros.exchange.keys import KEYRING, KEYS_FOLDER, Keyring, SigningKey

    folder = Path(options.folder or KEYS_FOLDER).expanduser()
    keyring = Path(options.keyring or KEYRING).expanduser()
    paper, found, unread = Paper(), 0, 0
    for path in sorted(folder.glob("*.pem")):
        try:
            key = SigningKey.read(path)
            record = _record("own", key.id, path.stem, key.public_line(path.stem)) | {"file": str(path)}
        except ValueError as error:
            print(f"taskmem: {error}", file=sys.stderr)
            unread += 1
            continue
        found += 1
        _show(record, paper, options)
    if keyring.exists() or options.keyring:
        for key in Keyring.read(keyring).keys:
            found += 1
            state = "revoked" if key.revoked else "trusted"
            _show(_record(state, key.id, key.name, key.line) | {"file": str(keyring)}, paper, options)
    if not found and not unread and not options.json:
        print(
            f"There is no key in {folder} and no keyring {keyring}; see `taskmem keys --help`.",
            file=sys.stderr,
        )
    return 0 if found and not unread else 1


def run_trust(options: argparse.Namespace) -> int:
    from taskmem_ros.exchange.keys import KEYRING, Keyring, trust

    keyring = Path(options.keyring or KEYRING).expanduser()
    known = {key.id for key in Keyring.read(keyring).keys} if keyring.exists() else set()
    for line in _lines(options.what):
        key = trust(keyring, line)
        if options.json:
            show.print_record(_record("trusted", key.id, key.name, key.line) | {"file": str(keyring)})
        elif key.id in known:
            print(f"{keyring} has the key {key.id} ({key.name}) already.", file=sys.stderr)
        else:
            print(f"Trusted: adapters signed by {key.name} ({key.id}), by {keyring}.", file=sys.stderr)
    return 0


def run_revoke(options: argparse.Namespace) -> int:
    from taskmem_ros.exchange.keys import KEYRING, revoke

    keyring = Path(options.keyring or KEYRING).expanduser()
    key = revoke(keyring, " ".join(options.what))
    if options.json:
        show.print_record(_record("revoked", key.id, key.name, key.line) | {"file": str(keyring)})
    else:
        print(f"Revoked: nothing signed by {key.name} ({key.id}) is taken any more.", file=sys.stderr)
        print("An adapter of it that is in use stays until the agent starts again.", file=sys.stderr)
    return 0


def _lines(what: list[str]) -> Iterator[str]:
    """The public lines that were named. Raises ValueError where there is none."""
    if len(what) > 1 or " " in what[0].strip():
        yield " ".join(what)
        return
    path = Path(what[0]).expanduser()
    try:
        text = sys.stdin.read() if what == ["-"] else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{what[0]!r} is no public line, and no file of them ({error}); give what `taskmem keys make` "
            "printed"
        ) from error
    if "PRIVATE KEY" in text:
        raise ValueError(
            f"{what[0]} is a private key, which stays where it was made; give its public line, out of "
            "`taskmem keys list` there"
        )
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{what[0]} has no public line; give what `taskmem keys make` printed")
    yield from lines


def _record(state: str, key_id: str, name: str, line: str) -> dict[str, str]:
    return {"type": "key", "state": state, "id": key_id, "name": name, "line": line}


def _show(record: dict[str, str], paper: Paper, options: argparse.Namespace) -> None:
    if options.json:
        show.print_record(record)
    else:
        head = Text(f"{record['state']:<8} ", "bold" if record["state"] != "revoked" else show.WARNING)
        paper.line(head + Text(f"{record['id']}  {record['line']}"))
