"""tinygen.toml: what it may say, what goes before what, and what is said of everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project.support import TWO, place
from tinygen.emit.programs import Package
from tinygen.errors import ProjectError
from tinygen.flow.gates import Gates
from tinygen.project.file import find_project, read_project

MODEL = '[models.digits]\npath = "models/digits.onnx"\n'
BOARD = 'boards = ["nucleo_f446re"]\n'


def test_the_smallest(tmp_path: Path) -> None:
    p = read_project(place(tmp_path, BOARD + MODEL))
    (target,) = p.targets
    assert target.name == "digits/nucleo_f446re"
    assert target.folder == tmp_path / "build" / "digits" / "nucleo_f446re"
    assert (target.target.optimize, target.proof.cores, target.gates) == ("balanced", None, Gates())
    assert p.package == Package()
    assert p.lock == tmp_path / "tinygen.lock"
    (model,) = p.models
    assert (model.path, model.calibration.data, model.recipe) == (tmp_path / "models" / "digits.onnx", None, None)


def test_a_folder_is_its_project_file(tmp_path: Path) -> None:
    place(tmp_path)
    assert read_project(tmp_path) == read_project(tmp_path / "tinygen.toml")


def test_what_is_said_more_closely_goes_first(tmp_path: Path) -> None:
    text = """
