# On a cluster: the run in chunks, each a cluster job with a Snakemake of its own on its share (docs/cluster.md).

from modelferry.plan import chunks


def chunk_of(wildcards, kind):
    return chunks.plan_of_run(wildcards.run).chunks[f"{kind}-{wildcards.number}"]


for kind in chunks.KINDS:

    rule:
        name:
            f"chunk_{kind}"
        input:
            lambda wildcards, kind=kind: chunks.targets(wildcards.run, chunk_of(wildcards, kind).after),
        output:
            touch(paths.chunk("{run}", f"{kind}-{{number}}")),
        log:
            f"{paths.CHUNK_LOGS}/{{run}}/{kind}-{{number}}.log",
        wildcard_constraints:
            run="[^/]+",
            number=r"\d+",
        retries: 0 if kind == "report" or workflow.remote_exec else chunks.TRIES - 1  # a failed gate stays failed
        conda:
            "../../envs/modelferry.yaml"
        threads: 4
        resources:
            runtime=lambda wildcards, attempt, kind=kind: attempt * chunks.minutes(kind, chunk_of(wildcards, kind)),
            attempt=lambda wildcards, attempt: attempt,
        params:
            cores=lambda wildcards, threads: threads,
            attempt=lambda wildcards, resources: resources.attempt,
            chunk=lambda wildcards, kind=kind: f"{wildcards.run}/{kind}-{wildcards.number}",
        shell:
            "modelferry chunk --log {log:q} --cores {params.cores:q} --attempt {params.attempt:q} {params.chunk:q}"
