"""Three models for a board, side by side: python examples/three_models.py > table.md"""

from pathlib import Path

import tinygen

HERE, BOARD = Path(__file__).parent, "nucleo_f446re"
CALIB, TEST = HERE / "digits/digits_calib.npz", HERE / "digits/digits_test.npz"
digits = tinygen.load(HERE / "digits/digits.onnx")
smaller = tinygen.load(digits.compress(CALIB, prune=0.3, bits=4).onnx, name="digits_small")
sine = tinygen.load(HERE / "sine/sine.onnx")

print("| model | judged by | its file | in C | flash | RAM | ms |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |")
for model, calib, test in (
    (digits, CALIB, TEST),
    (smaller, CALIB, TEST),
    (sine, HERE / "sine/sine_calib.npz", HERE / "sine/sine_calib.npz"),
):
    small = model.quantize(calib)
    judged = small.evaluate(test).verdict.main
    built = small.build(BOARD)
    reference = 1.0 if judged.real is None else judged.real  # float agrees with itself
    print(f"| {model.name} | {judged.name} | {reference:.4f} | {judged.integer:.4f} ", end="")
    print(f"| {built.flash:,} | {built.ram:,} | {built.profile().milliseconds:.3f} |")
