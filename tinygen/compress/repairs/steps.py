"""The steps of the ladder, by name. Light: the command line offers them without numpy."""

#: In the order in which they are tried; see ladder.py.
STEPS = ("equalise", "bias", "round", "wide")
