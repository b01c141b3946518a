"use strict";
// A row's panel. Its address is #<table>/<row>: opening it is following that link, closing it is leaving it.

const panel = document.getElementById("panel");
let opener = null;
/** {data set: names of its classes}. */
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
  const body = rows.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((text) => make("td", {}, text))));
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

const grouped = (number, digits = 0) => number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const COSTS = [
  ["Training, s", "train_seconds", (value) => grouped(value, 1)],
  ["Training clips per second", "train_clips_per_second", (value) => grouped(value)],
  ["Epochs trained", "num_epochs", String],
  ["Epoch whose weights are kept", "best_epoch", String],
  ["Parameters, millions", "num_parameters", (value) => grouped(value / 1e6, 2)],
  ["Forward pass of a clip, GFLOPs (a multiply-add is two)", "flops_per_clip", (value) => grouped(value / 1e9, 3)],
  ["Peak memory of training, MiB", "peak_memory_mib", (value) => grouped(value)],
];

function costs(runs) {
  const rows = COSTS.map(([name, key, write]) => [name, ...runs.map((run) => (key in run.cost ? write(run.cost[key]) : "not recorded"))]);
  return makeTable("Cost of each seed's run", ["", ...runs.map((run) => `seed ${run.seed}`)], rows);
}

function provenance(runs) {
  const lines = [
    ["Seeds", runs.map((run) => run.seed).join(", ")],
    ["Commit", bySeed(runs, (run) => run.provenance.commit)],
    ["Device", bySeed(runs, (run) => run.provenance.device && `${run.provenance.device}, ${run.provenance.threads} thread${run.provenance.threads === 1 ? "" : "s"}`)],
    ["Finished", runs.map((run) => run.provenance.finished ?? "not recorded").join(", ")],
    ["Whole step, s", runs.map((run) => run.provenance.seconds?.toFixed(1) ?? "not recorded").join(", ")],
    ["Versions", bySeed(runs, (run) => run.provenance.versions && `Python ${run.provenance.python}, ${Object.entries(run.provenance.versions).map((pair) => pair.join(" ")).join(", ")}`)],
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

function imbalance(told) {
  return makeTable("Gap: largest minus smallest, in points", ["", ...told.columns], [...told.rows, ["gap", ...told.gap]]);
}

function fill(row, data) {
  const title = make("h2", { id: "panel-title" }, row.cells[0].querySelector("a").textContent);
  const close = make("button", { type: "button", class: "control close" }, "Close");
  close.addEventListener("click", () => panel.close());
  const of = make("p", { class: "soft" }, row.closest("section").querySelector("h3").textContent);
  const part = (name, ...content) => [make("h3", {}, name), ...content];
  const none = (text) => make("p", { class: "soft" }, text);
  const runs = data.runs.filter((run) => !("problem" in run));
  const charts = runs.length ? chartsOf(runs, data.confusion, CLASSES[data.dataset]) : [];
  const places = charts.map(() => make("div"));
  const logs = data.runs.filter((run) => run.log.length);
  panel.replaceChildren(
    make("header", {}, title, close),
    of,
    ...(data.note ? [make("p", { class: "warning" }, data.note)] : []),
    make("div", { class: "side" },
      make("div", {}, ...part("Result", obtained(row))),
      make("div", {}, ...part("Imbalance", data.imbalance ? imbalance(data.imbalance) : none("One modality, or nothing measured.")))),
    ...part("Curves and confusion", charts.length ? make("div", { class: "charts" }, ...places) : none(data.runs.length ? "No run is here." : "No runs: the numbers follow from a formula.")),
    ...(runs.length && !runs.some((run) => Object.keys(run.history).some((name) => name.startsWith("grad_norm_"))) ? [none("Norms of the encoders' gradients: not recorded.")] : []),
    ...(runs.length && !runs.some((run) => Object.keys(run.norms).length) ? [none("Norms of the head's weights: not recorded.")] : []),
    ...part("Cost", runs.length ? costs(runs) : none("No run is here.")),
    ...part("Provenance", runs.length ? provenance(runs) : none("No run is here.")),
    ...data.runs.map((run) => make("details", {}, make("summary", {}, `Artifacts of seed ${run.seed}`), make("pre", {}, Object.entries({ ...run.artifacts, ...run.inputs }).map((pair) => pair.join(": ")).join("\n")))),
    ...part("Settings", makeCopied(data.config)),
    ...part("Log", ...(logs.length ? logs.map((run) => make("details", "problem" in run ? { open: "" } : {}, make("summary", {}, `Last lines of seed ${run.seed}`), make("pre", {}, run.log.join("\n")))) : [none("No log is here: results/logs is kept where the runs were made.")])),
    ...part("Make it again", makeCopied(data.command), ...(data.runs.length ? [none("Where the runs are already there: with --force.")] : [])),
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
  if (!panel.open) panel.showModal(); // before it is filled: charts are as wide as their place is
  fill(opener, JSON.parse(source.textContent));
  panel.scrollTop = 0;
}

panel.addEventListener("close", () => {
  if (document.querySelector(`script[data-row="${CSS.escape(decodeURIComponent(location.hash.slice(1)))}"]`))
    history.replaceState(null, "", `#${opener.closest("section").id}`);
  opener.querySelector("a").focus();
  panel.replaceChildren();
});
panel.addEventListener("click", (event) => event.target === panel && panel.close());
addEventListener("hashchange", show);
themeButton.addEventListener("click", () => panel.open && show());
show();
