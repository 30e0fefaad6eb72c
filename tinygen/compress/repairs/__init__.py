"""What wins back the accuracy that rounding took, each step kept only where it helps."""
