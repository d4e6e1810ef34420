"""Import strings, weights and data files: what fits is taken, the rest is told in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from secateur.cli.inputs import network
from secateur.cli.options import NetworkOptions

from .conftest import EXAMPLES, NETWORK, Call


def weights(folder: Path, **changes: torch.Tensor | None) -> Path:
    """The network's weights, all ones, changed."""
    shapes = {
        "0.weight": (6, 4),
        "0.bias": (6,),
        "3.weight": (5, 6),
        "3.bias": (5,),
        "5.weight": (3, 5),
        "5.bias": (3,),
    }
    tensors = {name: torch.ones(shape) for name, shape in shapes.items()} | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, folder / "w.safetensors")
    return folder / "w.safetensors"


def test_weights_are_loaded(call: Call, folder: Path) -> None:
    done = call("score", *EXAMPLES, "--weights", weights(folder), "--criterion", "magnitude", "--json")
    scores = {unit["unit"]: unit["score"] for unit in done.json["units"]}
    assert scores["0:0"] == pytest.approx(5**0.5)  # four weights and a bias of 1
    assert scores["3:0"] == pytest.approx(7**0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"3.bias": None}, "it lacks 3.bias"),
        ({"9.bias": torch.ones(2)}, "it has also 9.bias"),
        ({"3.bias": torch.ones(2)}, "3.bias (2,) instead of (5,)"),
    ],
)
def test_weights_that_do_not_fit(call: Call, folder: Path, changes: dict[str, torch.Tensor | None], said: str) -> None:
    done = call("score", *EXAMPLES, "--weights", weights(folder, **changes))
    assert done.code == 1
    assert said in done.err


def test_a_pickle_is_not_opened(call: Call, folder: Path) -> None:
    torch.save({"0.weight": torch.ones(6, 4)}, folder / "w.pt")
    done = call("score", *EXAMPLES, "--weights", "w.pt")
    assert done.code == 1
    assert "is a pickle" in done.err


def test_of_tied_tensors_one_name_is_enough(folder: Path) -> None:
    (folder / "tied.py").write_text(
        "from torch import nn\n\n\ndef network():\n    first, second = nn.Linear(4, 4), nn.Linear(4, 4)\n"
        "    second.weight = first.weight\n    return nn.Sequential(first, nn.ReLU(), second)\n"
    )
    save_file({"0.weight": torch.eye(4), "0.bias": torch.ones(4), "2.bias": torch.ones(4)}, folder / "w.safetensors")
    model = network(NetworkOptions(model="tied.py:network", weights=folder / "w.safetensors", data="none"))
    assert torch.equal(model.get_parameter("2.weight"), torch.eye(4))
    assert not model.training


def test_npz_in_float64_for_a_float32_network(call: Call) -> None:
    done = call("score", *NETWORK, "--data", "data.npz", "--json")
    assert done.code == 0, done.err
    assert len(done.json["units"]) == 11


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": np.zeros((2, 4))}, "holds images; expected x and y"),
        ({"x": np.array([{"run": "me"}], dtype=object)}, "allow_pickle"),
    ],
)
def test_npz_that_will_not_do(call: Call, folder: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    np.savez(folder / "bad.npz", **arrays)  # pyright: ignore[reportArgumentType]
    done = call("score", *NETWORK, "--data", "bad.npz")
    assert done.code == 1
    assert said in done.err


def test_a_file_that_is_no_npz(call: Call, folder: Path) -> None:
    (folder / "bad.npz").write_bytes(b"PK not really")
    done = call("score", *NETWORK, "--data", "bad.npz")
    assert done.code == 1
    assert "bad.npz" in done.err


def test_a_data_set_serves_for_ranking_and_validation(call: Call) -> None:
    where = ("--model", "secateur.zoo:mlp", "--data", "mnist20(flatten=True)", "--criterion", "magnitude")
    done = call("prune", *where, "--stop", "units(1)", "--json")
    assert done.code == 0, done.err
    assert done.json["configuration"]["examples"] == 5000
    assert done.json["configuration"]["validation"]["examples"] == 500


def test_a_network_fresh_from_its_class_is_put_into_evaluation_mode(call: Call) -> None:
    assert call("score", *EXAMPLES).code == 0  # its dropout would be refused


def test_a_module_of_the_working_directory(call: Call) -> None:
    assert call("score", "--model", "net:network", "--data", "net:examples").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--model", "net.py", "--data", "data.npz"), 2, "expected package.module:factory or file.py:factory"),
        (("--model", "net.py:netwrk", "--data", "data.npz"), 2, "Did you mean 'network'?"),
        (("--model", "absent.py:network", "--data", "data.npz"), 2, "there is no file absent.py"),
        (("--model", "absent.module:network", "--data", "data.npz"), 2, "there is no module 'absent'"),
        (("--model", "net.py:needs", "--data", "data.npz"), 2, "cannot be called without arguments"),
        (("--model", "net.py:number", "--data", "data.npz"), 2, "no function in net.py is called 'number'"),
        (("--model", "net.py:examples", "--data", "data.npz"), 2, "made a tuple; expected a torch.nn.Module"),
        ((*NETWORK, "--data", "mnist2"), 2, "or one of cosine"),
        ((*NETWORK, "--data", "mnist20(flatten="), 2, "cannot read the data set"),
        ((*NETWORK, "--data", "mnist20(flat=True)"), 2, "no option flat"),
        ((*NETWORK, "--data", "absent.npz"), 1, "absent.npz"),
        ((*EXAMPLES, "--criterion", "orakel"), 2, "Did you mean 'oracle'?"),
        ((*EXAMPLES, "--engine", "exakt"), 2, "Did you mean 'exact'?"),
        ((*EXAMPLES, "--loss", "ssee"), 2, "Did you mean 'sse'?"),
        ((*EXAMPLES, "--criterion", "random", "--engine", "exact"), 2, "has no engine"),
        ((*EXAMPLES, "--off", "half"), 2, "half"),
        ((*EXAMPLES, "--tyle", "3"), 2, "--tile"),
        ((*EXAMPLES, "--tile", "0"), 2, "expected a number of examples"),
        (NETWORK, 2, "--data"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(call: Call, words: tuple[str, ...], code: int, said: str) -> None:
    done = call("score", *words)
    assert done.code == code, done.err
    assert said in done.err
    told = [line for line in done.err.splitlines() if line != "a factory that talks"]
    assert len(told) == 1
    assert told[0].startswith("secateur: ")
    assert done.out == ""


def test_a_stop_that_is_none(call: Call) -> None:
    done = call("prune", *EXAMPLES, "--stop", "metric_drp(accuracy, 0.01)")
    assert done.code == 2
    assert "Did you mean 'metric_drop'?" in done.err


def test_an_error_in_the_users_file_is_told_and_debug_shows_where(call: Call, folder: Path) -> None:
    (folder / "broken.py").write_text("def network():\n    return 1 / 0\n")
    words = ("score", "--model", "broken.py:network", "--data", "data.npz")
    done = call(*words)
    assert done.code == 1
    assert "ZeroDivisionError" in done.err
    assert "Traceback" not in done.err
    assert 'broken.py", line 2' in call(*words, "--debug").err


def test_a_module_that_needs_another_is_not_taken_for_missing(call: Call, folder: Path) -> None:
    (folder / "needy.py").write_text("import no_such_library\n")
    done = call("score", "--model", "needy:network", "--data", "data.npz")
    assert done.code == 1
    assert "no_such_library" in done.err
