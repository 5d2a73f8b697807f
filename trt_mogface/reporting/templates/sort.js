// Sorts a table by a column: each heading becomes a button, and aria-sort says what is sorted.
"use strict";
{
  const order = new Intl.Collator("en", { numeric: true });

  // The number that a cell begins with (12.5, 95.3%, "3 of 4"), or NaN.
  const number = (text) => (/^[-+]?\.?\d/.test(text) ? parseFloat(text) : NaN);

  const comparison = (cells) => {
    const filled = cells.filter((cell) => cell !== "" && cell !== "-");
    const numeric = filled.length > 0 && filled.every((cell) => !Number.isNaN(number(cell)));
    return numeric ? (a, b) => number(a) - number(b) : order.compare;
  };

  const sort = (table, column, direction) => {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, cell: row.cells[column].textContent.trim() }));
    const compare = comparison(rows.map(({ cell }) => cell));
    const isBlank = (cell) => cell === "" || cell === "-";
    rows.sort((a, b) => isBlank(a.cell) - isBlank(b.cell) || (isBlank(a.cell) ? 0 : direction * compare(a.cell, b.cell)));
    body.replaceChildren(...rows.map(({ row }) => row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = Array.from(table.tHead.rows[0].cells);
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const falling = heading.getAttribute("aria-sort") === "ascending";
        for (const each of headings) each.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
        sort(table, column, falling ? -1 : 1);
      });
    });
  }
}
