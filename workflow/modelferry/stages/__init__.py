"""The stages of the workflow, named as its rules."""
