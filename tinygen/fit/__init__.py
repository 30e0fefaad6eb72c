"""The search for the compression that fits a board."""
