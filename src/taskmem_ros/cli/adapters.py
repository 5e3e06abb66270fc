"""`taskmem adapters`: which adapter a robot remembers with, those that came, and those in an exchange."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.text import Text

from taskmem_ros.cli import show
from taskmem_ros.cli.look import DATABASE_HELP
from taskmem_ros.cli.paper import Paper
from taskmem_ros.cli.times import add_zone_option, iso, zone_of
from taskmem_ros.memory import AdapterRow, Store

DESCRIPTION = """\
Adapters come to a robot signed, are tried on kept clips, taken over, watched, and
given up by themselves where the robot got worse. Here a person looks at them and
decides otherwise. An agent that runs follows within seconds; else the next start does."""

EXAMPLES = """examples:
  taskmem adapters list                         those on this robot
  taskmem adapters show 20261123T0315-robot1-1a2b3c4d
  taskmem adapters rollback                     back to the one before; never again by itself
  taskmem adapters activate 20261123T0315-robot1-1a2b3c4d
  taskmem adapters activate none                the bare model
  taskmem adapters pin                          the one in use stays, whatever comes
  taskmem adapters list --exchange s3://robots/exchange"""

NONE = "none"
STATE_STYLES = {
    "good": "green",
    "watched": "yellow",
    "trial": "yellow",
    "refused": "red",
    "rolled_back": "red",
}


def add_commands(commands: argparse._SubParsersAction) -> None:
    adapters = commands.add_parser(
        "adapters",
        help="which adapter a robot remembers with; choose another",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = adapters.add_subparsers(metavar="COMMAND", required=True)
    listing = _add(kinds, "list", "show the adapters of this robot, or of an exchange", run_list)
    showing = _add(kinds, "show", "show one: where it comes from, and what became of it", run_show)
    activate = _add(kinds, "activate", "have an adapter used, without a trial", run_activate)
    _add(kinds, "rollback", "give up the one in use, for good, for the one before", run_rollback)
    _add(kinds, "pin", "the one in use stays, whatever comes", run_pin).set_defaults(pinned=True)
    _add(kinds, "unpin", "others may come again", run_pin).set_defaults(pinned=False)
    for parser in (listing, showing):
        parser.add_argument("--exchange", metavar="URL", help="of an exchange, not of this robot")
        add_zone_option(parser)
    for parser in (showing, activate):
        parser.add_argument("id", metavar="ID", help=f"of the adapter; {NONE}: the bare model")
    for parser in (listing, showing, activate):
        parser.add_argument(
            "--keyring", metavar="FILE", help="of trusted keys (default: ~/.taskmem/trusted_keys)"
        )


def _add(commands: argparse._SubParsersAction, name: str, short: str, run: Any) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=short, description=f"{short[0].upper()}{short[1:]}.")
    parser.add_argument("--database", metavar="FILE", help=DATABASE_HELP)
    parser.add_argument("--json", action="store_true", help="JSON for programs, one object on each line")
    parser.set_defaults(run=run)
    return parser


def run_list(options: argparse.Namespace) -> int:
    paper, found = Paper(), 0
    records = _of_exchange(options) if options.exchange else _of_robot(options)
    for record in records:
        found += 1
        if options.json:
            show.print_record(record)
        else:
            paper.row(_head(record), Text(_plain(record)))
    if not found and not options.json:
        where = options.exchange or "this robot"
        print(f"There is no adapter on {where}; the bare model remembers.", file=sys.stderr)
    return 0 if found else 1


def run_show(options: argparse.Namespace) -> int:
    records = _of_exchange(options, options.id) if options.exchange else _of_robot(options, options.id)
    record = next(iter(records), None)
    if record is None:
        raise ValueError(f"There is no adapter {options.id!r}; `taskmem adapters list` has all.")
    if options.json:
        show.print_record(record)
        return 0
    paper = Paper()
    paper.row(_head(record), Text(_plain(record)))
    manifest = record["manifest"]
    for name in ("parent", "base_model", "base_revision", "kind", "layer", "robots", "bundles", "key"):
        if manifest.get(name) not in (None, "", [], ()):
            value = manifest[name]
            told = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            paper.row(Text(f"  {name.replace('_', ' ')}  ", show.DIM), Text(show.plain(told)))
    for title in ("metrics", "questions"):
        values = manifest.get(title) or {}
        lines = [f"{k}: {v}" for k, v in values.items()] if isinstance(values, dict) else values
        for line in lines:
            paper.row(Text(f"  {title}  ", show.DIM), Text(show.plain(str(line))))
    for event in record.get("events", ()):
        head = Text(f"  {event['at']}  {event['event']:<12}  ", show.DIM)
        paper.row(head, Text(show.plain(event["message"])))
    return 0


def run_activate(options: argparse.Namespace) -> int:
    id = "" if options.id == NONE else options.id
    with Store.open(options.database, create=False) as store:
        _check_unpinned(store)
        if id:
            _verify(store, id, options)
        use = store.activate_adapter(id)
    return _told(options, use, f"{_named(use.in_use)} is in use")


