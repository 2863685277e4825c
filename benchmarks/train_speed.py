"""Measure training, and print one line of JSON: rows per second, seconds of an epoch, and peak memory.

    python -m benchmarks.train_speed --dataset ml-100k --source ml-100k.zip --features lean --beside bare
    python -m benchmarks.train_speed --rows 2000000 --batch-size 8192

The ratings are synthetic (`benchmarks.synthetic`), or the files of a data set (--dataset and --source). An epoch is one
of `widedeep.training.fit`, without validation: it includes all that the pipeline does between two epochs, such as
writing a checkpoint. The first epoch only warms up. The figures are medians of the others.

--features default: the features and tasks of params.yaml. lean: ids and demographics, genres and year, without crosses,
histories, hidden ids, dropout and lists.

--beside bare runs, in turns with each epoch, an epoch of the shortest PyTorch loop for the same layers on the
categories alone, and prints how many times as fast ours is.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.prepare_speed import GIB, add_data, measure, parsed, peak_bytes
from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import exit_on_user_error
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.params import Recipe, load_params
from widedeep.training.callbacks import Row
from widedeep.training.fit import fit

LEAN = (
    "featurize.crosses=[]",
    "featurize.recent=[]",
    "train.objective=rating",
    "train.rating.unseen_rate=0",
    "models.wide_deep.history=false",
    "models.wide_deep.dropout=0",
)


class Bare(nn.Module):
    """Wide & Deep on categories, as short as it can be written."""

    def __init__(self, cardinalities: Sequence[int], size: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.wide = nn.ModuleList(nn.Embedding(count, 1) for count in cardinalities)
        self.deep = nn.ModuleList(nn.Embedding(count, size) for count in cardinalities)
        widths = [len(cardinalities) * size, *hidden]
        layers = [(nn.Linear(before, width), nn.ReLU()) for before, width in zip(widths, hidden, strict=False)]
        self.mlp = nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(widths[-1], 1))

    def forward(self, fields: Tensor) -> Tensor:  # (B, F) -> (B,)
        columns = fields.unbind(1)
        wide = sum(table(column) for table, column in zip(self.wide, columns, strict=True))
        deep = torch.cat([table(column) for table, column in zip(self.deep, columns, strict=True)], 1)
        score: Tensor = (wide + self.mlp(deep))[:, 0]
        return score


class BareLoop:
    """Epochs of `Bare`. The rows are tensors in memory, permuted in each epoch."""

    def __init__(self, features: FeatureSet, recipe: Recipe) -> None:
        rows, config = features.splits[TRAIN], recipe.config.model_dump()
        users, items = features.users.categories, features.items.categories
        self.fields = torch.cat([users[rows.user], items[rows.item]], 1)
        self.rating, self.batch_size = rows.rating, recipe.train.batch_size
        counts = [int(column.max()) + 1 for column in (*users.T, *items.T)]
        self.model = Bare(counts, config["embedding_size"], config["hidden"])
        kind = {"adamw": torch.optim.Adam, "adagrad": torch.optim.Adagrad}[recipe.train.optimizer]
        self.optimizer = kind(self.model.parameters(), lr=recipe.train.learning_rate)

    def epoch(self) -> float:
        """Return the seconds of an epoch."""
        start = time.perf_counter()
        for batch in torch.randperm(len(self.fields)).split(self.batch_size):
            self.optimizer.zero_grad()
            loss = nn.functional.mse_loss(self.model(self.fields[batch]), self.rating[batch])
            loss.backward()
            self.optimizer.step()
        return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_speed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_data(parser)
    parser.add_argument("--features", choices=("default", "lean"), default="default")
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--embedding-size", type=int, default=32)
    parser.add_argument("--hidden", default="128,64", help="units of the hidden layers (default: 128,64)")
    parser.add_argument("--optimizer", choices=("adam", "adagrad"), default="adam", help="adam is AdamW in ours")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5, help="epochs to measure")
    parser.add_argument("--beside", choices=("bare",), help="another implementation to run in turns")
    args = parsed(parser, arguments)
    torch.set_num_threads(args.threads)
    with exit_on_user_error(), tempfile.TemporaryDirectory(prefix="widedeep-") as folder:
        print(json.dumps(compare(args, Path(folder))))


def compare(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Prepare the data in the folder `work`, measure, and return the content of the line of JSON."""
    knobs = [
        f"train.batch_size={args.batch_size}",
        f"train.epochs={args.epochs + 1}",
        f"train.optimizer={'adamw' if args.optimizer == 'adam' else args.optimizer}",
        f"models.wide_deep.embedding_size={args.embedding_size}",
        f"models.wide_deep.hidden=[{args.hidden}]",
    ]
    args.until, args.set = "featurize", [*(LEAN if args.features == "lean" else ()), *knobs, *args.set]
    measure(args, work)
    recipe = load_params(work / "params.yaml").recipe
    features = load_features(work / "data/features", TRAIN)
    rows = features.splits[TRAIN]
    features = replace(features, splits={TRAIN: rows, VALIDATION: rows[:0]})
    bare = BareLoop(features, recipe) if args.beside else None
    ours: list[float] = []
    theirs: list[float] = []
    start = time.perf_counter()

    def end_of_epoch(row: Row) -> None:
        nonlocal start
        ours.append(time.perf_counter() - start)
        if bare is not None:
            theirs.append(bare.epoch())
        start = time.perf_counter()

    fit(features, recipe, work / "checkpoints", end_of_epoch)
    seconds = statistics.median(ours[1:])
    found = {
        "benchmark": "train_speed",
        "rows": len(rows),
        "dataset": args.dataset or "synthetic",
        "features": args.features,
        "batch_size": args.batch_size,
        "threads": args.threads,
        "rows_per_second": round(len(rows) / seconds),
        "seconds": round(seconds, 3),
        "peak_gib": round(peak_bytes(resource.getrusage(resource.RUSAGE_SELF)) / GIB, 3),
    }
    if theirs:
        ratios = [other / own for own, other in zip(ours[1:], theirs[1:], strict=True)]
        found["bare_rows_per_second"] = round(len(rows) / statistics.median(theirs[1:]))
        found["times_as_fast_as_bare"] = round(statistics.median(ratios), 2)
    return found


if __name__ == "__main__":
    main()
