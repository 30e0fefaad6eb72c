"""Every method once, from a notebook's point of view; what each refuses, and that none prints."""

from __future__ import annotations

import copy
import json
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygen
from tests.api.support import BOARD, DIGITS, digits, model, net, small
from tests.report.schemas import problems, read
from tinygen.api.result import Result
from tinygen.errors import AccuracyError, DataError, OutputError, RecipeError, TargetError, VerifyError

TEST = DIGITS / "digits_test.npz"


@pytest.fixture(scope="module")
def built() -> tinygen.Build:
    """Proved on this computer."""
    return small().build(BOARD, verify="native")


@pytest.fixture
def quiet(capfd: pytest.CaptureFixture[str]) -> Any:
    """Nothing goes to standard output or standard error."""
    yield
    assert tuple(capfd.readouterr()) == ("", "")


#: The schema of each result's document, in docs/schemas.
SCHEMAS = {
    "Inspection": "inspect", "Quantised": "quantised", "Repairs": "quantize", "Evaluation": "eval-model",
    "FolderEvaluation": "eval-folder", "Build": "build", "Compressed": "compress",
}  # fmt: skip


# -- what results are ------------------------------------------------------------------------------------------------


def results(built: tinygen.Build) -> list[Any]:
    repairs = model().quantize(*digits(), repair="bias").repairs
    return [
        model(), model().inspect(), model().inspect(BOARD), small(), repairs, small().evaluate(*digits()), built,
        model().compress(*digits(), bits=4),
    ]  # fmt: skip


@pytest.mark.usefixtures("quiet")
def test_results_show_copy_and_pickle(built: tinygen.Build, tmp_path: Path) -> None:
    folder = built.save(tmp_path / "out")
    for r in [*results(built), folder, folder.evaluate(TEST), *tinygen.boards()[:2]]:
        assert repr(r).startswith(f"<{type(r).__name__} ")
        assert len(repr(r)) < 160
        assert "\n" not in repr(r)
        for again in (pickle.loads(pickle.dumps(r)), copy.deepcopy(r)):
            assert repr(again) == repr(r)
        if isinstance(r, Result):
            assert "<table" in r._repr_html_()
            assert len(str(r)) > len(repr(r))
            assert r.to_markdown().count("|") > 5
            assert not problems(SCHEMAS[type(r).__name__], read(json.dumps(r.to_dict())))
            assert all(isinstance(n, str) for n in r.notes)
            for t in r.tables():
                assert repr(t).startswith("<Table ")
                assert str(t) in str(r)
                assert t._repr_html_() in r._repr_html_()
    with pytest.raises(AttributeError):
        built.folder = Path()  # type: ignore[misc]


def test_errors_pickle() -> None:
    """As from the processes of a test run or a search."""
    for e in (DataError("a", {"b": 1}), tinygen.UnsupportedError("net", [("n", "Foo", "no such", "another")])):  # type: ignore[list-item]
        again = pickle.loads(pickle.dumps(e))
        assert (type(again), str(again), again.report) == (type(e), str(e), e.report)
    assert again.problems == e.problems


def test_threads_do_not_disturb_each_other() -> None:
    x, y = digits()
    expected, found = small().run(x), {}

    def work(i: int) -> None:
        q = model().quantize(x, y)
        found[i] = (np.array_equal(q.run(x), expected), q.build(BOARD, verify="native").proofs[0].outputs_sha256)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 3
    assert len(set(found.values())) == 1
    assert found[0][0]


