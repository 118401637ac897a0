"""The Python API: export one network, and compare the written file with it."""
