import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.core.digests import canonical_json, digest_of, sha256_of_file

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: object) -> object:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(value=VALUES)
def test_canonical_json_keeps_the_value_and_ignores_the_order_of_keys(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(shuffled(value)) == text
    assert digest_of(shuffled(value)) == digest_of(value)


@given(first=VALUES, second=VALUES)
def test_other_values_have_other_digests(first: object, second: object) -> None:
    assert (digest_of(first) == digest_of(second)) == (canonical_json(first) == canonical_json(second))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_has_not(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": value})


@given(content=st.binary(max_size=200), position=st.integers(0, 199))
def test_digest_of_a_file_is_sha256_and_sees_every_byte(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, position: int
) -> None:
    import hashlib

    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(content)
    assert sha256_of_file(path) == hashlib.sha256(content).hexdigest()
    if position < len(content):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        assert sha256_of_file(path) != hashlib.sha256(content).hexdigest()
