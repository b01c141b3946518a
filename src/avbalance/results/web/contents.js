"use strict";
// Contents: search over all rows, sections that open by their address, and all of them open in print.

const contents = document.getElementById("contents");
const wide = matchMedia("(min-width: 60.01rem)");
const showContents = () => (contents.open = wide.matches);
showContents();
wide.addEventListener("change", showContents);

const sections = [...document.querySelectorAll("main details:not(.menu)")];
const openAll = (open) => sections.forEach((each) => (each.open = open));
document.getElementById("open-all").addEventListener("click", () => openAll(true));
document.getElementById("close-all").addEventListener("click", () => openAll(false));

/** What is closed is opened for the printer, and closed again behind it. */
let closed = [];
addEventListener("beforeprint", () => {
  closed = sections.filter((each) => !each.open);
  openAll(true);
});
addEventListener("afterprint", () => closed.forEach((each) => (each.open = false)));

/** Opens every section around the place that the address names, and scrolls there. */
function openAddress() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let each = target; each; each = each.parentElement.closest("details")) if (each.tagName === "DETAILS") each.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", openAddress);
openAddress();
contents.addEventListener("click", (event) => {
  if (!event.target.matches("a")) return;
  if (event.target.hash === location.hash) openAddress();
  showContents(); // on a phone the list closes behind a choice
});

/** More hits than these are not listed. */
const MOST_HITS = 40;
const rowsOfAll = [...document.querySelectorAll(".table .rows tbody tr")].map((row) => {
  const [label, table] = [row.cells[0].textContent, row.closest(".table").querySelector("h3").textContent];
  return { address: `#${row.id}`, label, table, text: `${label} ${table}`.toLowerCase() };
});

function listHits(words) {
  const found = words.length ? rowsOfAll.filter((row) => words.every((word) => row.text.includes(word))) : [];
  const items = found.slice(0, MOST_HITS).map((row) => {
    const [item, link, small] = ["li", "a", "small"].map((tag) => document.createElement(tag));
    link.href = row.address;
    link.textContent = row.label;
    small.textContent = row.table;
    item.append(link, small);
    return item;
  });
  if (found.length > MOST_HITS) items.push(`and ${found.length - MOST_HITS} more`);
  if (words.length && !found.length) items.push("no row");
  document.getElementById("hits").replaceChildren(...items);
}
document.getElementById("find").addEventListener("input", (event) =>
  listHits(event.target.value.toLowerCase().split(/\s+/).filter(Boolean)),
);

/** The entry of the section in view is marked. */
const entries = new Map([...document.querySelectorAll(".toc a")].map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver(
  (changes) =>
    changes.filter((change) => change.isIntersecting).forEach((change) => {
      entries.forEach((link) => link.classList.remove("current"));
      entries.get(change.target.id).classList.add("current");
    }),
  { rootMargin: "0px 0px -75% 0px" },
);
entries.forEach((_, id) => id !== "results" && seen.observe(document.getElementById(id)));
