"""The size of the same readings as Parquet with zstd, and of our chunks in zstd: `python parquet.py FOLDER`, with pyarrow
from PyPI.

FOLDER has the files that `cargo run --example history_codec FOLDER` has written. Columns of values are doubles: decimals
in Parquet do not say how many places each value was written with.
"""

import pathlib
import sys

import pyarrow
import pyarrow.csv
import pyarrow.parquet


def size(table, rows, path, **options):
    """The bytes of a file of `rows` rows, several of them where there are more."""
    total = 0
    for start in range(0, table.num_rows, rows):
        pyarrow.parquet.write_table(table.slice(start, rows), path, compression="zstd", **options)
        total += path.stat().st_size
    return total


print("pyarrow", pyarrow.__version__)
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.csv")):
    whole = pyarrow.csv.read_csv(file)
    values = whole.column_names[3:]
    for name, table in [("times and values", whole.select(["at", *values])), ("all but identities", whole)]:
        readings = table.num_rows * len(values)
        delta = {name: "DELTA_BINARY_PACKED" for name in table.column_names if name not in values}
        delta |= {name: "BYTE_STREAM_SPLIT" for name in values}
        for rows in [256, 1024, 8640]:
            path = file.with_suffix(".parquet")
            plain = size(table, rows, path, compression_level=9)
            best = size(table, rows, path, compression_level=9, use_dictionary=False, column_encoding=delta)
            print(
                f"{file.stem:12} {name:18} files of {rows:5} rows: default encodings {plain / readings:5.2f},"
                f" delta and split {best / readings:5.2f} bytes a reading"
            )
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.packed")):
    packed = file.read_bytes()
    again = pyarrow.Codec("zstd", compression_level=9).compress(packed, asbytes=True)
    print(f"{file.stem:12} ours {len(packed)} bytes, in zstd {len(again)}")
