"""What is taken where nobody says, for whoever needs only that."""

#: The board whose figures are shown where none is asked for.
DEFAULT_BOARD = "nucleo_f446re"