# -- quantize, evaluate, inspect -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
def test_quantize() -> None:
    q = small()
    assert q.name == "digits"
    assert q.verdict is not None
    assert q.verdict.source == "40 samples held back"
    assert min(a.sqnr_db for a in q.layers) > 20.0
    assert q.repairs is None
    wide = model().quantize(*digits(), activations=["/stem/stem.0/Conv", "/ReduceMean"])
    assert wide.verdict is not None
    assert wide.verdict.precision == "mixed"
    few = model().quantize(*digits(), weights="4", repair=["bias"])
    assert few.repairs is not None
    assert few.verdict is not None
    assert few.verdict.source == "40 samples held back"
    assert few.evaluate(*digits()).verdict.reference == "float"  # not the file that repairs went through
    assert "accuracy unknown" in str(model().quantize())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"weights": 9}, "weights: found 9, allowed: 2, 3"),
        ({"weights": "some"}, "weights: found some"),
        ({"activations": 12, "repair": "all"}, "activations: found"),
        ({"repair": "equalize"}, 'no repair "equalize".*Did you mean equalise'),
        ({"repair": True}, 'no repair "True"'),
        ({"weights": "mixed", "max_loss_db": 0}, "max_loss_db: found 0"),
        ({"calibration": "max"}, 'no calibration method "max"'),
        ({"samples": 0}, "found 0, allowed 1 or more"),
        ({"min_accuracy": 90}, "min_accuracy: found 90, allowed is a share"),
        ({"min_sqnr": 99}, "`min_sqnr` asks for 99 dB"),
    ],
)
def test_quantize_refuses(asked: Any, said: str) -> None:
    with pytest.raises((RecipeError, DataError, AccuracyError), match=said):
        model().quantize(*digits(), **asked)


def test_without_samples_there_is_no_judgement() -> None:
    with pytest.raises(DataError, match="test judges a network that samples calibrate"):
        model().quantize(test=TEST)
    with pytest.raises(DataError, match="to choose bits or repairs by, samples are needed"):
        model().quantize(weights=4)
    with pytest.raises(DataError, match="judge on samples: give `x`"):
        model().quantize(min_accuracy=0.5)


@pytest.mark.usefixtures("quiet")
def test_evaluate() -> None:
    x, y = digits()
    found = small().evaluate(x, y, limit=10)
    assert found.verdict.samples == 10  # none of those that calibrated
    assert found.notes == ("160 of the 200 samples given also calibrate: they are left out of the verdict.",)
    assert found.check(tinygen.Gates(min_accuracy=0.9)) == []
    with pytest.raises(AccuracyError, match=r"digits, 10 samples given:\n.*`min_sqnr` asks for 99 dB"):
        found.check(tinygen.Gates(min_sqnr=99.0))
    for limit in (0, -1):
        with pytest.raises(DataError, match="limit on the number of samples"):
            small().evaluate(x, y, limit=limit)
        with pytest.raises(DataError, match="limit on the number of samples"):
            model().evaluate(x, y, limit=limit)
    judged = model().evaluate(TEST, calibrate=DIGITS / "digits_calib.npz")
    assert judged.verdict.samples == 360
    assert str(judged.layer_tables()[0]).count("\n") > 8


@pytest.mark.usefixtures("quiet")
def test_inspect() -> None:
    found = model().inspect(BOARD)
    assert (found.macs, found.parameters) == (28224, 1338)
    assert [b.board for b in found.boards] == [BOARD]
    assert found.detail is not None
    assert model().inspect().detail is None
    assert small().inspect(BOARD).macs == found.macs
    with pytest.raises(TargetError, match=r'no board "nucleo_f446".*Did you mean nucleo_f446re'):
        model().inspect("nucleo_f446")
    with pytest.raises(TargetError, match="board: found NoneType"):
        small().build(None)  # type: ignore[arg-type]


def test_to_onnx_goes_on_where_it_was() -> None:
    with pytest.raises(DataError, match='Quantise it with repair="none"'):
        small().to_onnx()
    q = model().quantize(*digits(), repair="none")
    again = tinygen.load(q.to_onnx()).quantize()
    np.testing.assert_array_equal(again.run(digits()[0]), q.run(digits()[0]))


# -- build and folders -----------------------------------------------------------------------------------------------


def test_build(built: tinygen.Build) -> None:
    assert (built.name, built.board.id, built.folder) == ("digits", BOARD, None)
    assert built.ram == built.arena + 74
    assert built.stack is None
    assert built.flash is None
    assert [p.core for p in built.proofs] == ["native"]
    assert not built.accuracy_unknown
    assert "lib/digits/src/digits.h" in built.files


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"optimize": "sise"}, 'optimize: found "sise".*Did you mean size'),
        ({"arena": "heap"}, 'arena: found "heap", allowed: caller, static'),
        ({"verify": "cortex-m5"}, 'verify: found "cortex-m5".*Did you mean cortex-m'),
        ({"verify": False}, 'verify: found "False"'),
        ({"sensors": "uint9"}, 'sensor "uint9": found no type'),
        ({"max_flash": 100}, "`max_flash` allows 100"),
        ({"max_ram": -1}, "max_ram: found -1, allowed are bytes above 0"),
        ({"max_ms": 0.001}, "`max_ms` allows 0.001"),
    ],
)
def test_build_refuses(asked: Any, said: str) -> None:
    with pytest.raises((TargetError, DataError, RecipeError), match=said):
        small().build(BOARD, **{"verify": "none", **asked})


