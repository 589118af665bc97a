/* Lists and tables, changed in place so that focus, scroll and what is open stay. */

const ROWS_AT_FIRST = 8;
const ROWS_MORE = 100;

/** @type {WeakMap<Element, string>} */
const keys = new WeakMap();

/**
 * Have a child of the parent for each item, in their order.
 * @template T
 * @template {HTMLElement} N
 * @param {Element} parent
 * @param {readonly T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => N} create
 * @param {(node: N, item: T) => void} fill
 */
function keyed(parent, items, keyOf, create, fill) {
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  /** @type {Map<string, N>} */
  const old = new Map();
  for (const node of /** @type {N[]} */ (partsOf(parent))) {
    const key = keys.get(node);
    if (key !== undefined && wanted.has(key)) old.set(key, node);
    else node.remove();
  }
  let at = parent.firstElementChild;
  for (const [key, item] of wanted) {
    const node = old.get(key) ?? create(item);
    keys.set(node, key);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
    fill(node, item);
  }
}

/**
 * Have as many children as counted.
 * @param {Element} parent
 * @param {number} count
 * @param {() => Element} create
 */
function fit(parent, count, create) {
  while (parent.children.length > count) parent.lastElementChild?.remove();
  while (parent.children.length < count) parent.append(create());
}

/**
 * A table of some rows, with a button for more.
 * @template T
 */
class Table {
  /** @param {Element} box @param {TableOf<T>} about */
  constructor(box, { label, columns, keyOf, empty = "" }) {
    this.columns = columns;
    this.keyOf = keyOf;
    /** @type {readonly T[]} */
    this.items = [];
    this.limit = ROWS_AT_FIRST;
    this.empty = make("p", "quiet", empty);
    this.scroll = make("div", "scroll");
    this.scroll.role = "group";
    this.scroll.ariaLabel = label;
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const [title, , className] of columns) {
      const cell = make("th", className, title);
      cell.scope = "col";
      head.append(cell);
    }
    this.body = table.createTBody();
    this.more = make("button", "more");
    this.more.type = "button";
    this.more.onclick = () => {
      this.limit += ROWS_MORE;
      this.fill(this.items);
    };
    this.scroll.append(table);
    box.append(this.empty, this.scroll, this.more);
  }

  /** @param {readonly T[]} items */
  fill(items) {
    this.items = items;
    this.empty.hidden = items.length > 0;
    this.scroll.hidden = !items.length;
    this.more.hidden = items.length <= this.limit;
    say(this.more, `Show more: ${number(items.length - this.limit)} of ${number(items.length)} are not shown`);
    keyed(
      this.body,
      items.slice(0, this.limit),
      this.keyOf,
      () => this.row(),
      (row, item) => {
        for (const [index, [, fill]] of this.columns.entries()) fill(row.cells[index], item);
      },
    );
  }

  row() {
    const row = make("tr");
    row.append(...this.columns.map(([, , className]) => make("td", className)));
    return row;
  }
}
