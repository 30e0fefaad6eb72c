"""The ways to estimate the range of an activation, by name. Light: the command line offers them without numpy."""

METHODS = ("minmax", "percentile", "entropy", "mse")
DEFAULT_METHOD = "mse"
#: So many samples calibrate, at most, unless somebody says otherwise.
CALIBRATION_SAMPLES = 200
