// Sorting, and where a number comes from. The page says all it has to say without this too.
(() => {
  "use strict";

  const key = (row, column) => {
    const cell = row.cells[column];
    if (cell === undefined) return null;
    if (cell.dataset.v !== undefined) return cell.dataset.v.split("|").map(Number);
    const text = cell.textContent.trim();
    return text === "" || text === "\u2013" ? null : text;
  };

  const compare = (a, b) => {
    if (typeof a !== "object" || typeof b !== "object") return String(a).localeCompare(String(b), "en");
    for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
    return 0;
  };

  // Lines that belong together share a body and stay together: they are placed by their first line.
  const sort = (table, column, order) => {
    const whole = table.tBodies.length > 1;
    const parent = whole ? table : table.tBodies[0];
    const items = [...(whole ? table.tBodies : parent.rows)];
    items.forEach((item, i) => { item.dataset.i ??= i; });
    const place = (item) => Number(item.dataset.i);
    const first = (item) => (whole ? item.rows[0] : item);
    items.sort((x, y) => {
      if (order === "none") return place(x) - place(y);
      const [a, b] = [key(first(x), column), key(first(y), column)];
      // What has no value is last either way.
      if (a === null || b === null) return (a === null) - (b === null) || place(x) - place(y);
      return (order === "ascending" ? compare(a, b) : compare(b, a)) || place(x) - place(y);
    });
    parent.append(...items);
  };

  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (head.textContent === "") return;
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort";
      button.append(...head.childNodes);
      head.append(button);
      const numbers = !head.classList.contains("name");
      const orders = numbers ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
      button.addEventListener("click", () => {
        const order = orders[(orders.indexOf(head.getAttribute("aria-sort") ?? "none") + 1) % 3];
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        if (order !== "none") head.setAttribute("aria-sort", order);
        sort(table, column, order);
      });
    });
  }

  const bar = document.createElement("div");
  bar.id = "origin";
  bar.setAttribute("role", "status");
  bar.hidden = true;
  document.body.append(bar);

  const link = (to, text) => {
    const found = document.createElement("a");
    found.href = to;
    found.textContent = text;
    return found;
  };

  const line = (...parts) => {
    const found = document.createElement("p");
    found.append(...parts);
    return found;
  };

  const close = () => {
    document.querySelector("td.asked")?.classList.remove("asked");
    bar.hidden = true;
  };

  const show = (cell) => {
    close();
    cell.classList.add("asked");
    const table = cell.closest(".table");
    const row = cell.parentElement;
    const names = [...row.querySelectorAll("th")].map((each) => each.textContent).join(" ");
    const column = cell.closest("table").tHead.rows[0].cells[cell.cellIndex].textContent;
    const [values, spreads, measures] = [cell.dataset.v, cell.dataset.s ?? "", table.dataset.m ?? ""].map((t) =>
      t.split("|"),
    );
    const texts = values.map((value, i) => {
      const measure = values.length === measures.length && measures[i] ? `${measures[i]} ` : "";
      return `${measure}${value}${spreads[i] ?? ""}`;
    });
    const rest = [];
    if (table.dataset.csv) rest.push("From ", link(table.dataset.csv, table.dataset.csv));
    const source = row.querySelector("th a");
    if (source) rest.push(rest.length ? "; what it is: " : "What it is: ", link(source.getAttribute("href"), source.textContent));
    const shut = document.createElement("button");
    shut.type = "button";
    shut.textContent = "\u00d7";
    shut.title = "Close";
    shut.addEventListener("click", close);
    bar.replaceChildren(line(`${names}, ${column}: ${texts.join("; ")}${table.dataset.which ? ` (${table.dataset.which})` : ""}`), line(...rest), shut);
    bar.hidden = false;
  };

  document.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-v]");
    if (cell) show(cell);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
})();
