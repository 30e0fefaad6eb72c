"""Depthwise 3 x 3 convolutions on planes, made for one shape."""
