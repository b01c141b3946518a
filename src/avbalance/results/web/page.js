"use strict";
// Tables that sort, filter and hide columns; the theme; copying. Row panels are in panel.js.

const EMPTY = ["–", "failed", ""];

/** A cell's number, or its text where it has none; "–", "failed" and empty cells are null and stand last. */
function valueOf(cell) {
  const text = cell.textContent.trim().replace("−", "-");
  const number = parseFloat(text);
  if (!Number.isNaN(number)) return number;
  return EMPTY.includes(text) ? null : text.toLowerCase();
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/** Each click goes one further: rising, falling, as it was. */
const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

function sortBy(table, heading) {
  const order = NEXT[heading.getAttribute("aria-sort") ?? "none"];
  table.querySelectorAll("[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
  if (order !== "none") heading.setAttribute("aria-sort", order);
  const sign = order === "descending" ? -1 : 1;
  const keyed = table.rowsAsMade.map((row) => [order === "none" ? 0 : valueOf(row.cells[heading.cellIndex]), row]);
  keyed.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)));
  table.tBodies[0].replaceChildren(...keyed.map(([, row]) => row));
}

/** More rows than these are drawn when they are asked for: a browser takes a second for thousands. */
const MOST_ROWS = 500;

/** Hides the rows that lack a word of the filter, and those behind the first of the others. */
function filterRows(section, table) {
  const words = section.querySelector("input[type=search]").value.toLowerCase().split(/\s+/).filter(Boolean);
  const more = section.querySelector(".more");
  let count = 0;
  for (const row of table.tBodies[0].rows) {
    const matches = words.every((word) => table.texts.get(row).includes(word));
    count += matches;
    row.hidden = !matches || (count > MOST_ROWS && !more.pressed);
  }
  const total = table.rowsAsMade.length;
  more.hidden = count <= MOST_ROWS || more.pressed === true;
  const drawn = more.hidden ? "" : `, the first ${MOST_ROWS} drawn`;
  section.querySelector(".shown").textContent = (words.length ? `${count} of ${total} rows` : `${total} rows`) + drawn;
}

/** Columns go by one rule of style, which a table of thousands of rows bears better than a change to every cell. */
function hideColumns(section, table, style) {
  const off = [...section.querySelectorAll(".menu input:not(:checked)")].map((box) => box.dataset.column);
  const places = [...table.tHead.rows[0].cells]
    .filter((th) => th.dataset.column?.split(" ").some((name) => off.includes(name)))
    .map((th) => `#${section.id} .rows tr > :nth-child(${th.cellIndex + 1})`);
  style.textContent = places.length ? `${places.join()} { display: none }` : "";
}

for (const table of document.querySelectorAll("table.rows")) {
  table.rowsAsMade = [...table.tBodies[0].rows];
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) sortBy(table, button.closest("th"));
  });
}

for (const section of document.querySelectorAll(".table")) {
  const table = section.querySelector(".rows");
  const more = section.querySelector(".more");
  table.texts = new Map(table.rowsAsMade.map((row) => [row, row.textContent.toLowerCase()]));
  const style = section.appendChild(document.createElement("style"));
  table.tHead.addEventListener("click", () => filterRows(section, table));
  more.addEventListener("click", () => {
    more.pressed = true;
    filterRows(section, table);
  });
  section.querySelector("input[type=search]").addEventListener("input", () => filterRows(section, table));
  section.querySelector("select")?.addEventListener("change", (event) => (table.dataset.test = event.target.value));
  section.querySelector(".menu").addEventListener("change", () => hideColumns(section, table, style));
  filterRows(section, table);
}

document.addEventListener("click", async (event) => {
  const open = document.querySelector(".menu[open]");
  if (open && !open.contains(event.target)) open.open = false;
  if (!event.target.matches(".copy")) return;
  const text = event.target.parentElement.querySelector("code, pre").textContent;
  event.target.textContent = (await copy(text)) ? "Copied" : "Select it and press Ctrl+C";
  setTimeout(() => (event.target.textContent = "Copy"), 1500);
});

document.addEventListener("keydown", (event) => {
  const open = document.querySelector(".menu[open]");
  if (event.key === "Escape" && open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

/** A page from disk may not be given the clipboard; then the older way is tried. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

const THEMES = { auto: "dark", dark: "light", light: "auto" };
const themeButton = document.getElementById("theme");

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  themeButton.querySelector("span").textContent = theme;
}

try {
  setTheme(localStorage.getItem("theme") ?? "auto");
} catch {
  setTheme("auto"); // a browser may deny storage to files
}
themeButton.addEventListener("click", () => {
  const theme = THEMES[themeButton.textContent.split(": ")[1]];
  setTheme(theme);
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // it then lasts as long as the page
  }
});
