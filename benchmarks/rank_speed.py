"""Measure the ranking of a whole catalogue, and print one line of JSON: users per second and peak memory.

    python -m benchmarks.rank_speed --dataset ml-100k --source ml-100k.zip
    python -m benchmarks.rank_speed --rows 2000000 --items 27000 --users 14000 --top 100

The data are prepared as by `benchmarks.train_speed`. The model is not trained, because the work is the same. Every user
asks for a list at the end of the training ratings. Ratings of pairs are ranked as well, by the whole network, with
--score rating: this is what a model without a part of its own for lists has to do.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.prepare_speed import GIB, add_data, measure, parsed, peak_bytes
from widedeep.columns import TRAIN
from widedeep.errors import exit_on_user_error
from widedeep.features.tensors import load_features
from widedeep.models.build import build
from widedeep.params import load_params
from widedeep.scoring import rank


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rank_speed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_data(parser)
    parser.add_argument("--score", choices=("lists", "rating"), default="lists", help="what to rank by")
    parser.add_argument("--top", type=int, default=10, help="length of a list (default: 10)")
    parser.add_argument("--asked", type=int, default=1000, help="users who ask (default: 1000, or all if fewer)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    args = parsed(parser, arguments)
    torch.set_num_threads(args.threads)
    with exit_on_user_error(), tempfile.TemporaryDirectory(prefix="widedeep-") as folder:
        print(json.dumps(measured(args, Path(folder))))


def measured(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Prepare the data in the folder `work`, measure, and return the content of the line of JSON."""
    args.until = "featurize"
    args.set = [*(["train.objective=rating"] if args.score == "rating" else ()), *args.set]
    measure(args, work)
    recipe = load_params(work / "params.yaml").recipe
    features = load_features(work / "data/features", TRAIN)
    torch.manual_seed(0)
    model = build(features.spec, recipe.architecture).eval()
    model.fit(features)
    rows = features.splits[TRAIN]
    user = rows.user.unique()[: args.asked]
    asked_at = rows.timestamp.max().expand(len(user))
    seconds = []
    for _ in range(args.runs):
        start = time.perf_counter()
        rank({"ours": model}, features, user, asked_at, args.top)
        seconds.append(time.perf_counter() - start)
    return {
        "benchmark": "rank_speed",
        "dataset": args.dataset or "synthetic",
        "items": len(features.items),
        "users": len(user),
        "top": args.top,
        "score": args.score,
        "threads": args.threads,
        "rows_per_second": round(len(user) / statistics.median(seconds)),
        "seconds": round(statistics.median(seconds), 3),
        "peak_gib": round(peak_bytes(resource.getrusage(resource.RUSAGE_SELF)) / GIB, 3),
    }


if __name__ == "__main__":
    main()
