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


# Raw files to packed arrays (frames, faces, flow, spectrograms), with as many processes as cores; generated files are few,
# so several datasets of them are packed at once.
rule pack_clips:
    input:
        needs("results/prep/{name}.{key}"),
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
