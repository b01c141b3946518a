# One table as md, csv, tex and json; the stamp beside them has its key.
rule build_table:
    input:
        needs("results/tables/{scale}/{name}.{key}"),
    output:
        "results/tables/{scale}/{name}.{key}.key",
    log:
        "results/logs/tables/{scale}/{name}.{key}.log",
    threads: 1
    shell:
        step("results.tables", "--out results/tables/{wildcards.scale:q}/{wildcards.name:q} --stamp {output:q}")


# One figure as png and svg.
rule draw_figure:
    input:
        needs("results/figures/{scale}/{name}.{key}"),
    output:
        "results/figures/{scale}/{name}.{key}.key",
    log:
        "results/logs/figures/{scale}/{name}.{key}.log",
    threads: 1
    shell:
        step("results.figures", "--out results/figures/{wildcards.scale:q}/{wildcards.name:q} --stamp {output:q}")


# One self-contained page with the tables and figures that were asked for.
rule build_page:
    input:
        needs("results/page/{name}.{key}"),
    output:
        "results/page/{name}.{key}.key",
    log:
        "results/logs/page/{name}.{key}.log",
    threads: 1
    shell:
        step("results.page", "--out results/page/{wildcards.name:q}.html --stamp {output:q}")
