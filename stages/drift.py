"""Stage drift: measure how features and ratings in each window of time differ from those of the training rows."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from widedeep.columns import TIMESTAMP
from widedeep.drift.data import data_drift, describe
from widedeep.errors import exit_on_user_error
from widedeep.features.files import FeatureTables
from widedeep.files import replacing, write_json
from widedeep.params import load_params


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.drift", description=__doc__)
    parser.add_argument("--params", required=True)
    parser.add_argument("--features", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args(arguments)
    with exit_on_user_error():
        windows = load_params(args.params).drift.windows
        tables = FeatureTables.load(args.features)
        spec = tables.spec
        if tables.rows[TIMESTAMP].null_count:
            print(f"{spec.dataset} has no timestamps: one window per split is used, not drift.windows: {windows}")
        if not spec.online:
            print("histories are left out: rows outside training have their own only in a temporal split")
        drift = data_drift(tables, windows)
        print(describe(drift))
        with ExitStack() as outputs:  # renamed together, after all are written
            for name, table in (("drift", drift.features), ("drift_windows", drift.windows)):
                table.to_csv(outputs.enter_context(replacing(args.out / f"plots/{name}.csv")), index=False)
            write_json(outputs.enter_context(replacing(args.out / "drift.json")), drift.metrics)


if __name__ == "__main__":
    main()
