"""Runtimes in another version than the installed one: packages of their own, executed in a process of its own."""
