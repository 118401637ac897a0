"use strict";
const MODELS = JSON.parse(document.getElementById("models").textContent);
const SHOWN = 100;

// Every table's rows come as JSON beside it; the page has the first of them already.
const tables = [...document.querySelectorAll(".table")].map((box) => {
  const data = JSON.parse(box.querySelector("script").textContent);
  const order = data.columns[0].rows.map((_, row) => row);
  return { box, data, body: box.querySelector("tbody"), order, all: false, words: [] };
});

// A column holds each of its texts once, and for each row which of them it has.
const text = ({ texts, rows }, row) => texts[rows[row]];

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function cells(data, row) {
  return data.columns.map((column, number) => {
    const cell = element("td", { innerHTML: text(column, row), className: data.align[number] });
    if (cell.textContent.length > 80) cell.classList.add("wide");
    return cell;
  });
}

function plain(html) {
  return html.replace(/<[^>]*>/g, "");
}

function line(table, row) {
  const made = element("tr", {}, ...cells(table.data, row));
  if (table.data.opens) {
    const first = made.firstChild;
    const button = element("button", { type: "button", onclick: () => toggle(table, row, made) });
    button.append(...first.childNodes);
    button.setAttribute("aria-expanded", "false");
    first.append(button);
  }
  return made;
}

function show(table) {
  const { data, words } = table;
  const whole = (row) => plain(data.columns.map((column) => text(column, row)).join(" ")).toLowerCase();
  const matches = (row) => words.every((word) => whole(row).includes(word));
  const chosen = words.length ? table.order.filter(matches) : table.order;
  const shown = table.all ? chosen : chosen.slice(0, SHOWN);
  table.body.replaceChildren(...shown.map((row) => line(table, row)));
  const count = table.box.querySelector(".count");
  if (count) count.textContent = `${shown.length.toLocaleString("en")} of ${table.order.length.toLocaleString("en")} rows`;
  const more = table.box.querySelector(".more");
  if (more) more.hidden = shown.length === chosen.length;
}

function sort(table, column, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.box.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const { texts, rows, numbers } = table.data.columns[column];
  const keys = numbers || texts.map(plain);
  const compare = numbers ? (a, b) => a - b : new Intl.Collator("en", { numeric: true }).compare;
  const places = keys.map((_, place) => place).sort((a, b) => {
    const missing = [a, b].map((place) => keys[place] === null || keys[place] === "" || keys[place] === "–");
    if (missing[0] || missing[1]) return missing[0] - missing[1]; // always last
    return down ? compare(keys[b], keys[a]) : compare(keys[a], keys[b]);
  });
  const rank = [];
  places.forEach((place, position) => { rank[place] = position; });
  table.order.sort((a, b) => rank[rows[a]] - rank[rows[b]]);
  show(table);
}

// A model's own rows of all tables, below its row.
function toggle(table, row, made) {
  const button = made.querySelector("button");
  const opened = made.nextElementSibling?.classList.contains("opened");
  button.setAttribute("aria-expanded", String(!opened));
  if (opened) return made.nextElementSibling.remove();
  const model = table.data.keys[row];
  const inside = element("td", { colSpan: table.data.titles.length });
  for (const { data, box } of tables) {
    if (data.opens || !data.keys) continue;
    const rows = data.keys.flatMap((key, index) => (key === model ? [index] : []));
    if (!rows.length) continue;
    const head = data.titles.map((title, column) => element("th", { innerHTML: title, className: data.align[column] }));
    const body = rows.map((index) => element("tr", {}, ...cells(data, index)));
    const own = element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
    inside.append(element("h3", { textContent: box.dataset.title }), element("div", { className: "scroll" }, own));
  }
  made.after(element("tr", { className: "opened" }, inside));
  history.replaceState(null, "", `#model=${encodeURIComponent(MODELS[model])}`);
}

function csv(table) {
  const quoted = (word) => `"${word.replace(/"/g, '""')}"`;
  const decoded = (html) => Object.assign(document.createElement("textarea"), { innerHTML: plain(html) }).value;
  const cell = (column, row) => column.numbers?.[column.rows[row]] ?? quoted(decoded(text(column, row)));
  const rows = table.order.map((row) => table.data.columns.map((column) => cell(column, row)).join(","));
  const lines = [table.data.titles.map((title) => quoted(decoded(title))).join(","), ...rows].join("\n");
  const link = element("a", { href: URL.createObjectURL(new Blob([lines], { type: "text/csv" })) });
  link.download = `${table.box.dataset.name || "table"}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function openAt(hash) {
  const wanted = decodeURIComponent(hash.slice(1));
  if (wanted.startsWith("model=")) {
    const table = tables.find(({ data }) => data.opens);
    const row = table?.data.keys.indexOf(MODELS.indexOf(wanted.slice(6))) ?? -1;
    if (row < 0) return;
    table.order = [row, ...table.order.filter((other) => other !== row)];
    show(table);
    table.body.querySelector("button").click();
    reveal(table.box);
    return;
  }
  reveal(document.getElementById(wanted));
}

function reveal(target) {
  for (let folded = target?.closest("details"); folded; folded = folded.parentElement.closest("details")) folded.open = true;
  target?.scrollIntoView();
}

for (const table of tables) {
  table.box.querySelectorAll("th").forEach((head, column) => {
    const button = element("button", { type: "button", onclick: () => sort(table, column, head) });
    button.append(...head.childNodes);
    head.append(button);
  });
  if (table.order.length > 5) {
    const filter = element("input", { type: "search", placeholder: "Filter rows" });
    filter.setAttribute("aria-label", `Filter the rows of ${table.box.dataset.title}`);
    filter.oninput = () => {
      table.words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      show(table);
    };
    const more = element("button", { type: "button", className: "more", textContent: "Show all", hidden: true });
    more.onclick = () => { table.all = true; show(table); };
    const save = element("button", { type: "button", textContent: "CSV", onclick: () => csv(table) });
    table.box.prepend(element("div", { className: "tools" }, filter, element("span", { className: "count" }), more, save));
  }
  if (table.data.opens || table.order.length > 5) show(table);
}
addEventListener("hashchange", () => openAt(location.hash));
if (location.hash) openAt(location.hash);