def test_build_takes_one_sensor_or_several() -> None:
    one = small().build(BOARD, verify="none", sensors="uint8/16")
    assert one.files == small().build(BOARD, verify="none", sensors=["uint8/16"]).files
    assert b"uint8_t" in one.files["lib/digits/src/digits.h"]


def test_a_folder(built: tinygen.Build, tmp_path: Path) -> None:
    folder = built.save(tmp_path / "out")
    assert (folder.name, folder.library) == ("digits", tmp_path / "out/lib/digits/src")
    found = tinygen.open_build(str(tmp_path / "out"))
    assert found == folder
    np.testing.assert_array_equal(found.run(digits()[0][:9]), small().run(digits()[0][:9]))
    by_c, by_numpy = found.evaluate(TEST, model=DIGITS / "digits.onnx"), small().evaluate(TEST)
    pairs = zip(by_c.verdict.figures, by_numpy.verdict.figures, strict=True)
    assert all((a.real, a.integer) == (b.real, b.integer) for a, b in pairs)
    assert by_c.confusion is not None
    by_c.save_page(tmp_path / "page.html")
    assert "<table" in (tmp_path / "page.html").read_text()
    with pytest.raises(DataError, match=r"nothing to judge the integers by.*give `model`"):
        found.evaluate(digits()[0])
    with pytest.raises(TargetError, match="its kernels are not those for cortex-m0"):
        found.run(digits()[0], core="cortex-m0")


def test_an_edited_folder(built: tinygen.Build, tmp_path: Path) -> None:
    folder = built.save(tmp_path / "out")
    mine = "int main(void) { return 0; }\n"
    (folder.path / "src/main.c").write_text(mine)
    assert built.save(folder.path).changes is not None
    assert (folder.path / "src/main.c").read_text() == mine  # the user's to change
    source = folder.library / "digits.c"
    source.write_text(source.read_text() + "/* edited */\n")
    for question in (tinygen.open_build, built.save):
        with pytest.raises(OutputError, match=r"edited since.*lib/digits/src/digits.c"):
            question(folder.path)
    for ask in (folder.verify, folder.profile, lambda: folder.run(digits()[0])):
        with pytest.raises(OutputError, match="edited since they were proved"):
            ask()
    built.save(folder.path, force=True)
    assert tinygen.open_build(folder.path).name == "digits"


