"""What a robot remembers of its exchange between two rounds: a small JSON file beside the database.

Nothing is lost with it but time: the next round looks at all adapters again, and says again what it refuses.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

FORMAT = 1
REFUSED, BROKEN = "refused", "broken"  # its manifest; its files
MOST_BYTES = 64_000_000


@dataclass
class Seen:
    """An adapter that was looked at and not taken. why: REFUSED, BROKEN, or why it does not concern this
    robot. sha256: of its manifest and signature. tries: how often its files were pulled in vain.
    """

    why: str
    sha256: str = ""
    tries: int = 0


@dataclass
class Notebook:
    """succeeded_ns: wall time at which a round last ended well; since_ns: and at which one was first wanted;
    None for never. seen: by id; it holds for one base model, robot and keyring, which `seen_by` names.
    """

    path: Path
    succeeded_ns: int | None = None
    since_ns: int | None = None
    seen_by: str = ""
    seen: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def beside(cls, database: Path) -> Notebook:
        """The one of this database, empty where there is none that can be read."""
        path = database.with_name(f"{database.name}.sync.json")
        notebook = cls(path)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise ValueError("it is too large")
            told = json.loads(path.read_bytes())
            if told["format"] != FORMAT:
                raise ValueError(f"it has format {told['format']!r}")
            notebook.succeeded_ns, notebook.since_ns = (
                None if told[name] is None else int(told[name]) for name in ("succeeded_ns", "since_ns")
            )
            notebook.seen = {str(id): Seen(**seen) for id, seen in told["seen"].items()}
            notebook.seen_by = str(told["seen_by"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s cannot be read (%s); adapters are looked at again", path, error)
        return notebook

    def of(self, seen_by: str) -> dict[str, Seen]:
        """What was seen, if it was with the same eyes; else it begins anew."""
        if self.seen_by != seen_by:
            self.seen_by, self.seen = seen_by, {}
        return self.seen

    def write(self) -> None:
        """Atomically. Raises OSError."""
        told = asdict(self) | {"format": FORMAT}
        del told["path"]
        partial = self.path.with_name(f".{self.path.name}.partial")
        try:
            with partial.open("w", encoding="utf-8") as file:
                json.dump(told, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)
