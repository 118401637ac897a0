"""LightningModules as they are, with a contract that the config declares."""
