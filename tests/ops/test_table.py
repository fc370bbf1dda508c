"""The table of `test_registry`'s laws has no empty cell: ``pytest tests/ops -k table -s`` prints it."""

from tests.ops import table


def test_no_cell_of_the_table_is_empty():
    rows = table.rows()
    print("\n" + table.markdown(rows))
    empty = [(name, column) for name, row in rows.items() for column, counts in row.items() if not all(counts)]
    assert empty == []
