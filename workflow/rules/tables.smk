# One table as md, csv, tex and json; the stamp beside them carries its key.
rule build_table:
    input:
        lambda wildcards: needs(f"tables/{wildcards.scale}")(wildcards),
    output:
        "results/tables/{scale}/{name}.key",
    params:
        out=lambda wildcards: f"results/tables/{wildcards.scale}/{wildcards.name.rsplit('.', 1)[0]}",
    log:
        "results/logs/tables/{scale}/{name}.log",
    threads: 1
    shell:
        step("results.tables", "--out {params.out:q} --stamp {output:q}")


# One figure as png and svg.
rule draw_figure:
    input:
        lambda wildcards: needs(f"figures/{wildcards.scale}")(wildcards),
    output:
        "results/figures/{scale}/{name}.key",
    params:
        out=lambda wildcards: f"results/figures/{wildcards.scale}/{wildcards.name.rsplit('.', 1)[0]}",
    log:
        "results/logs/figures/{scale}/{name}.log",
    threads: 1
    shell:
        step("results.figures", "--out {params.out:q} --stamp {output:q}")


# One self-contained page with all tables and figures of a scale.
rule build_page:
    input:
        needs("page"),
    output:
        "results/page/{name}.key",
    params:
        scale=plan.project.settings.scale,
    log:
        "results/logs/page/{name}.log",
    threads: 1
    shell:
        step("results.page", "--out results/page/{params.scale:q}.html --stamp {output:q}")
