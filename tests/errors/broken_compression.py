"""Cases: recipes, budgets and storages of compression."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.errors import models as m
from tests.errors.cases import DATA, MODEL, OUTPUT, TARGET, Case, Command, Place

RECIPE = 8
X = m.samples(40, 8)
LABELS = np.arange(40) % 2


def _compress(*more: str, x: np.ndarray = X, **arrays: np.ndarray) -> Callable[[Place], Command]:
    return lambda p: ("compress", str(p.model()), "--data", str(p.npz(x=x, **arrays)), "-o", str(p.out), *more)


def _recipe(text: str) -> Callable[[Place], Command]:
    return lambda p: (*_compress()(p), "--recipe", str(p.file("r.toml", text)))


def _fit(*more: str, board: str = "nucleo_f446re", **arrays: np.ndarray) -> Callable[[Place], Command]:
    return lambda p: (
        "fit", str(p.model()), "--board", board, "--data", str(p.npz(**{"x": X, **arrays})), "-o", str(p.out), *more,
    )  # fmt: skip


def _without_layers(p: Place) -> Command:
    return ("compress", str(p.model(m.one("Relu", dims=(1, 8)))), "--data", str(p.npz(x=X)), "-o", str(p.out),
            "--cluster", "8")  # fmt: skip


def _own_student(p: Place) -> Command:
    p.model(m.two_inputs(), "student.onnx")
    return (*_compress("--student", "student.onnx", "--epochs", "1")(p),)


def _tested_with_its_own(p: Place) -> Command:
    command = _compress("--cluster", "8")(p)
    return (*command, "--test", command[3])


def _onto_a_folder(p: Place) -> Command:
    p.out.mkdir()
    return _compress("--cluster", "8")(p)


def _below_a_file(p: Place) -> Command:
    return ("fit", str(p.model()), "--board", "nucleo_f446re", "--data", str(p.npz(x=X)), "-o", "net.onnx/out")


CASES = [
    Case("compress_nothing", _compress(), RECIPE, "no technique", "nothing to do", "--cluster"),
    Case("compress_data_missing", lambda p: (*_compress("--cluster", "8")(p)[:3], "no.npz", "-o", "o", "--rank", "0.5"),
         DATA, "no.npz", "does not exist", "Give a .npz"),
    Case("compress_nothing_to_judge_by", _compress("--cluster", "8", "--all-data"), DATA, "--all-data", "no --test",
         "Give both"),
    Case("compress_too_few", _compress("--cluster", "8", x=X[:6]), DATA, "data.npz", "found 6 samples",
         "at least 10 are needed"),
    Case("compress_label_beyond", _compress("--cluster", "8", y=LABELS + 30), DATA, "label 0 is 30", "data.npz",
         "allowed are the class numbers"),
    Case("compress_labels_of_no_shape", _compress("--cluster", "8", y=np.zeros((40, 3, 2))), DATA, "data.npz",
         "labels have shape (40, 3, 2)", "Leave y out"),
    Case("compress_labels_too_few", _compress("--cluster", "8", y=LABELS[:9]), DATA, "data.npz",
         "40 samples but 9 labels", "every sample needs one"),
    Case("compress_without_layers", _without_layers, RECIPE, '"net"', "no convolution and no dense layer",
         "tinygen build takes it"),
    Case("compress_test_is_data", _tested_with_its_own, DATA, "data.npz", "those of --data", "Give others"),
    Case("compress_onto_a_folder", _onto_a_folder, OUTPUT, "out", "is a folder", "name a file"),
    Case("compress_board", _compress("--cluster", "8", "--board", "nucleo_f446"), TARGET, '"nucleo_f446"', "no board",
         "Did you mean"),
    Case("compress_amount", _compress("--prune", "1.5"), RECIPE, "prune.amount", "found 1.5", "from 0 to below 1"),
    Case("compress_entries", _compress("--cluster", "10"), RECIPE, "cluster.entries", "found 10", "2, 4, 8, 16"),
    Case("compress_bits", _compress("--bits", "one"), RECIPE, "bits.weights", '"one"', '"mixed"'),
    Case("compress_pattern", _compress("--pattern", "3:4"), RECIPE, "sparsity.pattern", '"3:4"', '"1:4"'),
    Case("compress_student_words", _compress("--student", "thin", "--epochs", "1"), RECIPE, "student", '"thin"',
         "width=0.5"),
    Case("compress_student_untrained", _compress("--student", "width=0.5"), RECIPE, "student", "without training",
         "--epochs"),
    Case("compress_student_of_other_ports", _own_student, MODEL, "student.onnx", "inputs", "allowed are those"),
    Case("compress_epochs", _compress("--epochs", "0"), RECIPE, "epochs", "found 0", "allowed 1"),
    Case("recipe_missing", lambda p: (*_compress()(p), "--recipe", "no.toml"), RECIPE, "no.toml", "No such file",
         "cannot be read"),
    Case("recipe_no_toml", _recipe("[prune\n"), RECIPE, "r.toml", "is not TOML", "--save-recipe"),
    Case("recipe_unknown_key", _recipe("[prune]\namont = 0.5\n"), RECIPE, "prune.amont", "no such key",
         "Did you mean amount"),
    Case("recipe_unknown_layer", _recipe('[layers."conv9"]\nbits = 4\n'), RECIPE, 'layers."conv9"', "no such layer",
         "found"),
    Case("fit_size", _fit("--flash", "64Q"), RECIPE, "--flash", '"64Q"', "64K"),
    Case("fit_time", _fit("--time", "soon"), RECIPE, "--time", '"soon"', "30m"),
    Case("fit_flash_too_small", _fit("--flash", "100"), RECIPE, "--flash on nucleo_f446re", "100 bytes", "can fit"),
    Case("fit_ram_too_small", _fit("--ram", "100"), RECIPE, "--ram on nucleo_f446re", "100 bytes", "can fit"),
    Case("fit_accuracy", _fit("--min-accuracy", "90"), RECIPE, "--min-accuracy", "found 90", "above 0 to 1"),
    Case("fit_time_not_modelled", _fit("--ms", "5", board="nucleo_h743zi"), RECIPE, "nucleo_h743zi", "no cycle model",
         "Leave out --ms"),
    Case("fit_this_computer", _fit(board="native"), RECIPE, "native", "this computer", "tinygen boards"),
    Case("fit_techniques", _fit("--techniques", "prune,magic"), RECIPE, "--techniques", "found magic", "cluster"),
    Case("fit_only_training_techniques", _fit("--techniques", "student", "--epochs", "0"), RECIPE, "--techniques",
         "only student", "need training"),
    Case("fit_too_few", _fit(x=X[:3]), DATA, "data.npz", "found 3 samples", "at least 10"),
    Case("fit_storage_file", _fit("--storage", "trials.log"), OUTPUT, '"trials.log"', "allowed is the URL",
         "sqlite:///FILE"),
    Case("fit_storage_nowhere", _fit("--storage", "sqlite:////no/such/folder/x.db"), OUTPUT, "/no/such/folder/x.db",
         "unable to open", "in a folder that exists"),
    Case("fit_storage_unreachable", _fit("--storage", "nosuch://me:pass@127.0.0.1/x"), OUTPUT, "127.0.0.1",
         "storage", "that this computer reaches"),
    Case("fit_output_below_a_file", _below_a_file, OUTPUT, "net.onnx", "is a file", "another folder"),
]  # fmt: skip
