"""Stage evaluate: score the test rows by the trained model and the baselines, and compute the metrics."""

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from widedeep.columns import TEST, TRAIN, VALIDATION
from widedeep.errors import exit_on_user_error
from widedeep.evaluation.background import Background
from widedeep.evaluation.files import PREDICTIONS, RECOMMENDATIONS, save
from widedeep.evaluation.judge import judge, save_evaluation
from widedeep.evaluation.metrics import list_length
from widedeep.evaluation.results import flatten, missing_sentences, select_headline
from widedeep.features.tensors import load_features
from widedeep.files import replacing, write_json
from widedeep.models.bundle import load_model
from widedeep.models.ease import MAX_ITEMS
from widedeep.models.files import WEIGHTS
from widedeep.params import load_params
from widedeep.score_tables import score_tables, with_baselines
from widedeep.tracking import log_metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True)
    for name in ("tables", "features", "model", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    args = parser.parse_args()

    params = load_params(args.params).evaluate
    features = load_features(args.features, TRAIN, VALIDATION, TEST)
    about, model = load_model(args.model)
    models = with_baselines(features, about.architecture.model, model)
    if len(features.items) > MAX_ITEMS:
        print(
            f"EASE is not among the baselines: it needs a weight for each pair of items, and {len(features.items):,} "
            f"items are more than {MAX_ITEMS:,}."
        )
    features = replace(features, splits={TEST: features.splits[TEST]})  # the others take memory and are not needed now
    predictions, recommendations, by_penalty = score_tables(features, models, params)
    dataset = features.spec.dataset
    del features, models, model
    evaluation = judge(predictions, recommendations, Background.load(args.tables), params, by_penalty)
    results = evaluation.results, evaluation.model, list_length(params.ks)
    with ExitStack() as outputs:  # renamed together, after all are written
        save(predictions, outputs.enter_context(replacing(args.out / PREDICTIONS)))
        save(recommendations, outputs.enter_context(replacing(args.out / RECOMMENDATIONS)))
        save_evaluation(evaluation, args.out, outputs)
        write_json(outputs.enter_context(replacing(args.out / "headline.json")), select_headline(*results))
    for sentence in missing_sentences(evaluation.missing):
        print(sentence)
    log_metrics(dataset, args.model / WEIGHTS, flatten(*results))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
