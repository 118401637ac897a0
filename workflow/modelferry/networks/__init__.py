"""Networks: for each architecture the reference as trained, and the deployable that is exported."""
