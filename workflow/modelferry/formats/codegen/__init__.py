"""Networks as source code and as JSON: what needs no framework to run.

description → Python module, C++ header, JSON file; and how these are run to be validated and timed.
"""

FACTS = ("name", "version", "accuracy", "exported")
"""What a file says about its network beside the weights; only the name is always known."""
