"""score, prune, Result: what users import."""

from secateur.api.configuration import weights_digest
from secateur.api.prune import SCORED, MeasuredOnScoredExamples, prune
from secateur.api.result import Result
from secateur.api.score import Scores, score

__all__ = ["SCORED", "MeasuredOnScoredExamples", "Result", "Scores", "prune", "score", "weights_digest"]
