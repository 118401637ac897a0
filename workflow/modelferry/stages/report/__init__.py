"""The report: what the summary says, as Markdown pages, figures and a JSON file."""
