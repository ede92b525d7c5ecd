"""Methods × metrics over a data set, resumable, under a budget."""

from xattr.compare._agreement import agreement, disagreement
from xattr.compare._annotations import Annotated, Annotations
from xattr.compare._budget import BUDGETS, Budget, BudgetName
from xattr.compare._comparison import Comparison, maps_place, scores_place
from xattr.compare._cost import (
    Clock,
    Times,
    count_passes,
    measure_pace,
    predict_seconds,
)
from xattr.compare._execute import AGREEMENT, READING, open_scores, score
from xattr.compare._metrics import METRICS, MetricRow, Scene
from xattr.compare._reduced import reduced
from xattr.compare._results import (
    Estimate,
    Results,
    curves_csv,
    estimate,
    read_results,
    results_csv,
)
from xattr.compare._scoring import Scores, Scoring

__all__ = [
    "AGREEMENT",
    "BUDGETS",
    "METRICS",
    "Annotated",
    "Annotations",
    "Budget",
    "BudgetName",
    "Clock",
    "Comparison",
    "Estimate",
    "MetricRow",
    "READING",
    "Results",
    "Scene",
    "Scores",
    "Scoring",
    "Times",
    "agreement",
    "count_passes",
    "curves_csv",
    "disagreement",
    "estimate",
    "maps_place",
    "measure_pace",
    "open_scores",
    "predict_seconds",
    "read_results",
    "reduced",
    "results_csv",
    "score",
    "scores_place",
]
