"""params.yaml as typed, immutable classes, one per section. That file explains meaning, unit and range of each key."""

from widedeep.params.data import Dataset, DownloadParams, FeaturizeParams, PreprocessParams
from widedeep.params.load import Params, changed, checked, load_params
from widedeep.params.nesting import Sections, dotted, merged, nested
from widedeep.params.results import CompareParams, DriftParams, EvaluateParams, Gate, ReportParams, liked_from
from widedeep.params.train import RankingParams, RatingParams, Recipe, TrainParams

__all__ = [
    "CompareParams",
    "Dataset",
    "DownloadParams",
    "DriftParams",
    "EvaluateParams",
    "FeaturizeParams",
    "Gate",
    "Params",
    "PreprocessParams",
    "RankingParams",
    "RatingParams",
    "Recipe",
    "ReportParams",
    "Sections",
    "TrainParams",
    "changed",
    "checked",
    "dotted",
    "liked_from",
    "load_params",
    "merged",
    "nested",
]