boards = ["nucleo_f446re", "nucleo_g071rb"]
output = "out"
[options]
optimize = "speed"
verify = "none"
samples = 7
[limits]
max_flash = "64K"
max_ram = "8K"
max_loss = 1.5
[on.nucleo_g071rb]
optimize = "size"
limits = { max_ram = 4096 }
[models.a]
path = "models/digits.onnx"
data = "data/digits_calib.npz"
samples = 9
[models.b]
path = "models/digits.onnx"
data = "data/digits_calib.npz"
optimize = "balanced"
limits = { max_flash = "32K", max_loss = 0.5, min_accuracy = "90%" }
[models.b.on.nucleo_f446re]
optimize = "speed"
arena = "static"
limits = { max_ms = 3, max_flash = "1.5K" }
"""
    p = read_project(place(tmp_path, text))
    assert {t.name: t.target.optimize for t in p.targets} == {
        "a/nucleo_f446re": "speed",
        "a/nucleo_g071rb": "size",
        "b/nucleo_f446re": "speed",
        "b/nucleo_g071rb": "balanced",
    }
    limits = {t.name: (t.gates.max_flash, t.gates.max_ram, t.gates.max_ms) for t in p.targets}
    assert limits == {
        "a/nucleo_f446re": (65536, 8192, None),
        "a/nucleo_g071rb": (65536, 4096, None),
        "b/nucleo_f446re": (1536, 8192, 3.0),
        "b/nucleo_g071rb": (32768, 4096, None),
    }
    assert [t.target.library.static_arena for t in p.targets] == [False, False, True, False]
    assert [(m.calibration.samples, m.terms.gates) for m in p.models] == [
        (9, Gates(max_loss=0.015)),
        (7, Gates(min_accuracy=0.9, max_loss=0.005)),
    ]
    assert p.targets[0].folder == tmp_path / "out" / "a" / "nucleo_f446re"


def test_package(tmp_path: Path) -> None:
    text = '[package]\nname = "doorbell"\nversion = "1.4.0"\nlicence = "MIT"\nurl = "https://example.com"\n'
    found = read_project(place(tmp_path, BOARD + text + MODEL)).package
    assert found == Package(name="doorbell", version="1.4.0", licence="MIT", url="https://example.com")


def test_shapes_and_names(tmp_path: Path) -> None:
    text = BOARD + MODEL + 'name = "wake"\ninput_shapes = { "a.b" = [1, 3, 8, 8] }\n'
    (model,) = read_project(place(tmp_path, text)).models
    assert model.input_shapes == {"a.b": (1, 3, 8, 8)}
    assert (model.key, model.name) == ("digits", "wake")


def test_only(tmp_path: Path) -> None:
    p = read_project(place(tmp_path))
    assert p.only(()) == p
    assert [t.name for t in p.only(("sine", "digits/nucleo_g071rb")).targets] == [
        "digits/nucleo_g071rb",
        "sine/nucleo_f446re",
        "sine/nucleo_g071rb",
    ]
    with pytest.raises(ProjectError, match=r"no model or target sime; it has .*Did you mean sine"):
        p.only(("sime",))


def test_the_nearest_project_file(tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "src" / "app").mkdir(parents=True)
    assert find_project(tmp_path / "src" / "app") == tmp_path / "tinygen.toml"
    with pytest.raises(ProjectError, match=r"no tinygen.toml in .*tinygen new MODEL.*say which it is"):
        find_project(Path("/proc/self"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("boards = [", r"tinygen.toml is not TOML: .*docs/PROJECT.md"),
        ("board = []\n", r"board: no such key; allowed here: boards, .*Did you mean boards\?"),
        ("models = 3\n", r'models: found 3, allowed: a table: \[models\]'),
        (BOARD, r"models: no model. Add a table for each: \[models.NAME\]"),
        (MODEL, r'models.digits.boards: missing. Say which boards'),
        (BOARD + "[models.digits]\n", r"models.digits.path: missing"),
        (BOARD + '[models.digits]\npath = 5\n', r"models.digits.path: found 5, allowed: a text"),
        (BOARD + '[models.digits]\npath = "models/digit.onnx"\n', r'models.digits.path: no file "models/digit.onnx" .*'
                                                                  r'Did you mean digits.onnx'),
        (BOARD + '[models.digits]\npath = "models"\n', r'models.digits.path: "models" is a folder, allowed is a file'),
        (BOARD + MODEL + 'dta = "x"\n', r"models.digits.dta: no such key.*Did you mean data\?"),
        (BOARD + MODEL + 'data = "none.npz"\n', r'models.digits.data: no file "none.npz"'),
        (BOARD + MODEL + 'test = "data/digits_test.npz"\n', r"models.digits.test: found without data"),
        (BOARD + MODEL + 'data = "data/digits_test.npz"\nrecipe = "data/digits_test.npz"\n',
         r"models.digits.recipe: found without test"),
        ('boards = ["nucleo_f446er"]\n' + MODEL, r'boards: no board "nucleo_f446er" .*Did you mean nucleo_f446re'),
        ('boards = ["native", "native"]\n' + MODEL, r'boards: "native" stands there twice'),
        ("boards = []\n" + MODEL, "boards: found no board"),
        ("boards = [1]\n" + MODEL, r"boards: found \[1\], allowed: a list of texts"),
        (BOARD + "[options]\noptimise = 1\n" + MODEL, r"options.optimise: no such key.*Did you mean optimize\?"),
        (BOARD + '[options]\noptimize = "sped"\n' + MODEL, r'options.optimize: found "sped", allowed: "speed".*'
                                                          r'Did you mean speed\?'),
        (BOARD + '[options]\nplain_stack = "yes"\n' + MODEL, r'options.plain_stack: found "yes", allowed: true or fal'),
        (BOARD + "[options]\nsamples = true\n" + MODEL, r"options.samples: found true, allowed: a whole number, 1 or"),
        (BOARD + "[options]\nsamples = 0\n" + MODEL, r"options.samples: found 0, allowed: a whole number, 1 or more"),
        (BOARD + '[limits]\nmax_flash = "64 apples"\n' + MODEL, r'limits.max_flash: found "64 apples", allowed are by'),
        (BOARD + "[limits]\nmax_flash = 1.5\n" + MODEL, r"limits.max_flash: found 1.5, allowed: bytes"),
        (BOARD + "[limits]\nmax_ms = 0\n" + MODEL, r"limits.max_ms: found 0.0, allowed: a number above 0"),
        (BOARD + "[limits]\nmax_ms = inf\n" + MODEL, r"limits.max_ms: found Infinity, allowed"),
        (BOARD + "[limits]\nmin_accuracy = 0\n" + MODEL, r"limits.min_accuracy: found 0, allowed: a share"),
        (BOARD + '[limits]\nmin_accuracy = "high"\n' + MODEL, r'limits.min_accuracy: found "high", allowed: a share'),
        (BOARD + "[limits]\nmax_loss = 101\n" + MODEL, r"limits.max_loss: found 101, allowed: points of a hundred"),
        (BOARD + "[limits]\nmax_loss = 1\n" + MODEL, r"models.digits.data: missing, and its limits of accuracy"),
        (BOARD + "[on.nucleo_f446re]\nsamples = 3\n" + MODEL, r"on.nucleo_f446re.samples: is said of a model for all"),
        (BOARD + "[on.nucleo_f446re.limits]\nmax_loss = 3\n" + MODEL, r"on.nucleo_f446re.limits.max_loss: is said of"),
        (BOARD + '[on.native]\noptimize = "size"\n' + MODEL, r"on.native: no model is built for it; allowed: nucleo"),
        (BOARD + MODEL + '[models.digits.on.native]\noptimize = "size"\n', r"models.digits.on.native: digits is not"),
        (BOARD + '[models."a/b"]\npath = "x"\n', r'models."a/b": cannot be the name of a folder'),
        (BOARD + MODEL + 'name = "int"\n', r'models.digits.name: "int" cannot be a name in C. Take m_int'),
        (BOARD + MODEL + "input_shapes = { x = [1, 0] }\n", r"models.digits.input_shapes.x: found \[1, 0\], allowed"),
        (BOARD + '[package]\nname = "a*/b"\n' + MODEL, r"package.name: holds the begin or end of a comment"),
        (BOARD + '[package]\nname = "a\\nb"\n' + MODEL, r"package.name: found .*a text of one line"),
        (BOARD + '[package]\nurl = "example.com"\n' + MODEL, r'package.url: found "example.com", allowed: an address'),
        (BOARD + '[package]\nlicense = "MIT"\n' + MODEL, r"package.license: no such key.*Did you mean licence\?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, said: str, tmp_path: Path) -> None:
    file = place(tmp_path, text)
    with pytest.raises(ProjectError, match=said) as e:
        read_project(file)
    assert str(file) in str(e.value)
    assert e.value.exit_code == 8


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="cannot be read: No such file"):
        read_project(tmp_path / "tinygen.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(ProjectError, match=r"has 2,097,152 bytes; .* has at most"):
        read_project(tmp_path / "big.toml")
    (tmp_path / "latin.toml").write_bytes(b'a = "\xe9"')
    with pytest.raises(ProjectError, match="is not TOML"):
        read_project(tmp_path / "latin.toml")


def test_two_models_on_two_boards(tmp_path: Path) -> None:
    assert [t.name for t in read_project(place(tmp_path, TWO)).targets] == [
        f"{m}/{b}" for m in ("digits", "sine") for b in ("nucleo_f446re", "nucleo_g071rb")
    ]


def test_states_and_constants(tmp_path: Path) -> None:
    text = BOARD + MODEL + 'states = { h = "h_out" }\nconstants = { sr = 16000, k = [0.5, 1] }\n'
    (model,) = read_project(place(tmp_path, text)).models
    assert (model.states, model.constants) == ({"h": "h_out"}, {"sr": 16000, "k": [0.5, 1]})
    with pytest.raises(ProjectError, match=r"models.digits.constants.sr"):
        read_project(place(tmp_path, BOARD + MODEL + 'constants = { sr = "fast" }\n'))
