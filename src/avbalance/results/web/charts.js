"use strict";
// What a row's curves and confusion look like, as Vega-Lite; the library is read when the first panel opens.

/** Okabe & Ito's palette, told apart under every common colour blindness; its darker colours first on light ground. */
const PALETTE = { light: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7a7a7a"],
  dark: ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#b0b0b0"] };
/** Title, unit, and which columns of a history the chart shows; what is named by no chart has one of its own. */
const CURVES = [
  ["Loss, nats", /^((?:train|seen|val|test)_loss|naive_val_loss)$/],
  ["Accuracy, %", /^((?:train|seen|val|test)_accuracy|naive_val_accuracy)$/],
  ["Top-5 accuracy, %", /^((?:train|seen|val|test)_top5)$/],
  ["mAP, %", /^((?:train|seen|val|test)_map)$/],
  ["mAUC, %", /^((?:train|seen|val|test)_mauc)$/],
  ["EER, %", /^(test_eer_.+)$/],
  ["Validation accuracy by modality (masked), %", /^val_acc_masked_(.+)$/],
  ["Logit of the true class by modality", /^val_logit_(.+)$/],
  ["Norm of the encoder's gradient", /^grad_norm_(.+)$/],
  ["Balancer: coefficient", /^coefficient_(.+)$/],
  ["Balancer: weight of each head", /^weight_(.+)$/],
  ["Balancer: overfitting-to-generalisation ratio", /^ogr_(.+)$/],
];
const LEFT_OUT = /^(epoch|super_epoch|fallback|(train|seen|val|test)_video_.*)$/;

function pointsOf(runs, columns, curves) {
  const equal = (run, column, place) => column.startsWith("weight_") && run.history.fallback?.[place] === 1;
  const ofColumn = (run, [column, name]) => (curves(run)[column] ?? []).map(
    (value, place) => ({ epoch: place + 1, value, name, seed: run.seed, equal: equal(run, column, place) }));
  const points = runs.flatMap((run) => columns.flatMap((column) => ofColumn(run, column)));
  return points.filter((point) => point.value !== null);
}

/** A line for each name and seed; a click on the legend dims the others, a tooltip tells the value. Weights that are
 * equal for want of a head that generalises are crosses. */
function lines(title, points) {
  const names = [...new Set(points.map((point) => point.name))];
  names.sort((a, b) => (a === "joint") - (b === "joint")); // so that a modality has one colour in all charts
  const note = points.some((point) => point.equal) ? " (crosses: equal, for no head generalised)" : "";
  return {
    title: title + note, data: { values: points }, width: "container", height: 190,
    params: [{ name: "chosen", select: { type: "point", fields: ["name"] }, bind: "legend" }],
    mark: { type: "line", strokeWidth: 1.6, point: { size: 14, filled: true } },
    encoding: {
      x: { field: "epoch", type: "quantitative", title: "epoch", axis: { tickMinStep: 1, grid: false } },
      y: { field: "value", type: "quantitative", title: null, scale: { zero: false } },
      color: { field: "name", title: null, scale: { domain: names }, sort: null, legend: { orient: "bottom", columns: 3 } },
      detail: { field: "seed" },
      shape: { condition: { test: "datum.equal", value: "cross" }, value: "circle" },
      opacity: { condition: { param: "chosen", value: 0.85 }, value: 0.08 },
      tooltip: [{ field: "name" }, { field: "seed" }, { field: "epoch" }, { field: "value", format: ".4~g" }],
    },
  };
}

function heatmap(matrix, classes) {
  const names = matrix.map((_, number) => classes?.[number] ?? String(number));
  const cells = matrix.flatMap((counts, actual) => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.map((clips, predicted) => ({ actual: names[actual], predicted: names[predicted], clips, share: total ? clips / total : 0 }));
  });
  return {
    title: "Confusion of test clips, all seeds", data: { values: cells }, width: "container", height: 300, mark: "rect",
    encoding: {
      x: { field: "predicted", type: "ordinal", sort: null, title: "predicted class", axis: { labelOverlap: true, labelAngle: 0 } },
      y: { field: "actual", type: "ordinal", sort: null, title: "true class", axis: { labelOverlap: true } },
      color: {
        field: "share", type: "quantitative", title: "share of the class",
        scale: { domain: [0, 1], interpolate: "rgb" }, legend: { orient: "bottom", format: "%" },
      },
      tooltip: [
        { field: "actual", title: "true class" }, { field: "predicted", title: "predicted class" },
        { field: "clips" }, { field: "share", format: ".1%" },
      ],
    },
  };
}

function chartsOf(runs, confusion, classes) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.history)))].filter((name) => !LEFT_OUT.test(name));
  const charts = [];
  const add = (title, columns, curves = (run) => run.history) => {
    const points = pointsOf(runs, columns, curves);
    if (points.length) charts.push(lines(title, points));
  };
  for (const [title, pattern] of CURVES) {
    const columns = names.filter((name) => pattern.test(name));
    add(title, columns.map((name) => [name, name.match(pattern)[1].replaceAll("_", " ")]));
  }
  const others = names.filter((name) => !CURVES.some(([, pattern]) => pattern.test(name)));
  others.forEach((name) => add(name.replaceAll("_", " "), [[name, name.replaceAll("_", " ")]]));
  const streams = [...new Set(runs.flatMap((run) => Object.keys(run.norms)))];
  add("Norm of the head's weights, mean over classes", streams.map((name) => [name, name]), (run) => run.norms);
  if (confusion) charts.push(heatmap(confusion, classes));
  return charts;
}

function loadVega() {
  if (window.vegaEmbed) return;
  const script = document.createElement("script");
  script.textContent = `(() => {${document.getElementById("vega").textContent}})()`;
  document.head.append(script);
}

/** Colours and letters of the page around the charts. */
function look() {
  const around = getComputedStyle(panel);
  const ink = around.color;
  const soft = getComputedStyle(panel.querySelector(".soft")).color;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const chosen = document.documentElement.dataset.theme ?? system;
  const small = { labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", titleColor: soft };
  return {
    background: "transparent", font: around.fontFamily, view: { stroke: null },
    range: { category: PALETTE[chosen], heatmap: [around.backgroundColor, PALETTE[chosen][0]] },
    title: { color: ink, anchor: "start", fontSize: 13, fontWeight: 600 },
    axis: { ...small, labelColor: soft, gridColor: soft, gridOpacity: 0.18, domainColor: soft, tickColor: soft },
    legend: { ...small, labelColor: ink },
  };
}

async function draw(place, chart) {
  loadVega();
  await window.vegaEmbed(place, chart, { actions: false, renderer: "svg", config: look() });
}
