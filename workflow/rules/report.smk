# The report reads JSON only; the gate fails the run unless all models passed. Captions are for `snakemake --report`.


rule report:
    input:
        PLAN.report_inputs(),
    output:
        paths.REPORT,
        report(paths.REPORT_PAGE, caption="../report/page.rst", category="Report"),
        report(
            directory(paths.FIGURES),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        report(
            directory(paths.TABLES),
            patterns=["{table}.csv"],
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        touch(paths.COMPLETE),
        summary=paths.SUMMARY,
    log:
        "logs/report.log",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=reruns.report(PLAN.models),
    shell:
        "modelferry report --log {log:q}"


rule gate:
    input:
        paths.SUMMARY,
        paths.COMPLETE,
    output:
        paths.GATE,
    log:
        "logs/gate.log",
    conda:
        "../../envs/modelferry.yaml"
    shell:
        "modelferry gate --log {log:q}"
