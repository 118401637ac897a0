"""Embeddings of jets, and what they hold."""

from __future__ import annotations

import argparse

from modelferry.cli.jobs import for_each_model, plan_of, reported
from modelferry.core import paths
from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import EMBED, EXPLORE


def embed(options: argparse.Namespace) -> int:
    """Write tables of embeddings of jets: one file after the other, then one CSV and one parquet file a class.

    Files that an earlier call finished, with the same artifact and data card, are left as they are.
    """
    from modelferry.stages.embeddings.stage import embed_file
    from modelferry.stages.embeddings.tables import collect_tables

    def run(planned: PlannedModel) -> None:
        embedding = planned.embedding
        if options.part and options.part not in embedding.files:
            known = did_you_mean(options.part, embedding.files)
            raise ConfigError(f"{planned.id} has no file of jets '{options.part}'", known)
        for part in [] if options.collect else [options.part] if options.part else embedding.files:
            with reported(EMBED, planned.id, part):
                record, done = embed_file(embedding, part, options.again)
            rate = f"{record.jets / record.seconds:,.0f} jets/s" if done else "already done"
            doubt = "" if record.validated else "; note: the artifact was not validated"
            print(f"{record.file.path}: {record.counts}; {rate}{doubt}")
        if options.collect or not options.part:
            with reported(EMBED, planned.id, "tables"):
                tables = collect_tables(embedding)
            for table in tables.tables:
                print(f"{table.csv.path}  {table.rows:,} jets")
            print(f"{planned.id}: {tables.counts}")

    return for_each_model(options, run)


def explore(options: argparse.Namespace) -> int:
    """Look at what a campaign's embeddings hold: projections, ROC curves, linear probes, what transfers."""
    from modelferry.stages.embeddings.explore import explore_campaign

    campaigns = plan_of(options).explored
    if options.campaign not in campaigns:
        raise ConfigError(f"campaign '{options.campaign}' has no `explore`", did_you_mean(options.campaign, campaigns))
    with reported(EXPLORE, options.campaign):
        record = explore_campaign([planned.embedding for planned in campaigns[options.campaign]])
        record.write(paths.exploration(options.campaign))
    for model in record.models:
        probe = f"mean AUC of a linear probe {model.probes[0].auc[-1]:.3f}"
        print(f"{model.model}: {record.jets:,} jets, accuracy {model.accuracy:.3f}, {probe}")
    return 0
