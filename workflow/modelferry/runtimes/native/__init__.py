"""The C++ runtime: building it."""
