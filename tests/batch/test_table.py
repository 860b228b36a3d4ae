"""The Parquet table holds every answer once, with all that its JSON says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the extra 'batch' is not installed")

import pyarrow.parquet as pq
from batch_parrot import make_settings, parrot_worker, run_batch, timeless

from oryx_scene.batch.run import LocalEngine
from oryx_scene.batch.table import COLUMNS, arrow_schema, markdown_rows

PAGE = Path(__file__).parent.parent.parent / "docs" / "fleet.md"
# In the answer's JSON and not a column of the same name: split up, renamed, or the same everywhere.
ELSEWHERE = {"schema", "question", "scene"}


@pytest.fixture(scope="module")
def answered(walls, tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "out"
    settings = make_settings()
    worker = parrot_worker(settings, fails_on="How far")
    run_batch(walls, out, LocalEngine(worker), settings)
    return out


def test_one_row_per_answer_in_time_order(answered):
    rows = pq.read_table(answered / "parquet").to_pylist()
    records = timeless(answered)
    assert {row["content_key"] for row in rows} == {r["content_key"] for r in records.values()}
    assert len(rows) == len(records) == 30
    (file,) = (answered / "parquet").glob("a-*.parquet")
    first = pq.read_table(file).to_pylist()
    assert [(row["at_s"], row["question_id"]) for row in first] == [
        (float(second), name) for second in range(7) for name in ("far", "near")
    ]


def test_a_row_says_what_the_json_says(answered):
    record = next(r for r in timeless(answered).values() if "answer" in r)
    answer = record["answer"]
    rows = pq.read_table(answered / "parquet").to_pylist()
    (row,) = (row for row in rows if row["content_key"] == record["content_key"])
    for name in answer.keys() - ELSEWHERE:
        value = row[name]
        if isinstance(answer[name], dict):
            value = {key: _like(answer[name].get(key), text) for key, text in value}
        if name == "left_out_by_view":
            value = [dict(item) for item in value]
        assert value == answer[name], name
    assert row["scene_marks"] == answer["scene"]
    assert row["question"] == answer["question"]["text"]
    assert row["model"] == answer["provenance"]["model"]
    assert row["error_type"] is None


def _like(wanted, text):
    """A value of a map of texts, as the JSON has it."""
    if isinstance(text, str) and not isinstance(wanted, str):
        return type(wanted)(text)
    return text


def test_an_error_is_a_row_too(answered):
    rows = pq.read_table(answered / "parquet").to_pylist()
    failed = [row for row in rows if row["error_type"] is not None]
    assert len(failed) == 15
    assert {(row["error_type"], row["question_id"], row["text"]) for row in failed} == {
        ("EngineError", "far", None)
    }


def test_every_field_of_an_answer_has_a_column(answered):
    record = next(r for r in timeless(answered).values() if "answer" in r)
    names = {name for name, _, _ in COLUMNS}
    assert set(record["answer"]) - ELSEWHERE <= names
    # Nested fields too: a new one must not be dropped without a word.
    schema = arrow_schema()
    for column, sample in (("evidence", "evidence"), ("scene_marks", "scene")):
        fields = {field.name for field in schema.field(column).type.value_type}
        assert set(record["answer"][sample][0]) == fields, column
    seen = schema.field("marks").type.value_type.field("observations").type.value_type
    assert set(record["answer"]["scene"][0]["observations"][0]) == {field.name for field in seen}
    relations = {field.name for field in schema.field("relations").type.value_type}
    assert all(set(item) == relations for item in record["answer"]["relations"])


def test_the_page_documents_the_columns():
    """Run with an outdated page, this writes it anew and fails once."""
    text = PAGE.read_text()
    table = "\n".join(("| column | type | what |", "|---|---|---|", *markdown_rows()))
    made = re.sub(
        r"(?<=<!-- columns -->\n).*?(?=\n<!-- end -->)", lambda _: table, text, flags=re.S
    )
    if made != text:
        PAGE.write_text(made)
    assert made == text, "docs/fleet.md was rewritten"
