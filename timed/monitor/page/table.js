// Tables that are sorted by a click or Enter on a column's head and updated in place.

import { element, keyed, setAttribute, setText } from "./dom.js";

/**
 * A table of `columns`: {title, value(row), text(row), kind, less, node(row)}.
 * `value` is what is sorted by, `text` what is shown, `kind` a class of the cell.
 */
export class Table {
  constructor(table, columns, { key, caption, sort = null, descending = false, rowClass = () => null, empty = "none" }) {
    Object.assign(this, { columns, key, rowClass, sort, descending, rows: [] });
    this.body = element("tbody");
    this.heads = columns.map((column, place) => this.head(column, place));
    this.empty = element("caption", { class: "empty" }, empty);
    table.append(element("thead", {}, element("tr", {}, ...this.heads)), this.body);
    if (caption) table.setAttribute("aria-label", caption);
    this.table = table;
    this.mark();
  }

  head(column, place) {
    const button = element("button", { type: "button" }, column.title);
    button.addEventListener("click", () => this.sortBy(place));
    const classes = [column.kind ?? "", column.less ? "less" : ""].join(" ").trim();
    return element("th", { scope: "col", class: classes || null, title: column.help ?? null }, button);
  }

  sortBy(place) {
    this.descending = this.sort === place ? !this.descending : !this.columns[place].kind?.startsWith("text");
    this.sort = place;
    this.mark();
    this.show(this.rows);
  }

  mark() {
    this.heads.forEach((head, place) =>
      setAttribute(head, "aria-sort", place !== this.sort ? null : this.descending ? "descending" : "ascending"));
  }

  /** Show these rows. */
  show(rows) {
    this.rows = rows;
    const sorted = this.sort === null ? rows : [...rows].sort((one, two) => this.compare(one, two));
    const made = keyed(this.body, sorted.map(this.key), (key) => this.make(key));
    made.forEach((line, place) => this.fill(line, sorted[place]));
    if (rows.length) this.empty.remove();
    else this.table.prepend(this.empty);
  }

  make(key) {
    const line = element("tr", { "data-key": key });
    for (const column of this.columns) {
      const classes = [column.kind ?? "", column.less ? "less" : ""].join(" ").trim();
      line.append(element("td", { class: classes || null }));
    }
    return line;
  }

  fill(line, row) {
    setAttribute(line, "class", this.rowClass(row));
    this.columns.forEach((column, place) => {
      const cell = line.children[place];
      if (column.node) {
        if (!cell.firstChild) cell.append(column.node(row));
      } else {
        setText(cell, column.text ? column.text(row) : String(column.value(row)));
      }
      if (column.tone) setAttribute(cell, "class", [column.kind, column.less ? "less" : null, column.tone(row)].filter(Boolean).join(" ") || null);
      if (column.hint) setAttribute(cell, "title", column.hint(row));
    });
  }

  compare(one, two) {
    const value = this.columns[this.sort].value;
    const a = value(one), b = value(two);
    const unknown = (each) => each === null || each === undefined;
    // What is not known stands last, whichever way.
    if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return this.descending ? -order : order;
  }
}