def test_no_folder(built: tinygen.Build, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for place in (tmp_path, tmp_path / "no", tmp_path / "thesis.tex"):
        with pytest.raises(OutputError):
            tinygen.open_build(place)
    with pytest.raises(OutputError, match=r"[cC]hoose another folder"):
        built.save(tmp_path)


@pytest.mark.usefixtures("quiet")
def test_a_build_goes_to_build_name(built: tinygen.Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert built.save().path == Path("build/digits")
    assert os.listdir() == ["build"]


@pytest.mark.usefixtures("quiet")
def test_build_verify_profile(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """All of it, on the emulated board, in one call each."""
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    seen: list[str] = []
    built = model().build(
        BOARD, tmp_path / "out", *digits(), gates=tinygen.Gates(min_accuracy=0.9, max_flash=32768),
        progress=lambda phase, done, total: seen.append(phase),
    )  # fmt: skip
    assert built.folder == tmp_path / "out"
    assert {"calibrating", "judging"} <= set(seen)
    assert [p.core for p in built.proofs] == ["native", "cortex-m4"]
    assert built.flash is not None
    assert 8192 < built.flash < 16384
    found = tinygen.open_build(tmp_path / "out").verify()
    assert found.ok
    found.check()
    assert repr(found).endswith("4 of 4 golden vectors passed>")
    profile = built.profile()
    assert profile.flash == built.flash
    assert profile.ram == built.ram
    assert profile.milliseconds is not None
    assert [p.name for p in profile.layers][-1] == "classifier_gemm"
    for r in (found, profile):
        assert pickle.loads(pickle.dumps(r)).to_dict() == r.to_dict()
    profile.save_page(tmp_path / "profile.html")
    with pytest.raises(RecipeError, match="repair: found 'all', allowed: auto, off"):
        model().build(BOARD, tmp_path / "out", *digits(), repair="all")


def test_a_failed_verification_says_so(tmp_path: Path) -> None:
    from tinygen.build.platformio import PioTest

    found = tinygen.Verification(tmp_path, PioTest(False, (), "the last words"))
    assert not found.ok
    with pytest.raises(VerifyError, match=r"golden vectors failed.\nthe last words"):
        found.check()


# -- compress, fit ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
def test_compress(tmp_path: Path) -> None:
    done = model().compress(*digits(), bits=4)
    assert done.recipe.describe() == "bits 4"
    same = model().compress(*digits(), recipe={"bits": {"weights": 4}})
    assert same.onnx == done.onnx
    done.save(tmp_path / "small.onnx")
    done.save_recipe(tmp_path / "recipe.toml")
    assert model().compress(*digits(), recipe=tmp_path / "recipe.toml").onnx == done.onnx
    assert done.after.weights < done.before.weights or done.changes
    q = tinygen.load(tmp_path / "small.onnx").quantize()
    assert q.run(digits()[0][:2]).shape == (2, 10)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "found no technique; allowed are"),
        ({"prun": 0.5}, "prun: no such key.*Did you mean prune"),
        ({"prune": 5}, "found 5, allowed is a share"),
        ({"bits": 40}, "bits.weights: found 40"),
        ({"recipe": "no.toml"}, "recipe no.toml cannot be read"),
        ({"bits": 4, "all_data": True}, "`all_data=True`: found no `test` samples"),
    ],
)
def test_compress_refuses(asked: Any, said: str) -> None:
    with pytest.raises((RecipeError, DataError), match=said):
        model().compress(*digits(), **asked)


@pytest.mark.usefixtures("quiet")
def test_fit(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """Arrays and a model from memory, for the processes of a search."""
    pytest.importorskip("optuna")
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    m = tinygen.load((DIGITS / "digits.onnx").read_bytes(), name="dig")
    found = m.fit(
        tinygen.boards()[tuple(b.id for b in tinygen.boards()).index(BOARD)], *digits(), output=tmp_path / "fitted",
        effort=tinygen.Effort(trials=2, points=1), training=None, techniques=["bits"],
    )  # fmt: skip
    found.check()
    (point,) = found.points
    assert (point.board, point.fits) == (BOARD, True)
    q = tinygen.load(point.onnx, name="dig").quantize()
    np.testing.assert_array_equal(point.build.run(digits()[0][:5]), q.run(digits()[0][:5]))
    assert pickle.loads(pickle.dumps(found)).to_dict() == found.to_dict()
    assert "\n" not in repr(found) + repr(point)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"boards": []}, "fit: found no board"),
        ({"boards": "nucleo"}, 'no board "nucleo"'),
        ({"techniques": ["bit"]}, "found bit, allowed.*Did you mean bits"),
        ({"limits": tinygen.Limits(quality=90)}, "`quality`: found 90"),
    ],
)
def test_fit_refuses(asked: Any, said: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    with pytest.raises((TargetError, RecipeError), match=said):
        model().fit(**{"boards": BOARD, "x": digits()[0], "output": tmp_path / "f", **asked})


def test_boards_and_operators() -> None:
    ids = [b.id for b in tinygen.boards()]
    assert BOARD in ids
    assert ids == sorted(ids)
    assert "Conv" in {o.onnx_name for o in tinygen.operators()}


def test_private_builds_tell_nothing() -> None:
    public = net("dense").build(BOARD, verify="none").files["lib/dense/src/dense.c"]
    private = net("dense").build(BOARD, verify="none", private=True).files["lib/dense/src/dense.c"]
    assert b"/gemm_" in public.lower() or b"Gemm" in public
    assert b"Gemm" not in private
