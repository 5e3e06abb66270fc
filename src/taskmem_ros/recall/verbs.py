"""English verbs whose forms no stemmer joins: "take", "took" and "taken" are one word to people.

The stems of the word index know the regular ones. None of the installed libraries knows these, and those that
do (lemminflect, simplemma) bring megabytes for a list that ended growing centuries ago.
"""

from __future__ import annotations

from taskmem_ros.memory.words import Term

_IRREGULAR = """
become became|begin began begun|bend bent|bite bit bitten|blow blew blown|break broke broken|bring brought
build built|burn burnt|buy bought|catch caught|choose chose chosen|come came|cut|dig dug|draw drew drawn
drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen|feed fed|feel felt|fight fought|find found
fly flew flown|forget forgot forgotten|freeze froze frozen|get got gotten|give gave given|go went gone
grow grew grown|hang hung|have has had|hear heard|hide hid hidden|hit|hold held|hurt|keep kept|know knew known
lay laid|lead led|lean leant|leave left|lend lent|let|lie lay lain|light lit|lose lost|make made|mean meant
meet met|pay paid|put|read|ride rode ridden|ring rang rung|rise rose risen|run ran|say said|see saw seen
sell sold|send sent|set|shake shook shaken|shine shone|shut|sing sang sung|sink sank sunk|sit sat
sleep slept|slide slid|speak spoke spoken|spend spent|spill spilt|split|stand stood|steal stole stolen
stick stuck|sweep swept|swim swam swum|swing swung|take took taken|teach taught|tear tore torn|tell told
think thought|throw threw thrown|understand understood|wake woke woken|wear wore worn|win won|wind wound
wipe wiped|write wrote written"""
_VERBS = [tuple(verb.split()) for line in _IRREGULAR.split("\n") for verb in line.split("|") if verb]
_FORMS: dict[str, tuple[str, ...]] = {}
for _verb in _VERBS:
    for _form in _verb:
        _FORMS[_form] = tuple(dict.fromkeys((*_FORMS.get(_form, ()), *_verb)))
_ENDINGS = (("", ""), ("s", ""), ("es", ""), ("ing", ""), ("ing", "e"), ("ting", ""), ("ning", ""))
PAST = frozenset(form for verb in _VERBS for form in (verb[1:] or verb))


def forms(word: str) -> tuple[str, ...]:
    """The forms of a verb that a stemmer does not join, the word itself first: "took", "take", "taken"."""
    base = word.lower()
    for ending, instead in _ENDINGS:
        stem = base.removesuffix(ending) + instead if base.endswith(ending) else ""
        if stem in _FORMS:
            return tuple(dict.fromkeys((base, *_FORMS[stem])))
    return (base,)


def in_all_forms(term: Term) -> Term:
    """The term, found in any form of its verb too; a term that is no plain word stays as it is."""
    words = forms(term.text) if term.text.isalpha() else ()
    if len(words) < 2:
        return term
    return Term(term.text, f"({' OR '.join(f'{chr(34)}{word}{chr(34)}' for word in words)})", term.required)
