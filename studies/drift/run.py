"""Compare policies against drift, window by window: leave the model as it is, train a new one, or update it.

    python -m studies.drift.run --tables data/interim --out studies/drift
    python -m studies.drift.run --dataset ml-1m --source ~/Downloads/ml-1m.zip --out studies/drift/ml-1m

The results are results.csv, matrix.csv, results.md and results.svg. Models are trained on one thread, one after the
other, so that their seconds can be compared.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from studies.drift.policies import Judged, Policies, Scored, load_policies, prequential
from studies.drift.reference import one_pass
from studies.drift.report import draw, render
from studies.drift.results import matrix, results
from studies.drift.stream import Stream
from widedeep.errors import exit_on_user_error
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.files import replacing
from widedeep.params import PreprocessParams, load_params
from widedeep.sources import SOURCES
from widedeep.sources.fetch import fetch
from widedeep.tables.build import build_tables
from widedeep.tables.files import Tables


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    with exit_on_user_error():
        given = load_params(options.params)
        policies, params, warm = load_policies(options.policies, given)
        if options.tables:
            stream = of_tables(options.tables, policies)
        else:
            stream = of_dataset(options.dataset, options.source, params.preprocess, policies)
        if options.rehearse:
            stream = stream.initial_part(policies.initial, policies.windows)
        done = [*prequential(stream, params, policies, warm), *one_pass(stream)]
        bootstrap = Bootstrap(params.evaluate.bootstrap_replicates, params.evaluate.seed)
        found = results(stream, [one for one in done if isinstance(one, Judged)], bootstrap)
        crossed = matrix(stream, [one for one in done if isinstance(one, Scored)], bootstrap)
        with ExitStack() as outputs:  # renamed together, after all are written
            table, square, markdown, svg = (
                outputs.enter_context(replacing(options.out / name))
                for name in ("results.csv", "matrix.csv", "results.md", "results.svg")
            )
            found.by_window.to_csv(table, index=False)
            crossed.to_csv(square, index=False)
            markdown.write_text(render(found, crossed), encoding="utf-8")
            svg.write_text(draw(found), encoding="utf-8")


def of_tables(folder: Path, policies: Policies) -> Stream:
    """Make the stream from a folder of stage preprocess. Its split does not matter. Raises as `Stream.of`."""
    return Stream.of(Tables.load(folder), policies.initial, policies.windows)


def of_dataset(name: str, source: str, params: PreprocessParams, policies: Policies) -> Stream:
    """Make the stream from a data set. `source` is a value of download.source.

    Raises as `fetch`, `build_tables` and `Stream.of`.
    """
    with TemporaryDirectory(prefix="widedeep-") as raw:
        fetch(SOURCES[name], source, Path(raw))
        tables, _ = build_tables(SOURCES[name], Path(raw), params)
    return Stream.of(tables, policies.initial, policies.windows)


def _parser() -> argparse.ArgumentParser:
    description, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="python -m studies.drift.run",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--tables", type=Path, metavar="FOLDER", help="folder of stage preprocess")
    data.add_argument("--dataset", choices=SOURCES, metavar="NAME", help="a value of download.dataset")
    parser.add_argument("--source", default="auto", help="a value of download.source for --dataset (default: auto)")
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="file of parameters (default: %(default)s)"
    )
    parser.add_argument(
        "--policies",
        type=Path,
        default=Path("studies/drift/policies.yaml"),
        help="file of policies (default: %(default)s)",
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="use the initial part only, to choose the settings of the policies"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    return parser


if __name__ == "__main__":
    main()
