"""The studies as they are declared, and the paper's curves that come with them."""

from __future__ import annotations

import csv
import json
import pickle
from importlib.resources import files

import pytest

from secateur import zoo
from secateur.criteria.surrogate import Surrogate
from secateur.studies import STUDIES, paper
from secateur.studies.jobs import jobs_of
from secateur.studies.plan import PAPER
from secateur.studies.work import criterion


@pytest.fixture(scope="module")
def curves() -> set[tuple[str, str]]:
    with files("secateur.studies").joinpath("paper_curves.csv").open() as file:
        return {(row["figure"], row["method"]) for row in csv.DictReader(file)}


def test_every_curve_of_the_paper_is_drawn_over_one_of_ours(curves: set[tuple[str, str]]) -> None:
    used = {
        (name, PAPER[criterion])
        for study in STUDIES.values()
        for figure in study.figures
        for name in (figure.error, figure.accuracy)
        for criterion in study.criteria
        if name and criterion in PAPER
    }
    assert used == curves
    assert len(used) == 51


@pytest.mark.parametrize("name", STUDIES)
def test_declared_well(name: str) -> None:
    study = STUDIES[name]
    assert {condition.recipe for condition in study.conditions} <= set(zoo.RECIPES)
    labels = [condition.label for condition in study.conditions]
    assert len(set(labels)) == len(labels)
    assert set(study.gains) <= set(study.criteria)
    for full in (False, True):
        for job in jobs_of([study], full=full, seeds=2):
            assert pickle.loads(pickle.dumps(job)).path == job.path
    for chosen in study.criteria:
        assert callable(criterion(chosen, seed=0))
    assert study.mnist == any(zoo.RECIPES[condition.recipe].data == "mnist" for condition in study.conditions)


def test_figures_have_names_of_their_own() -> None:
    names = [name for study in STUDIES.values() for name in study.names]
    assert len(set(names)) == len(names)


def test_a_record_is_known_by_its_configuration() -> None:
    """The quick setting and the full one share a record where they differ in nothing but the number of networks."""
    jobs = [job for full in (False, True) for job in jobs_of(STUDIES.values(), full=full, seeds=2)]
    by_path = {job.path: json.dumps(job.configuration, sort_keys=True) for job in jobs}
    assert all(by_path[job.path] == json.dumps(job.configuration, sort_keys=True) for job in jobs)
    assert len(set(by_path.values())) == len(by_path)
    quick, full = (jobs_of([STUDIES["mnist-acc99"]], full=full, seeds=1)[0].path for full in (False, True))
    assert quick != full


def test_curves_start_after_one_removal_and_end_with_none_left() -> None:
    for figure, units in (("cos-small", 20), ("diamond-iterative-rerank-method", 100)):
        points = paper.curve(figure, "brute_force")
        assert [removed for removed, _ in points] == list(range(1, units + 1))
    assert paper.curve("cos-small", "third_order") == ()


def test_a_sharpness_in_the_name() -> None:
    found = criterion("taylor2_softplus(2.5)", seed=0)
    assert isinstance(found, Surrogate)
    assert found.sharpness == 2.5


def test_cosine_nets_reach_the_fit_that_is_wanted() -> None:
    """They did for one seed in four, until L-BFGS could see curvatures below 1e-10."""
    assert all(zoo.trained("cos-small", seed=seed, progress=False).record.reached for seed in range(6))
    assert zoo.trained("cos-big", progress=False).record.reached
