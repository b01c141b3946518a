# Raw files: downloaded and verified, taken from a mirror, or generated.
rule download_raw:
    input:
        needs("raw"),
    output:
        "results/raw/{name}/manifest.json",
    params:
        mirror=["--mirror", mirror] if (mirror := plan.project.settings.mirror) else [],
    log:
        "results/logs/raw/{name}.log",
    threads: 1
    shell:
        step("prepare.download", "--out results/raw/{wildcards.name:q} {params.mirror:q}")


# Raw files to packed arrays: frames, faces, flow and spectrograms, by as many processes as there are cores.
rule pack_clips:
    input:
        needs("prep"),
    output:
        "results/prep/{name}/manifest.json",
    params:
        step=lambda wildcards: f"prepare.{plan.artifacts[f'results/prep/{wildcards.name}'].recipe['step']}",
        options=lambda wildcards, threads: prepare_options(wildcards.name, threads),
    log:
        "results/logs/prep/{name}.log",
    resources:
        gpu=min(gpus, 1),
    threads: workflow.cores
    shell:
        step("{params.step:q}", "--out results/prep/{wildcards.name:q} {params.options:q}")


# What was prepared, and how: counts, dropped and repaired clips, samples.
rule audit_dataset:
    input:
        lambda wildcards: needs(f"audit/{wildcards.scale}")(wildcards),
    output:
        "results/audit/{scale}/{name}.key",
    params:
        out=lambda wildcards: f"results/audit/{wildcards.scale}/{wildcards.name.rsplit('.', 1)[0]}.html",
    log:
        "results/logs/audit/{scale}/{name}.log",
    threads: 1
    shell:
        step("prepare.audit", "--out {params.out:q} --stamp {output:q}")
