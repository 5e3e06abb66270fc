"""The adapter in the model: verified, fitted and set; and had back after a restart, as far as it can be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taskmem_ros.exchange.keys import KEYRING, KeyFileError, Keyring
from taskmem_ros.exchange.package import PackageError, VerifiedAdapter, verify
from taskmem_ros.memory import AdapterRow, AdapterUse, Store
from taskmem_ros.memory.adapters import REFUSED
from taskmem_ros.policy import Engine, LoadError, MemoryPolicy, NoRoom
from taskmem_ros.policy.adapter import Adapter, no_room
from taskmem_ros.policy.slot import FittedAdapter


class Refused(ValueError):
    """What was asked for is not done: one sentence."""


@dataclass(frozen=True)
class AdapterSettings:
    """keyring: the file of trusted keys. trial_clips, watch_clips: 0 leaves trial or watch out. by_hand: the
    parameter `adapter`; with one nothing comes by itself. frames: whether the ring keeps any.
    """

    keyring: Path = KEYRING
    trial_clips: int = 8
    watch_clips: int = 60
    max_new_tokens: int = 256
    window: int = 5
    by_hand: str = ""
    frames: bool = True


class AdapterInUse:
    """Has in the model what the store says. worry(problem) is called where that cannot be."""

    def __init__(
        self,
        store: Store,
        policy: MemoryPolicy,
        engine: Engine,
        settings: AdapterSettings,
        worry: Callable[[str], None],
    ) -> None:
        self._store, self._policy, self._engine = store, policy, engine
        self._settings, self._worry = settings, worry
        self._idle = False  # the engine does not run, the model is ours
        self._missing_for: type[Exception] | None = None  # why the last one could not be had

    @property
    def id(self) -> str:
        """Of what is in the model, "" for the bare one."""
        return self._policy.adapter_id

    def settle(self, again: bool = False) -> AdapterUse:
        """Have the adapter in the model that the store says, or the first before it that can be had.

        again: it could not be had before; what is still the reason is not said again.
        """
        while (use := self._store.adapter_use()).in_use != self._policy.adapter_id:
            fitted = None
            if use.in_use:
                try:
                    fitted = self.fitted(self.row(use.in_use))
                except (KeyFileError, NoRoom) as error:  # nothing is known against the adapter
                    if not again or type(error) is not self._missing_for:
                        self._worry(
                            f"adapter {use.in_use} cannot be had now, and the bare model is used: {error}"
                        )
                    self._missing_for = type(error)
                except (PackageError, LoadError, Refused) as error:
                    after = self._store.roll_back(str(error), REFUSED)
                    self._worry(f"adapter {use.in_use} is given up for {named(after.in_use)}: {error}")
                    continue
            if fitted is not None or self.id:
                self.swap(fitted)
            break
        return use

    def best(self, id: str) -> FittedAdapter | None:
        """This adapter, or the bare model where it cannot be had."""
        try:
            return self.fitted(self.row(id)) if id else None
        except (KeyFileError, PackageError, LoadError, Refused) as error:
            self._worry(f"adapter {id} cannot be used, and the bare model is: {error}")
            return None

    def swap(self, fitted: FittedAdapter | None) -> None:
        if self._idle:
            self._policy.set_adapter(fitted)
        else:
            self._engine.between_clips(lambda policy, _: policy.set_adapter(fitted), patience_s=0).result()

    def verified(self, row: AdapterRow) -> VerifiedAdapter:
        """Raises KeyFileError, PackageError, NoRoom."""
        keyring, revision = Keyring.read(self._settings.keyring), self._policy.provenance.revision
        try:
            return verify(row.folder, keyring, base_revision=revision, id=row.id)
        except MemoryError as error:
            raise no_room(f"adapter {row.id}", error) from error

    def fitted(self, row: AdapterRow) -> FittedAdapter:
        """Raises KeyFileError, PackageError, NoRoom or another LoadError."""
        found = self.verified(row)
        return self._policy.fit_adapter(Adapter.from_bytes(row.id, found.config, found.weights))

    def row(self, id: str) -> AdapterRow:
        row = self._store.adapter(id)
        if row is None:
            raise Refused(f"there is no adapter {id!r} on this robot; `taskmem adapters list` has all")
        return row

    @contextmanager
    def alone(self):
        """While the engine does not run."""
        self._idle = True
        try:
            yield
        finally:
            self._idle = False


def named(id: str) -> str:
    return f"adapter {id}" if id else "the bare model"
