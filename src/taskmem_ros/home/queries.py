"""What can be asked about the demo home: a form and what fills it, in words and back."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from taskmem_ros.home.things import COLOURS, DEVICES, KINDS, PEOPLE, ROOM_OF, ROOMS

SWITCHING = {"opened": "open", "closed": "closed", "switched on": "on", "switched off": "off"}
_WORDINGS = {
    "where_thing": ("Where is the {0}?", "Where did you last see the {0}?", "Where can I find the {0}?"),
    "where_person": ("Where is {0}?", "Where was {0}?", "Which room was {0} in?"),
    "who_in": ("Who was in the {0}?", "Who did you see in the {0}?"),
    "wears": ("What is {0} wearing?", "What was {0} wearing?", "Which clothes does {0} have on?"),
    "who_took": ("Who took the {0}?", "Who has taken the {0}?"),
    "who_put": ("Who put the {0} on the {1}?",),
    "who_switched": ("Who {0} the {1} in the {2}?",),
    "what_put": ("What did {0} put on the {1}?",),
    "what_carries": ("What is {0} carrying?", "What was {0} carrying?"),
    "what_did": ("What did {0} do in the {1}?", "What was {0} doing in the {1}?"),
    "state_open": ("Is the {0} in the {1} open or closed?", "Was the {0} in the {1} left open?"),
    "state_on": ("Is the {0} in the {1} on or off?", "Was the {0} in the {1} left on?"),
}
_KIND_OF = {
    "where_thing": "object",
    "where_person": "person",
    "who_in": "person",
    "wears": "clothes",
    "who_took": "event",
    "who_put": "event",
    "who_switched": "event",
    "what_put": "event",
    "what_carries": "event",
    "what_did": "event",
    "state_open": "state",
    "state_on": "state",
}
_PARTS = {
    "thing": f"(?:{'|'.join(COLOURS)}) (?:{'|'.join(KINDS)})",
    "person": "|".join(PEOPLE),
    "room": "|".join(ROOMS),
    "piece": "|".join(ROOM_OF),
    "device": "|".join(DEVICES),
    "verb": "|".join(SWITCHING),
}
_PARTS_OF = {  # what fills the wordings of a form
    "where_thing": ("thing",),
    "where_person": ("person",),
    "who_in": ("room",),
    "wears": ("person",),
    "who_took": ("thing",),
    "who_put": ("thing", "piece"),
    "who_switched": ("verb", "device", "room"),
    "what_put": ("person", "piece"),
    "what_carries": ("person",),
    "what_did": ("person", "room"),
    "state_open": ("device", "room"),
    "state_on": ("device", "room"),
}
_QUESTION_READINGS = tuple(
    (form, re.compile(words.replace("?", r"\?").format(*(f"({_PARTS[part]})" for part in _PARTS_OF[form]))))
    for form, wordings in _WORDINGS.items()
    for words in wordings
)


@dataclass(frozen=True)
class Query:
    """What is asked, apart from its words. form: a key of the wordings; about: what fills them."""

    form: str
    about: tuple[str, ...]

    @property
    def kind(self) -> str:
        """One of QUESTION_KINDS."""
        return _KIND_OF[self.form]

    def text(self, rng: random.Random | None = None) -> str:
        wordings = _WORDINGS[self.form]
        return (wordings[0] if rng is None else rng.choice(wordings)).format(*self.about)


def read_question(text: str) -> Query | None:
    """What a question's words ask, None when they are no wording of any form."""
    for form, reading in _QUESTION_READINGS:
        if found := reading.fullmatch(text.strip()):
            return Query(form, found.groups())
    return None
