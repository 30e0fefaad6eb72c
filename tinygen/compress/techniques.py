"""All techniques, in the one order in which they make sense: structure first, then values, then training, scales last.

A new technique is a file with a `TECHNIQUE` and a line here: recipes, the pipeline, `tinygen compress` and the search
read nothing else.
"""

from __future__ import annotations

from typing import Any

from tinygen.compress.forms import activations, bits, cluster, sparsity
from tinygen.compress.repairs import ladder
from tinygen.compress.structure import prune, rank, student
from tinygen.compress.technique import Option, Section, Technique
from tinygen.compress.train import fine_tuning

TECHNIQUES: tuple[Technique[Any], ...] = (
    student.TECHNIQUE,  # the others work on the small network, not on the one that it takes the place of
    prune.TECHNIQUE,  # whole channels, before anything is decided about weights that may go
    rank.TECHNIQUE,  # layers become several, and lose masks and codebooks
    sparsity.TECHNIQUE,  # zeros move the other weights, which would leave a codebook
    cluster.TECHNIQUE,  # its codebook has a place for those zeros
    bits.TECHNIQUE,  # for layers without a codebook
    activations.TECHNIQUE,  # training passes through them
    fine_tuning.TECHNIQUE,  # under all of these
    ladder.TECHNIQUE,  # when nothing moves any more but roundings
)


def names() -> tuple[str, ...]:
    """Of the sections of a recipe."""
    return tuple(t.name for t in TECHNIQUES)


def first_options() -> tuple[Option, ...]:
    """The options that ask for a technique, one each."""
    return tuple(t.options[0] for t in TECHNIQUES if t.options)


def of(section: Section) -> Technique[Any]:
    """The technique whose settings these are; TypeError for an object that is none's."""
    for technique in TECHNIQUES:
        if type(section) is technique.settings:
            return technique
    known = ", ".join(t.settings.__name__ for t in TECHNIQUES)
    raise TypeError(f"found {type(section).__name__}, allowed are the settings of a technique: {known}")
