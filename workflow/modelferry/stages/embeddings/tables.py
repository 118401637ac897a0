"""Tables of embeddings: from one parquet file for each file of jets to one CSV and one parquet file for each class.

Floats are written to CSV as the shortest decimal that reads back as the same float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from modelferry.core import paths
from modelferry.core.errors import ArtifactError
from modelferry.core.files import temporary_name
from modelferry.records import FileFacts
from modelferry.records.embeddings import EmbeddedFile, Embeddings, EmbeddingTable

if TYPE_CHECKING:
    from modelferry.plan.embeddings import EmbeddingPlan


class ClassTable:
    """The CSV and the parquet file of one class, in the making."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        self.name, self.rows = name, 0
        self.paths = folder / f"{name}.csv", folder / f"{name}.parquet"
        self._temporary = [temporary_name(path) for path in self.paths]
        texts = pa.schema([(field.name, pa.string()) for field in schema])
        self._csv = csv.CSVWriter(
            self._temporary[0], texts, write_options=csv.WriteOptions(quoting_style="none", quoting_header="none")
        )
        self._parquet = pq.ParquetWriter(self._temporary[1], schema)

    def write(self, rows: pa.Table) -> None:
        """Add rows to both files."""
        self.rows += len(rows)
        self._csv.write_table(rows.cast(pa.schema([(field.name, pa.string()) for field in rows.schema])))
        self._parquet.write_table(rows)

    def close(self) -> None:
        """Finish both files, under their temporary names."""
        self._csv.close()
        self._parquet.close()

    def move(self) -> EmbeddingTable:
        """Move both files into place and return what they are."""
        for temporary, path in zip(self._temporary, self.paths, strict=True):
            temporary.replace(path)
        of_csv, of_parquet = map(FileFacts.of, self.paths)
        return EmbeddingTable(name=self.name, rows=self.rows, csv=of_csv, parquet=of_parquet)

    def discard(self) -> None:
        """Remove what was not moved."""
        for path in self._temporary:
            path.unlink(missing_ok=True)


def collect_tables(planned: EmbeddingPlan) -> Embeddings:
    """Write a table for each class from the embeddings of all files, remove earlier ones, and return the record.

    Raises
    ------
    ArtifactError
        If the embeddings of a file are missing, or are of another artifact than those of the others.
    """
    records = [EmbeddedFile.read(paths.embedding_record(planned.id, part)) for part in planned.files]
    first = records[0]
    for record in records:
        if record.artifact_sha256 != first.artifact_sha256:
            raise ArtifactError(f"{record.file.path} went through another artifact", "run `modelferry embed` again")
    folder = Path(paths.embedding_tables(planned.id))
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, ClassTable] = {}
    try:
        for rows in _row_groups(planned):
            for name in pc.unique(rows["label_name"]).to_pylist():
                table = tables.get(name) or tables.setdefault(name, ClassTable(folder, name, rows.schema))
                table.write(rows.filter(pc.equal(rows["label_name"], name)))
        for table in tables.values():
            table.close()
        moved = [table.move() for _, table in sorted(tables.items())]
    finally:
        for table in tables.values():
            table.discard()
    kept = {file for table in tables.values() for file in table.paths}
    for path in folder.iterdir():
        if path not in kept:
            path.unlink()
    left_out, noted = (sum((Counter(getattr(r, n)) for r in records), Counter()) for n in ("left_out", "noted"))
    written = Embeddings(
        model=planned.id,
        export=first.export,
        artifact_sha256=first.artifact_sha256,
        checkpoint_sha256=first.checkpoint_sha256,
        demo=first.demo,
        validated=all(record.validated for record in records),
        files=tuple(record.file.path for record in records),
        jets=sum(record.jets for record in records),
        kept=sum(record.kept for record in records),
        left_out=dict(left_out),
        noted=dict(noted),
        classes=planned.card.classes,
        tables=tuple(moved),
    )
    written.write(paths.embeddings(planned.id))
    return written


def _row_groups(planned: EmbeddingPlan) -> Iterator[pa.Table]:
    for part in planned.files:
        with pq.ParquetFile(paths.embedding_part(planned.id, part)) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)
