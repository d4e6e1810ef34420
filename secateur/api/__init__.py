"""score, prune, Result: what users import."""

from secateur.api.prune import SCORED, MeasuredOnScoredExamples, prune
from secateur.api.result import Result
from secateur.api.score import Scores, score
from secateur.gated import weights_digest

__all__ = ["SCORED", "MeasuredOnScoredExamples", "Result", "Scores", "prune", "score", "weights_digest"]
