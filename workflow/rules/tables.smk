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


# One self-contained page with the tables and figures that were asked for.
rule build_page:
    input:
        needs("page"),
    output:
        "results/page/{name}.key",
    params:
        out=lambda wildcards: f"results/page/{wildcards.name.rsplit('.', 1)[0]}.html",
    log:
        "results/logs/page/{name}.log",
    threads: 1
    shell:
        step("results.page", "--out {params.out:q} --stamp {output:q}")
