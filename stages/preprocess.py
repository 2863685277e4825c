"""Stage preprocess: turn the raw files into tables of ratings, items, users, and the ids behind their codes."""

import argparse
from functools import partial
from pathlib import Path

from widedeep.errors import exit_on_user_error
from widedeep.features.vocabulary import Vocabulary
from widedeep.files import replacing, write_json
from widedeep.params import load_params
from widedeep.sources import SOURCES
from widedeep.sources.fetch import original, read_dataset
from widedeep.tables.build import build_tables
from widedeep.warm_start import earlier_model


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.preprocess", description=__doc__)
    parser.add_argument("--params", required=True)
    parser.add_argument("--raw", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--report", required=True, type=Path)
    parser.add_argument("--model", required=True, type=Path, help="where revisions keep their model")
    args = parser.parse_args(arguments)
    with exit_on_user_error():
        params = load_params(args.params)
        source = SOURCES[read_dataset(args.raw, SOURCES)]
        scaling = None
        if params.train.warm_start_from is not None:
            with earlier_model(params.train.warm_start_from, Path(args.params), args.model) as folder:
                scaling = Vocabulary.load(folder).spec.scaling
        with replacing(args.report) as report, replacing(args.out) as out:
            tables, counts = build_tables(
                source, args.raw, params.preprocess, scaling, partial(original, params.download.source, args.raw)
            )
            for sentence in counts.get("understood", ()):
                print(sentence)
            write_json(report, counts)
            out.mkdir()
            tables.save(out)


if __name__ == "__main__":
    main()
