"""Judging, checking, evaluating: what the line of workflow.py asks of a network besides building it."""