def run_rollback(options: argparse.Namespace) -> int:
    with Store.open(options.database, create=False) as store:
        _check_unpinned(store)
        before = store.adapter_use().in_use
        if not before:
            raise ValueError("The bare model is in use, and there is nothing before it; activate an adapter.")
        use = store.roll_back("a person rolled it back")
    return _told(options, use, f"Adapter {before} is given up; {_named(use.in_use)} is in use")


def run_pin(options: argparse.Namespace) -> int:
    with Store.open(options.database, create=False) as store:
        use = store.pin_adapter(options.pinned)
    said = "is pinned: it stays, whatever comes" if options.pinned else "is not pinned: others may come"
    return _told(options, use, f"{_named(use.in_use)} {said}")


def _check_unpinned(store: Store) -> None:
    use = store.adapter_use()
    if use.pinned:
        raise ValueError(f"{_named(use.in_use)} is pinned; `taskmem adapters unpin` first.")


def _verify(store: Store, id: str, options: argparse.Namespace) -> None:
    """Raises ValueError (PackageError, KeyFileError) where the agent would not load it."""
    from taskmem_ros.exchange.keys import KEYRING, Keyring
    from taskmem_ros.exchange.package import verify

    row = store.adapter(id)
    if row is None:
        raise ValueError(f"There is no adapter {id!r} on this robot; `taskmem adapters list` has all.")
    base = store.adapter_use().base_revision or None
    verify(row.folder, Keyring.read(options.keyring or KEYRING), base_revision=base, id=id)


def _of_robot(options: argparse.Namespace, id: str | None = None) -> Iterator[dict[str, Any]]:
    zone = zone_of(options)
    with Store.open(options.database, read_only=True) as store:
        use = store.adapter_use()
        for row in store.adapters():
            if id in (None, row.id):
                record = _record(row.id, row.serial, json.loads(row.manifest)) | _state(row, use)
                if id is not None:
                    record["events"] = [
                        asdict(event) | {"at": iso(event.at_ns, zone)}
                        for event in reversed(store.adapter_events(id))
                    ]
                yield record


def _of_exchange(options: argparse.Namespace, id: str | None = None) -> Iterator[dict[str, Any]]:
    from taskmem_ros.exchange.keys import KEYRING, Keyring
    from taskmem_ros.exchange.package import PackageError, read_manifest
    from taskmem_ros.exchange.place import Place
    from taskmem_ros.exchange.place_errors import NotInPlace, PlaceError, PlaceUnreachable

    path = options.keyring or KEYRING
    try:
        with Place(options.exchange) as place:
            for found in place.adapters() if id is None else [id]:
                try:
                    data, signature = place.adapter_manifest(found)
                    manifest, signer = read_manifest(data, signature, Keyring.read(path), id=found)
                    state = {"state": f"signed by {signer}", "reason": ""}
                    told = json.loads(manifest.to_bytes())
                except PlaceUnreachable:
                    raise
                except NotInPlace:
                    continue  # as in a listing: what is not whole does not exist
                except (PlaceError, PackageError, ValueError) as error:  # the keyring's, too
                    told, state = {}, {"state": "not trusted", "reason": str(error)}
                yield _record(found, told.get("serial", 0), told) | state | {"in_use": False, "pinned": False}
    except PlaceError as error:
        raise ValueError(str(error)) from error


def _record(id: str, serial: int, manifest: dict[str, Any]) -> dict[str, Any]:
    return {"type": "adapter", "id": id, "serial": serial, "manifest": manifest}


def _state(row: AdapterRow, use: Any) -> dict[str, Any]:
    in_use = row.id == use.in_use
    return {
        "state": row.state,
        "reason": row.reason,
        "in_use": in_use,
        "pinned": in_use and use.pinned,
        "folder": str(row.folder),
    }


def _head(record: dict[str, Any]) -> Text:
    mark = "* " if record["in_use"] else "  "
    state = record["state"].replace("_", " ") + (", pinned" if record["pinned"] else "")
    return Text.assemble(
        mark,
        (show.plain(record["id"]), "bold" if record["in_use"] else ""),
        (f"  {record['serial']:>4}  ", show.DIM),
        (f"{state}  ", STATE_STYLES.get(record["state"], "")),
    )


def _plain(record: dict[str, Any]) -> str:
    manifest = record["manifest"]
    kind = manifest.get("kind", "")
    base = manifest.get("base_model", "")
    about = f"{kind} for {base}" if kind else ""
    return show.plain("  ".join(part for part in (about, record["reason"]) if part))


def _told(options: argparse.Namespace, use: Any, sentence: str) -> int:
    if options.json:
        show.print_record({"type": "adapter_use"} | asdict(use))
    else:
        print(
            f"{sentence[0].upper()}{sentence[1:]}. An agent that runs follows within seconds.",
            file=sys.stderr,
        )
    return 0


def _named(id: str) -> str:
    return f"adapter {id}" if id else "the bare model"
