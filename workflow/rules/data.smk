# Raw files: downloaded and verified, taken from a mirror, or generated.
rule download_raw:
    input:
        needs("raw"),
    output:
        "results/raw/{name}/manifest.json",
    params:
        mirror=lambda _: f"--mirror {quote(mirror)}" if (mirror := plan.project.settings.mirror) else "",
    log:
        "results/logs/raw/{name}.log",
    threads: 1
    shell:
        "python -m avbalance.prepare.download --recipe results/recipes/{wildcards.name}.json"
        " --out results/raw/{wildcards.name} {params.mirror} > {log} 2>&1"


# Raw files to packed arrays.
rule pack_clips:
    input:
        needs("prep"),
    output:
        "results/prep/{name}/manifest.json",
    log:
        "results/logs/prep/{name}.log",
    threads: 1
    shell:
        "python -m avbalance.prepare.pack --recipe results/recipes/{wildcards.name}.json"
        " --out results/prep/{wildcards.name} > {log} 2>&1"
