# Raw files: downloaded and verified, taken from a mirror, or generated.
rule download_raw:
    input:
        needs("results/raw/{name}.{key}"),
    output:
        "results/raw/{name}.{key}/manifest.json",
    log:
        "results/logs/raw/{name}.{key}.log",
    threads: 1
    params:
        mirror=["--mirror", mirror] if (mirror := plan.project.settings.mirror) else [],
    shell:
        step("prepare.download", "--out results/raw/{wildcards.name:q}.{wildcards.key} {params.mirror:q}")


# Clips of a dataset that its modalities use, each with its split, label and files.
rule select_clips:
    input:
        needs("results/selections/{name}.{key}"),
    output:
        "results/selections/{name}.{key}/manifest.json",
    log:
        "results/logs/selections/{name}.{key}.log",
    threads: 1
    shell:
        step("prepare.select_clips", "--out results/selections/{wildcards.name:q}.{wildcards.key}")


# A part of a modality's shards, where `prepare_jobs` gives a modality to several jobs.
rule make_shards:
    input:
        needs("results/prep/{name}.{key}"),
    output:
        touch("results/resume/parts/{name}.{key}/{part}"),
    log:
        "results/logs/prep/{name}.{key}.{part}.log",
    threads: threads_to_prepare
    resources:
        gpu=lambda wildcards: gpu(wildcards) if plan.uses_gpu(prepared(wildcards)) else 0,
    params:
        parts=plan.project.settings.prepare_jobs,
        device=plan.project.settings.device,
    shell:
        step(
            "prepare.make_shards",
            "--part {wildcards.part} --parts {params.parts} --device {params.device:q} --threads {threads}",
        )


# Packed arrays of a modality (frames, faces, flow, sound), from the shards that exist and those that it makes itself.
rule pack_clips:
    input:
        needs("results/prep/{name}.{key}"),
        parts,
    output:
        "results/prep/{name}.{key}/manifest.json",
    log:
        "results/logs/prep/{name}.{key}.log",
    threads: threads_to_prepare
    resources:
        gpu=lambda wildcards: gpu(wildcards) if plan.uses_gpu(prepared(wildcards)) else 0,
    params:
        step=lambda wildcards: prepared(wildcards).step,
        device=plan.project.settings.device,
    shell:
        step(
            "prepare.{params.step}",
            "--out results/prep/{wildcards.name:q}.{wildcards.key} --device {params.device:q} --threads {threads}",
        )


# Page about a prepared dataset: counts, dropped and repaired clips, samples.
rule audit_dataset:
    input:
        needs("results/audit/{scale}/{name}.{key}"),
    output:
        "results/audit/{scale}/{name}.{key}.key",
    log:
        "results/logs/audit/{scale}/{name}.{key}.log",
    threads: 1
    shell:
        step("prepare.audit", "--out results/audit/{wildcards.scale:q}/{wildcards.name:q}.html --stamp {output:q}")
