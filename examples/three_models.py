"""Three models for a board, side by side: python examples/three_models.py > table.md"""

from pathlib import Path

import tinygen

HERE, BOARD = Path(__file__).parent, "nucleo_f446re"
CALIB, TEST = HERE / "digits/digits_calib.npz", HERE / "digits/digits_test.npz"
digits = tinygen.load(HERE / "digits/digits.onnx")
smaller = tinygen.load(digits.compress(CALIB, prune=0.3, bits=4).onnx, name="digits_small")
sine = tinygen.load(HERE / "sine/sine.onnx")

print("| model | judged by | float | integers | flash | RAM | ms |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |")
for model, calib, test in (
    (digits, CALIB, TEST),
    (smaller, CALIB, TEST),
    (sine, HERE / "sine/sine_calib.npz", HERE / "sine/sine_calib.npz"),
):
    small = model.quantize(calib)
    judged = small.evaluate(test).verdict.main
    built = small.build(BOARD)
    row = (model.name, judged.name, judged.real or "", f"{judged.integer:.4f}", f"{built.flash:,}", f"{built.ram:,}")
    print("|", *(f"{cell} |" for cell in row), f"{built.profile().milliseconds:.3f} |")
