"""Calibration and test data of every model in ../shared/models, preprocessed and laid out as its ONNX input wants them.

Needs numpy alone. `python -m benchmarks.datasets` runs the float models in onnxruntime and compares with the published
figures. What is honest to know about the data:

- kws_dscnn: there is no labelled Speech Commands data. Real speech is here though (spoken digits at 8 kHz, whose band
  holds all that the front end's mel filters up to 4 kHz see, and four 16 kHz clips), so calibration and test inputs are
  MFCC computed from it as the reference training script does, besides MLPerf's own reference input. The networks
  hear the clips right (yes: "yes", no: "no", noise, silence; digits: "unknown" but for a few). As nearly all test
  inputs are "unknown", agreement says little there: look at the SQNR too.
- vww_mobilenetv1_025: four grey images replicated to three channels; the rest are CIFAR-10 images enlarged three times.
  Only one holds a person for the network: agreement says little here as well.
- sww_str_ww, ad01: the calibration samples are the test samples; there are no others.
- micro_speech: its audio front end is not rebuilt here; inputs are random and its scales come with the file.
- hello_world: x in [0, 2 pi], evenly for calibration, at random for the test.
"""

from __future__ import annotations

import math
import os
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Metric = Literal["accuracy", "mse", "auc", "iou", "agreement", "sqnr"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs are float32 (n, *ONNX input shape with its batch of 1), one array for each model input, real-valued even
    for the int8 files. Figures are models/README.md's, on test half "a"; None where it gives none.

    metric: accuracy of the argmax; mse between input and output, mean over samples (lower is better); auc of that mse
    against the labels; iou of the output above 0.5 with the masks; agreement (argmax) or sqnr with the float model
    where there are no labels.
    """

    calib: tuple[Array, ...]
    test: tuple[Array, ...]
    labels: Array | None
    metric: Metric
    float_reference: float | None = None
    ort_int8: float | None = None
    official_int8: float | None = None
    note: str = ""
    train: tuple[Array, Array | None] | None = None  # all there is to fit with: inputs, labels


def shared_dir() -> Path:
    """$TINYGEN_SHARED, or `shared` beside the checkout. FileNotFoundError if neither is there."""
    named = os.environ.get("TINYGEN_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "models").is_dir():
        raise FileNotFoundError(f"{folder} holds no models; set TINYGEN_SHARED to the folder with models/ and data/")
    return folder


def family(stem: str) -> str:
    """`ic_resnet8_tf_int8_qdq` -> `ic_resnet8`."""
    for name in sorted(FAMILIES, key=len, reverse=True):
        if stem == name or stem.startswith(f"{name}_"):
            return name
    raise KeyError(f"no dataset for model {stem}; known families: {', '.join(FAMILIES)}")


def dataset_for(model_file_stem: str) -> Dataset:
    """The data of a file of ../shared/models, by its name without `.onnx`, in that variant's layout."""
    name = family(model_file_stem)
    variant = model_file_stem[len(name) :]
    channels_last = "_tf" in variant and "nchw" not in variant
    return FAMILIES[name](channels_last)


# -- parts -----------------------------------------------------------------------------------------------------------


@cache
def _npz(name: str) -> dict[str, Array]:
    with np.load(shared_dir() / "data" / f"{name}.npz", allow_pickle=False) as z:
        arrays = {key: np.asarray(z[key]) for key in z.files}
    for a in arrays.values():
        a.setflags(write=False)
    return arrays


def _f32(x: Array) -> Array:
    return np.ascontiguousarray(x, dtype=np.float32)


def _image(x: Array, channels_last: bool) -> Array:
    """(n, h, w, c) to (n, 1, h, w, c) or (n, 1, c, h, w)."""
    return _f32((x if channels_last else x.transpose(0, 3, 1, 2))[:, None])


def _grey(train_name: str, test_name: str, float_acc: float, ort_acc: float | None = None) -> Callable[[bool], Dataset]:
    """Labelled grey images."""

    def make(channels_last: bool) -> Dataset:
        train, test = _npz(train_name), _npz(test_name)
        fit, x = (_image(_f32(a[..., None]) / 255, channels_last) for a in (train["x"], test["x"]))
        return Dataset(
            (fit[:200],), (x,), test["y"], "accuracy", float_acc, ort_acc, train=(fit, train["y"])
        )  # fmt: skip

    return make


def _fashion(float_acc: float, ort_acc: float) -> Callable[[bool], Dataset]:
    return _grey("fashion_mnist_train20k", "fashion_mnist_test_a", float_acc, ort_acc)


def _cifar(
    divisor: float, float_acc: float, ort_acc: float, official: float | None = None
) -> Callable[[bool], Dataset]:
    def make(channels_last: bool) -> Dataset:
        train, test = _npz("cifar10_calib1k"), _npz("cifar10_test_a")
        fit, x = (_image(_f32(a) / np.float32(divisor), channels_last) for a in (train["x"], test["x"]))
        return Dataset(
            (fit[:200],), (x,), test["y"], "accuracy", float_acc, ort_acc, official, train=(fit, train["y"])
        )  # fmt: skip

    return make


def _imu(channels_first: bool, float_acc: float, ort_acc: float) -> Callable[[bool], Dataset]:
    def make(_: bool) -> Dataset:
        train, test = _npz("imu_nicla_train"), _npz("imu_nicla_test_a")

        def prepare(x: Array) -> Array:
            z = (x - train["mean"]) / train["std"]
            return _f32((z.transpose(0, 2, 1) if channels_first else z)[:, None])

        fit = prepare(train["x"])
        return Dataset(
            (fit[:200],), (prepare(test["x"]),), test["y"], "accuracy", float_acc, ort_acc, train=(fit, train["y"])
        )  # fmt: skip

    return make


def _fsdd(float_acc: float, ort_acc: float) -> Callable[[bool], Dataset]:
    def make(channels_last: bool) -> Dataset:
        train, test = _npz("fsdd_mfcc_train"), _npz("fsdd_mfcc_test_a")
        fit, x = (
            _image(((a - train["mean"]) / train["std"])[..., None], channels_last) for a in (train["x"], test["x"])
        )
        return Dataset(
            (fit[:200],), (x,), test["y"], "accuracy", float_acc, ort_acc, train=(fit, train["y"])
        )  # fmt: skip

    return make


def _ecg(metric: Metric, float_value: float, ort_value: float) -> Callable[[bool], Dataset]:
    def make(_: bool) -> Dataset:
        train, test = _npz("ecg5000_train300"), _npz("ecg5000_test_a")
        fit, x = (_f32(a[:, None, None, :]) for a in (train["x"], test["x"]))
        return Dataset(
            (fit[:200],), (x,), test["y"], metric, float_value, ort_value, train=(fit, train["y"])
        )  # fmt: skip

    return make


def _seg(channels_last: bool) -> Dataset:
    train, test = _npz("seg_fashion_calib"), _npz("seg_fashion_test_a")
    calib, x = (_image(_f32(a[..., None]) / 255, channels_last) for a in (train["x"], test["x"]))
    return Dataset((calib,), (x,), test["mask"], "iou", 0.8889, 0.8894)


def _ad01(_: bool) -> Dataset:
    x = _f32(_npz("mlperf_ad01_windows_a")["x"][:, None])
    return Dataset(
        (x,), (x,), None, "mse", 9.455, 9.591, 10.242, "the 26 test windows are also the calibration data"
    )  # fmt: skip


def _sww(channels_last: bool) -> Dataset:
    data = _npz("mlperf_sww_a")  # (30, 30, 1, 40)
    x = _f32(data["x"][:, None] if channels_last else data["x"][:, :, 0, :].transpose(0, 2, 1)[:, None])
    return Dataset(
        (x,), (x,), data["y"], "accuracy", 0.8667, None, 0.8667, "the 30 test samples are also the calibration data"
    )  # fmt: skip


def _vww(channels_last: bool) -> Dataset:
    grey = np.repeat(_npz("mlperf_vww_images")["x"][..., None], 3, axis=3)

    def with_cifar(small: Array) -> Array:
        large = small.repeat(3, axis=1).repeat(3, axis=2)
        return _image(_f32(np.concatenate([grey, large])) / 255, channels_last)

    return Dataset(
        (with_cifar(_npz("cifar10_calib1k")["x"][:196]),),
        (with_cifar(_npz("cifar10_test_a")["x"][:196]),),
        None,
        "agreement",
        note="no labels; 4 grey photographs (in both sets) and 196 CIFAR-10 images enlarged 3 times",
    )


def _hello(_: bool) -> Dataset:
    calib = np.linspace(0.0, 2 * np.pi, 200)
    test = np.random.default_rng(1).uniform(0.0, 2 * np.pi, 200)
    return Dataset((_f32(calib.reshape(-1, 1, 1)),), (_f32(test.reshape(-1, 1, 1)),), None, "sqnr", note="y ~ sin(x)")


def _micro_speech(_: bool) -> Dataset:
    # What its int8 input can hold: scale 0.101716, zero point -128.
    rng = np.random.default_rng(2)
    calib, test = (_f32(rng.uniform(0.0, 255 * 0.101716, (n, 1, 1960))) for n in (100, 100))
    return Dataset((calib,), (test,), None, "agreement", note="random inputs, as in models/README.md")


# -- the keyword spotter's front end ---------------------------------------------------------------------------------

_RATE, _FRAME, _HOP, _FFT, _MELS, _COEFFICIENTS = 16000, 480, 320, 512, 40, 10


@cache
def _mel_filters() -> Array:
    """(257, 40) triangles in mel from 20 to 4000 Hz; the bin of frequency 0 stays out."""

    def mel(hz: Array) -> Array:
        return np.asarray(1127.0 * np.log1p(hz / 700.0))

    bins = mel(np.arange(_FFT // 2 + 1) * (_RATE / _FFT))[:, None]
    lowest, highest = mel(np.array([20.0, 4000.0]))
    corners = np.linspace(lowest, highest, _MELS + 2)
    low, mid, high = corners[:-2], corners[1:-1], corners[2:]
    filters = np.maximum(0.0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
    filters[0] = 0.0
    return np.asarray(filters)


def kws_mfcc(audio: Array) -> Array:
    """(16000,) samples at 16 kHz to (49, 10): the keyword spotter's MFCC, of audio scaled to a maximum of 1."""
    x = audio.astype(np.float64) / max(1.0, float(audio.max()))
    frames = np.lib.stride_tricks.sliding_window_view(x, _FRAME)[::_HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)
    spectrum = np.abs(np.fft.rfft(frames * window, _FFT))
    log_mel = np.log(spectrum @ _mel_filters() + 1e-6)
    k, n = np.arange(_COEFFICIENTS)[:, None], np.arange(_MELS)
    dct = np.sqrt(2.0 / _MELS) * np.cos(np.pi * k * (2 * n + 1) / (2 * _MELS))
    return _f32(log_mel @ dct.T)


def _clip(name: str) -> Array:
    with wave.open(str(shared_dir() / "data" / "wav" / f"{name}_1000ms.wav")) as w:
        x = np.frombuffer(w.readframes(w.getnframes()), dtype="<i2")
    return np.pad(x[:_RATE], (0, max(0, _RATE - len(x))))


def _double_rate(x: Array) -> Array:
    """8 to 16 kHz by zero-padding the spectrum."""
    spectrum = np.fft.rfft(x)
    return np.asarray(np.fft.irfft(np.pad(spectrum, (0, len(x) // 2)), 2 * len(x)) * 2.0)


@cache
def _kws_inputs() -> tuple[Array, Array]:
    """(calibration, test), each (n, 49, 10)."""
    rng = np.random.default_rng(3)
    speech = [_double_rate(x) for x in _npz("fsdd_pcm_test_a100")["pcm"]]
    clips = [_clip(name).astype(np.float64) for name in ("yes", "no", "noise", "silence")]

    def vary(x: Array) -> Array:
        """Shifted by up to 100 ms, in background noise up to 10 % of full scale: the training script's augmentation."""
        top = max(1.0, float(np.abs(x).max()))
        shifted = np.roll(x, int(rng.integers(-1600, 1601)))
        return np.asarray(shifted + rng.normal(0.0, top * rng.uniform(0.0, 0.1) / 3.0, x.shape))

    reference = _npz("mlperf_kws_input")["x"][0, :, :, 0]
    calib = [reference, *(kws_mfcc(x) for x in clips), *(kws_mfcc(vary(x)) for x in clips for _ in range(10))]
    calib += [kws_mfcc(x) for x in speech[:50]] + [kws_mfcc(vary(x)) for x in speech[:50]]
    test = [reference, *(kws_mfcc(x) for x in clips)]
    test += [kws_mfcc(x) for x in speech[50:]] + [kws_mfcc(vary(x)) for x in speech[50:]]
    return np.stack(calib), np.stack(test)


def _kws(channels_last: bool) -> Dataset:
    calib, test = (_image(x[..., None], channels_last) for x in _kws_inputs())
    note = "no labels; MFCC of spoken digits and of four 16 kHz clips by the training script's front end"
    return Dataset((calib,), (test,), None, "agreement", note=note)


FAMILIES: dict[str, Callable[[bool], Dataset]] = {
    "fm_lenet_bn": _fashion(0.9110, 0.9098),
    "fm_dscnn": _fashion(0.9088, 0.9066),
    "fm_mlp_teacher": _fashion(0.8988, 0.8984),
    "fm_cnn_teacher": _fashion(0.9176, 0.9174),
    "lenet5_mnist": _grey("mnist_train60k", "mnist_test_a", 0.9944),  # half a; the README gives both: 0.9934
    "imu_cnn1d": _imu(True, 1.0, 1.0),
    "imu_lstm": _imu(False, 1.0, 1.0),
    "fsdd_dscnn": _fsdd(0.9933, 0.9933),
    "fsdd_gru": _fsdd(0.9800, 0.9800),
    "fsdd_tenc": _fsdd(0.9900, 0.9900),
    "cifar_mbv3tiny": _cifar(255.0, 0.6713, 0.6700),
    "ecg_ae": _ecg("auc", 0.9996, 0.9996),
    "ecg_cnn": _ecg("accuracy", 1.0, 1.0),
    "seg_fcn": _seg,
    "ad01": _ad01,
    "ic_resnet8": _cifar(1.0, 0.8673, 0.8650, 0.8660),
    "kws_dscnn": _kws,
    "vww_mobilenetv1_025": _vww,
    "sww_str_ww": _sww,
    "hello_world": _hello,
    "micro_speech": _micro_speech,
}
#: Recurrent and attention models.
SEQUENCES = ("imu_lstm", "fsdd_gru", "fsdd_tenc")


def score(dataset: Dataset, outputs: Array, float_outputs: Array | None = None) -> float:
    """The dataset's metric of `outputs` (n, ...); agreement and sqnr compare with `float_outputs`."""
    from tinygen.calibrate import metrics

    if dataset.metric == "mse":
        return metrics.mse(dataset.test[0], outputs)
    if dataset.metric in ("agreement", "sqnr"):
        if float_outputs is None:
            raise ValueError(f"{dataset.metric} needs the float model's outputs")
        compare = metrics.agreement if dataset.metric == "agreement" else metrics.sqnr_db
        return compare(float_outputs, outputs)
    assert dataset.labels is not None
    if dataset.metric == "auc":
        return metrics.auc(metrics.sample_mse(dataset.test[0], outputs), dataset.labels)
    return (metrics.iou if dataset.metric == "iou" else metrics.accuracy)(outputs, dataset.labels)


def run_onnx(path: Path, inputs: Array) -> Array:
    """Outputs (n, ...) of a model of ../shared/models in onnxruntime; int8 inputs and outputs are converted."""
    import onnx
    import onnxruntime as ort

    model = onnx.load(path)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    source, target = session.get_inputs()[0], session.get_outputs()[0]
    quant = {}
    if source.type == "tensor(int8)":
        init = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        makers = {o: n for n in model.graph.node for o in n.output}
        moved = {source.name}
        for n in model.graph.node:
            if moved & set(n.input[:1]):
                if n.op_type == "DequantizeLinear":
                    quant["in"] = init[n.input[1]], init[n.input[2]]
                    break
                moved |= set(n.output)
        node = makers[target.name]
        while node.op_type != "QuantizeLinear":
            node = makers[node.input[0]]
        quant["out"] = init[node.input[1]], init[node.input[2]]
    results = []
    for x in inputs:
        if quant:
            scale, zp = quant["in"]
            x = np.clip(np.rint(x / scale) + zp, -128, 127).astype(np.int8)
        y = session.run(None, {source.name: x})[0]
        if quant:
            scale, zp = quant["out"]
            y = (y.astype(np.float32) - zp) * scale
        results.append(y)
    return np.stack(results)


def main() -> int:
    """Every model in onnxruntime beside the published figure; exit code 1 if one is off by more than its last digit."""
    from tinygen.calibrate.metrics import sqnr_db

    wrong = 0
    print(f"{'model':32}{'metric':10}{'published':>10}{'measured':>10}{'SQNR dB':>9}  samples")
    for path in sorted((shared_dir() / "models").glob("*.onnx")):
        name, int8 = family(path.stem), "int8" in path.stem
        data = dataset_for(path.stem)
        y = run_onnx(path, data.test[0])
        # The float file of the same layout and, for kws_dscnn, of the same training run.
        twin = path.with_name(path.name.replace("int8_qdq", "keras" if name == "sww_str_ww" else "tflite"))
        reference = None if not twin.exists() else y if twin == path else run_onnx(twin, data.test[0])
        measured = score(data, y, reference) if data.labels is not None or reference is not None else math.nan
        published = data.official_int8 if int8 else data.float_reference
        digits = 3 if data.metric == "mse" else 4
        if path.stem == "ad01_tf_tflite":
            published = None  # lacks biases, says models/README.md: the figure is for the others
        off = published is not None and abs(measured - published) > 0.6 * 10**-digits
        wrong += off
        shown = "-" if published is None else f"{published:.{digits}f}"
        noise = "-" if reference is None or reference is y else f"{sqnr_db(reference, y):.1f}"
        got = (
            "-"
            if (reference is y or reference is None) and data.metric in ("agreement", "sqnr")
            else f"{measured:.{digits}f}"
        )
        print(f"{path.stem:32}{data.metric:10}{shown:>10}{got:>10}{noise:>9}  {len(y)}{'  OFF' if off else ''}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
