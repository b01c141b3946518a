"use strict";
// A row's panel. Its address is #<table>/<row>: opening it is following that link, closing it is leaving it.

const panel = document.getElementById("panel");
let opener = null;
/** {dataset: names of its classes}. */
const CLASSES = JSON.parse(document.getElementById("classes").textContent);

/** An element with its text or children; text is never read as HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function makeTable(caption, headings, rows) {
  const head = make("tr", {}, ...headings.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map(([name, ...cells]) =>
    make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((text) => make("td", {}, text))),
  );
  const table = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
  return make("div", { class: "scroll", tabindex: "0" }, table);
}

function makeCopied(text) {
  return make("div", {}, make("button", { type: "button", class: "copy" }, "Copy"), make("pre", {}, text));
}

/** {value: seeds that have it}, as one line where all agree. */
function bySeed(runs, read) {
  const seeds = new Map();
  for (const run of runs) {
    const value = read(run) ?? "not recorded";
    seeds.set(value, [...(seeds.get(value) ?? []), run.seed]);
  }
  if (seeds.size === 1) return [...seeds.keys()][0];
  return [...seeds].map(([value, of]) => `${value} (seed${of.length > 1 ? "s" : ""} ${of.join(", ")})`).join("; ");
}

function grouped(number, digits = 0) {
  return number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const COSTS = [
  ["Training, s", "train_seconds", (value) => grouped(value, 1)],
  ["Training clips per second", "train_clips_per_second", (value) => grouped(value)],
  ["Epochs trained", "num_epochs", String],
  ["Epoch whose weights are kept", "best_epoch", String],
  ["Parameters, millions", "num_parameters", (value) => grouped(value / 1e6, 2)],
  ["Forward pass of a clip, GFLOPs (multiply-adds)", "multiply_adds_per_clip", (value) => grouped(value / 1e9, 3)],
  ["Peak memory of training, MiB", "peak_memory_mib", (value) => grouped(value)],
];

function costs(runs) {
  const of = (run, key, write) => (key in run.cost ? write(run.cost[key]) : "not recorded");
  const rows = COSTS.map(([name, key, write]) => [name, ...runs.map((run) => of(run, key, write))]);
  return makeTable("Cost of each seed's run", ["", ...runs.map((run) => `seed ${run.seed}`)], rows);
}

function provenance(runs) {
  const origin = (run) => run.provenance;
  const list = (read) => runs.map((run) => read(origin(run)) ?? "not recorded").join(", ");
  const versionsOf = (run) => Object.entries({ Python: origin(run).python, ...origin(run).versions });
  const lines = [
    ["Seeds", runs.map((run) => run.seed).join(", ")],
    ["Commit", bySeed(runs, (run) => origin(run).commit)],
    ["Device", bySeed(runs, (run) => origin(run).device)],
    ["Threads", bySeed(runs, (run) => origin(run).threads)],
    ["Finished", list((each) => each.finished)],
    ["Whole step, s", list((each) => each.seconds?.toFixed(1))],
    ["Versions", bySeed(runs, (run) => versionsOf(run).map((pair) => pair.join(" ")).join(", "))],
  ];
  return make("dl", {}, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function obtained(row) {
  const [, ...headings] = [...row.closest("table").tHead.rows[0].cells];
  const isPaper = (th) => th?.dataset.column.endsWith("paper");
  const rows = headings.flatMap((th, place) => {
    if (isPaper(th) || row.cells[place + 1].textContent === "–") return [];
    const [own, paper, difference] = [...row.cells].slice(place + 1).map((cell) => cell.textContent);
    return [[th.textContent, own, ...(isPaper(headings[place + 1]) ? [paper, difference] : ["", ""])]];
  });
  if (headings.some(isPaper)) return makeTable("Obtained, and expected by the paper", ["", "obtained", "paper", "Δ"], rows);
  return makeTable("Obtained; the paper has no numbers", ["", "obtained"], rows.map((cells) => cells.slice(0, 2)));
}

function imbalance(measures) {
  return makeTable("Gap: largest minus smallest, in points", ["", ...measures.columns], [...measures.rows, ["gap", ...measures.gap]]);
}

function part(name, ...content) {
  return [make("h3", {}, name), ...content];
}

function say(text) {
  return make("p", { class: "soft" }, text);
}

/** What this version records of a run and older ones did not. */
function notRecorded(runs) {
  const hasColumn = (start) => runs.some((run) => Object.keys(run.history).some((name) => name.startsWith(start)));
  const lines = [];
  if (!hasColumn("grad_norm_")) lines.push(say("Norms of the encoders' gradients: not recorded."));
  if (!runs.some((run) => Object.keys(run.norms).length)) lines.push(say("Norms of the head's weights: not recorded."));
  return lines;
}

function curves(runs, places) {
  if (!runs.length) return [say("No run exists.")];
  return [make("div", { class: "charts" }, ...places), ...notRecorded(runs)];
}

function artifacts(runs) {
  return runs.map((run) => {
    const paths = Object.entries({ ...run.artifacts, ...run.inputs }).map((pair) => pair.join(": "));
    return make("details", {}, make("summary", {}, `Artifacts of seed ${run.seed}`), make("pre", {}, paths.join("\n")));
  });
}

/** The log's last lines; in sight where the run failed. */
function logs(runs) {
  const written = runs.filter((run) => run.log.length);
  if (!written.length) return [say("No log: results/logs stays where the runs were made.")];
  return written.map((run) => {
    const open = "problem" in run ? { open: "" } : {};
    return make("details", open, make("summary", {}, `Last lines of seed ${run.seed}`), make("pre", {}, run.log.join("\n")));
  });
}

function fill(row, data) {
  const close = make("button", { type: "button", class: "control close" }, "Close");
  close.addEventListener("click", () => panel.close());
  const title = make("h2", { id: "panel-title" }, row.cells[0].querySelector("a").textContent);
  const runs = data.runs.filter((run) => !("problem" in run));
  const charts = chartsOf(runs, data.confusion, CLASSES[data.dataset]);
  const places = charts.map(() => make("div"));
  const measures = data.imbalance ? imbalance(data.imbalance) : say("One modality, or nothing measured.");
  const behind = data.runs.length
    ? [
        ...part("Curves and confusion", ...curves(runs, places)),
        ...part("Cost", runs.length ? costs(runs) : say("No run exists.")),
        ...part("Provenance", runs.length ? provenance(runs) : say("No run exists."), ...artifacts(data.runs)),
        ...part("Log", ...logs(data.runs)),
      ]
    : part("Runs", say("None: the numbers follow from a formula."));
  panel.replaceChildren(
    make("header", {}, title, close),
    say(row.closest(".table").querySelector("h3").textContent),
    ...(data.note ? [make("p", { class: "warning" }, data.note)] : []),
    make("div", { class: "side" }, make("div", {}, ...part("Result", obtained(row))), make("div", {}, ...part("Imbalance", measures))),
    ...behind,
    ...part("Settings", makeCopied(data.config)),
    ...part("Make it again", makeCopied(data.command), say("Add --force to make existing runs again.")),
  );
  charts.forEach((chart, place) => draw(places[place], chart));
}

function show() {
  const id = decodeURIComponent(location.hash.slice(1));
  const source = document.querySelector(`script[data-row="${CSS.escape(id)}"]`);
  if (!source) {
    if (panel.open) panel.close();
    return;
  }
  opener = document.getElementById(id);
  opener.closest(".table").open = true; // so that the focus can return to the row
  if (!panel.open) panel.showModal(); // before it is filled: charts are as wide as their place is
  fill(opener, JSON.parse(source.textContent));
  panel.scrollTop = 0;
}

panel.addEventListener("close", () => {
  if (document.querySelector(`script[data-row="${CSS.escape(decodeURIComponent(location.hash.slice(1)))}"]`))
    history.replaceState(null, "", `#${opener.closest(".table").id}`);
  opener.querySelector("a").focus();
  panel.replaceChildren();
});
panel.addEventListener("click", (event) => event.target === panel && panel.close());
addEventListener("hashchange", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => panel.open && show());
show();
