"""Preprocess: raw files to the canonical tables ratings, items and users."""

import argparse
from pathlib import Path

import pyarrow.parquet as pq

from widedeep.errors import exit_on_user_error
from widedeep.features.vocabulary import Vocabulary
from widedeep.files import read_json, replacing, write_json
from widedeep.params import load_params
from widedeep.sources import SOURCES
from widedeep.tables.build import build_tables
from widedeep.tables.entities import to_arrow
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
        source = SOURCES[read_json(args.raw / "dataset.json")["dataset"]]
        scaling = None
        if params.train.warm_start_from is not None:
            with earlier_model(params.train.warm_start_from, Path(args.params), args.model) as folder:
                scaling = Vocabulary.load(folder).spec.scaling
        tables = build_tables(source, args.raw, params.preprocess, scaling)
        with replacing(args.report) as report, replacing(args.out) as out:
            write_json(report, tables.report)
            out.mkdir()
            pq.write_table(tables.ratings, out / "ratings.parquet")
            for name, table in (("items", tables.items), ("users", tables.users)):
                pq.write_table(to_arrow(table), out / f"{name}.parquet")
            about = {
                "dataset": source.name,
                "rating_scale": list(tables.rating_scale),
                "split": tables.split,
                "fitted": tables.fitted,
            }
            write_json(out / "tables.json", about)


if __name__ == "__main__":
    main()
