"""Nothing but this file makes `tests` importable, so that all tests find the sample modules beside it."""
