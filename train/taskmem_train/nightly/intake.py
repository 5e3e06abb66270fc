"""New bundles out of the exchange: pulled, looked through, and kept or refused for good.

A bundle that is as it was sent may still hold what no robot writes. It is looked through here, once, so that
nothing of it can end a night of training; other bundles of the same robot, and other robots, go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from taskmem_ros.exchange import Bundle, BundleError
from taskmem_ros.exchange.card import BundleCard
from taskmem_ros.exchange.place import Place, PlaceDamaged, PlaceError
from taskmem_ros.memory import KINDS, STATUSES, Task
from taskmem_train.nightly.ledger import Ledger

BUNDLES = "bundles"  # folder under OUT
LONGEST = 4000  # characters of a question, an answer or a choice
LONGEST_MEMORY = 20_000
DAY_NS = 24 * 3600 * 1_000_000_000


def take_in(
    place: Place, ledger: Ledger, out: Path, *, robots: tuple[str, ...], megabytes: float, progress: bool
) -> list[str]:
    """Take what is new, and return the errors of what could not be pulled now; the next pass tries again.

    robots: only theirs; empty: of all. megabytes: a larger bundle is passed over. Raises PlaceError where the
    exchange cannot be read at all.
    """
    new, errors = [], []
    for robot in robots or place.robots():
        # By robot: a bundle that another one names with the same id keeps nobody from sending his own.
        try:
            cards = place.bundles(robot, skip=ledger.ids(robot))
        except PlaceError as error:
            errors.append(f"bundles of {robot}: {error}")
            continue
        new += [card for card in cards if not ledger.knows(card.robot, card.sequence, card.id, card.sha256)]
    total = sum(card.bytes for card in new)
    with tqdm(
        total=total, desc="bundles", unit="B", unit_scale=True, disable=None if progress else True
    ) as bar:
        for card in new:
            try:
                _take(place, ledger, out, card, megabytes)
            except (OSError, MemoryError) as error:  # of the exchange or this machine, not of the bundle
                said = str(error) or "there is too little memory to look it through; make room"
                errors.append(f"bundle {card.stem} of {card.robot}: {said}")
            bar.update(card.bytes)
    return errors


def _take(place: Place, ledger: Ledger, out: Path, card: BundleCard, megabytes: float) -> None:
    key = (card.robot, card.sequence, card.id, card.sha256)
    if card.bytes > megabytes * 1e6:  # not refused for good: it is taken once the setting is raised
        told = f"it has {card.bytes / 1e6:.0f} MB and max_megabytes is {megabytes:g}; raise that to take it"
        ledger.decide_ever(card.robot, "passed over a bundle", f"{card.stem}: {told}")
        return
    folder = out / BUNDLES / card.robot
    folder.mkdir(parents=True, exist_ok=True)
    try:
        path = _pulled(place, card, folder)
        with Bundle.open(path) as bundle:
            _check_all(bundle, card)
            ledger.take(bundle, card.sha256, str(path.relative_to(out)))
    except (BundleError, PlaceDamaged) as error:
        ledger.refuse(*key, str(error))
        (folder / card.bundle_name).unlink(missing_ok=True)


def _pulled(place: Place, card: BundleCard, folder: Path) -> Path:
    try:
        return place.pull_bundle(card, folder)
    except PlaceDamaged:  # perhaps only on the way; what is refused never comes again
        return place.pull_bundle(card, folder)


def _check_all(bundle: Bundle, card: BundleCard) -> None:
    try:
        check(bundle, card)
    except (BundleError, OSError, MemoryError):  # the latter two may pass
        raise
    except Exception as error:  # such as lists in lists, deeper than Python reads: each night would end here
        raise BundleError(
            f"the bundle cannot be looked through ({type(error).__name__}: {error}); look at who sent it"
        ) from error


def check(bundle: Bundle, card: BundleCard) -> None:
    """Raise BundleError where a bundle is another than its card says, or holds what no robot writes."""
    about = bundle.manifest
    for name in ("robot", "store_id", "sequence", "id"):
        if getattr(about, name) != getattr(card, name):
            raise BundleError(
                f"the bundle says {name} {getattr(about, name)!r} and its card {getattr(card, name)!r}; "
                "send it again"
            )
    for fault in _faults(bundle):
        raise BundleError(f"{fault}; no robot writes that, so look at who sent it")


def _faults(bundle: Bundle) -> Iterator[str]:
    for task in bundle.tasks():
        yield from (f"task {task.id} has {fault}" for fault in _of_task(task))
    for one in bundle.feedback():
        if one.answer is not None and not _is_text(one.answer):
            yield f"feedback {one.id} has the answer {one.answer!r:.60}"
    for memory in bundle.memories():
        if not _is_text(memory.text, LONGEST_MEMORY):
            yield f"memory {memory.id} has the text {memory.text!r:.60}"
        if not _is_span(memory.start_ns, memory.end_ns):
            yield f"memory {memory.id} is of {memory.start_ns} to {memory.end_ns} ns"
    for clip in bundle.clips():
        stamps = [frame.stamp_ns for frame in clip.frames]
        what = f"the clip of camera {clip.camera!r:.60} at {clip.start_ns} ns"
        if not _is_span(clip.start_ns, clip.end_ns) or clip.start_ns == clip.end_ns:
            yield f"{what} ends at {clip.end_ns} ns"
        if not stamps:
            yield f"{what} has no frames"
        elif not clip.start_ns <= stamps[0] <= stamps[-1] < clip.end_ns:
            yield f"{what} has a frame of {max(stamps)} ns"
        if clip.decoded().frames[0].image.size == 0:  # raises BundleError for what is no picture
            yield f"{what} has an empty picture"


def _of_task(task: Task) -> Iterator[str]:
    if task.kind not in KINDS:
        yield f"the kind {task.kind!r:.60}"
    if task.status not in STATUSES:
        yield f"the status {task.status!r:.60}"
    if not _is_text(task.question):
        yield f"the question {task.question!r:.60}"
    for name in ("answer", "known_answer"):
        if (text := getattr(task, name)) is not None and not _is_text(text):
            yield f"the {name} {text!r:.60}"
    if any(not isinstance(choice, str) or not _is_text(choice) for choice in task.choices):
        yield f"the choices {task.choices!r:.60}"
    if any(type(number) is not int for number in task.evidence):
        yield f"the evidence {task.evidence!r:.60}"
    if task.asked_ns < 0 or any(time is not None and time < 0 for time in (task.since_ns, task.until_ns)):
        yield f"a time before 1970 (asked at {task.asked_ns} ns)"


def _is_text(text: str, longest: int = LONGEST) -> bool:
    return bool(text.strip()) and len(text) <= longest


def _is_span(start_ns: int, end_ns: int) -> bool:
    return 0 <= start_ns <= end_ns <= start_ns + DAY_NS
