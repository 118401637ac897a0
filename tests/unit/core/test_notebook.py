"""Tables for notebooks."""

from modelferry.core.notebook import table


def test_table_escapes_what_names_hold_and_drops_empty_columns() -> None:
    made = table("a <b>", ("name", "unit", "size"), [("x<y", "", 3), ("z", "", 4)], ["n & m"])
    assert made == (
        "<p><b>a &lt;b&gt;</b></p><table><thead><tr><th>name</th><th>size</th></tr></thead>"
        "<tbody><tr><td>x&lt;y</td><td>3</td></tr><tr><td>z</td><td>4</td></tr></tbody></table><p>n &amp; m</p>"
    )
