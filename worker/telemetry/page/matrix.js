/* The matrix: a table of what is in sight, over an extent as large as all of it. */

const NAME_SHOWN = 120;

/** A place is a row and a column, from 0; -1 is where the names are. */
class Matrix {
  constructor() {
    /** @type {Daemon | null} */
    this.daemon = null;
    /** @type {Project[]} */
    this.rows = [];
    /** @type {number[]} */
    this.cols = [];
    /** @type {Map<string, Share>} */
    this.shares = new Map();
    /** @type {Place} the one cell, or name, of those in sight that the keyboard reaches */
    this.cursor = [0, 0];
    this.chosen = false;
    this.size = this.names = this.heads = 0;
    /** @type {Place} how many rows and columns are in sight */
    this.seen = [0, 0];
    /** @type {Place} the first of them */
    this.from = [0, 0];
    this.window = $("window");
    this.body = $("grid").tBodies[0];
    this.head = /** @type {HTMLTableSectionElement} */ ($("grid").tHead).rows[0];
    this.search = new Search(() => this.filter());
    this.window.addEventListener("scroll", () => this.paint());
    addEventListener("resize", () => this.layOut());
    $("grid").addEventListener("keydown", (event) => this.press(event));
    $("grid").addEventListener("click", (event) => this.point(event.target));
    $("grid").addEventListener("mouseover", (event) => this.hover(event.target));
  }

  /** @param {Daemon} daemon */
  take(daemon) {
    this.daemon = daemon;
    this.shares = new Map(daemon.shares.map((share) => [shareKey(share), share]));
    this.filter();
  }

  filter() {
    if (!this.daemon) return;
    const [project, image] = this.at(this.cursor);
    const { images } = this.daemon;
    [this.rows, this.cols] = this.search.found(this.daemon);
    /** @param {number} count @param {number} found @param {number} before */
    const place = (count, found, before) => (before < 0 ? before : found < 0 ? Math.min(before, count - 1) : found);
    const row = this.rows.findIndex((each) => each.id === project?.id);
    const col = this.cols.findIndex((index) => images[index].id === image?.id);
    this.cursor = [place(this.rows.length, row, this.cursor[0]), place(this.cols.length, col, this.cursor[1])];
    this.search.draw(this.daemon, this.rows, this.cols);
    this.layOut();
  }

  /* Where it is seen. */

  layOut() {
    if (!this.daemon) return;
    this.measure(this.daemon);
    const { rows, cols, window: box } = this;
    box.hidden = !rows.length || !cols.length;
    const room = Math.max(Math.floor((innerHeight * 0.75 - this.heads) / this.size), 6);
    box.style.overflowY = rows.length > room ? "scroll" : "hidden";
    box.style.overflowX = cols.length * this.size > box.clientWidth - this.names ? "scroll" : "hidden";
    const border = box.offsetHeight - box.clientHeight;
    box.style.height = `${this.heads + Math.min(rows.length, room) * this.size + border}px`;
    /** @param {number} space @param {number} count */
    const fitting = (space, count) => Math.max(Math.min(Math.floor(space / this.size), count), 0);
    const seen = [
      fitting(box.clientHeight - this.heads, rows.length),
      fitting(box.clientWidth - this.names, cols.length),
    ];
    this.seen = [seen[0], seen[1]];
    $("extent").style.height = `${box.clientHeight + (rows.length - seen[0]) * this.size}px`;
    $("extent").style.width = `${box.clientWidth + (cols.length - seen[1]) * this.size}px`;
    $("grid").setAttribute("aria-rowcount", String(rows.length + 1));
    $("grid").setAttribute("aria-colcount", String(cols.length + 1));
    $("grid").style.width = `${this.names + seen[1] * this.size}px`;
    this.pool();
    this.paint();
    if (this.chosen || box.hidden) this.tell();
  }

  /**
   * Find how large a cell, a name and the head are.
   * @param {Daemon} daemon
   */
  measure({ images }) {
    const { documentElement: root } = document;
    /** @param {string[]} texts */
    const longest = (texts) => texts.reduce((most, text) => Math.max(most, text.length), 0);
    const widest = Math.round(/** @type {Element} */ (this.window.parentElement).clientWidth * 0.42);
    this.size = parseFloat(getComputedStyle(root).getPropertyValue("--cell"));
    this.names = Math.min(longest(this.rows.map((row) => row.name)) * 8 + 50, 280, widest);
    const heads = Math.min(longest(this.cols.map((col) => images[col].name)) * 7 + 16, 150);
    this.heads = Math.max(heads, this.size);
    root.style.setProperty("--names", `${this.names}px`);
    root.style.setProperty("--heads", `${this.heads}px`);
  }

  /** Have as many cells as are in sight. */
  pool() {
    const [rows, cols] = this.seen;
    fit(this.head, cols + 1, () => headCell("col"));
    fit(this.body, rows, () => {
      const row = make("tr");
      const name = headCell("row");
      name.ariaColIndex = "1";
      partsOf(name)[0].append(make("span"), make("b"));
      row.append(name);
      return row;
    });
    for (const row of this.body.rows) fit(row, cols + 1, () => make("td"));
  }

  /** @returns {Place} */
  origin() {
    /** @param {number} scrolled @param {number} count @param {number} seen */
    const first = (scrolled, count, seen) => Math.max(Math.min(Math.round(scrolled / this.size), count - seen), 0);
    const { scrollTop: top, scrollLeft: left } = this.window;
    return [first(top, this.rows.length, this.seen[0]), first(left, this.cols.length, this.seen[1])];
  }

  paint() {
    if (!this.daemon) return;
    this.from = this.origin();
    const [top, left] = this.from;
    for (let col = 0; col < this.seen[1]; col++) {
      const cell = this.head.cells[col + 1];
      cell.ariaColIndex = String(left + col + 2);
      show(partsOf(cell)[0], this.daemon.images[this.cols[left + col]].name.slice(0, NAME_SHOWN));
    }
    for (let row = 0; row < this.seen[0]; row++) this.paintRow(this.body.rows[row], top + row, left);
    this.placeCursor();
  }

  /** @param {HTMLTableRowElement} line @param {number} row @param {number} left */
  paintRow(line, row, left) {
    const project = this.rows[row];
    const [name, off] = partsOf(partsOf(line.cells[0])[0]);
    const { checked } = this.search;
    line.ariaRowIndex = String(row + 2);
    show(name, project.name.slice(0, NAME_SHOWN));
    say(off, project.converged < project.desired ? number(project.desired - project.converged) : "");
    for (let col = 0; col < this.seen[1]; col++) {
      const cell = line.cells[col + 1];
      const letter = project.row[this.cols[left + col]];
      if (cell.ariaColIndex !== `${left + col + 2}`) cell.ariaColIndex = `${left + col + 2}`;
      cell.classList.toggle("dim", checked.size > 0 && !checked.has(letter));
      if (cell.dataset.is !== letter) paintCell(cell, letter);
    }
  }

  /* The cursor. */

  /** @param {Place} place */
  cellAt([row, col]) {
    const line = row < 0 ? this.head : this.body.rows[row - this.from[0]];
    return line?.cells[col < 0 ? 0 : col - this.from[1] + 1];
  }

  placeCursor() {
    /** @param {0 | 1} axis */
    const within = (axis) => {
      const [at, from] = [this.cursor[axis], this.from[axis]];
      return at < 0 ? at : Math.max(Math.min(at, from + this.seen[axis] - 1), from);
    };
    this.cursor = [within(0), within(1)];
    const before = $("grid").querySelector("[tabindex]");
    const now = this.cellAt(this.cursor);
    if (before === now || !now) return;
    const hadFocus = before === document.activeElement;
    before?.removeAttribute("tabindex");
    before?.removeAttribute("aria-describedby");
    now.tabIndex = 0;
    now.setAttribute("aria-describedby", "cell");
    if (hadFocus) now.focus({ preventScroll: true });
  }

  /** @param {Place} place */
  moveTo([row, col]) {
    const ends = [this.rows.length - 1, this.cols.length - 1];
    this.cursor = [Math.max(Math.min(row, ends[0]), -1), Math.max(Math.min(col, ends[1]), -1)];
    /** @param {0 | 1} axis */
    const reveal = (axis) => {
      const [at, from, seen] = [this.cursor[axis], this.from[axis], this.seen[axis]];
      return at < 0 ? from : at < from ? at : at >= from + seen ? at - seen + 1 : from;
    };
    const [top, left] = [reveal(0), reveal(1)];
    if (top !== this.from[0]) this.window.scrollTop = top * this.size;
    if (left !== this.from[1]) this.window.scrollLeft = left * this.size;
    this.chosen = true;
    this.tell();
    this.paint();
    this.cellAt(this.cursor)?.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const [row, col] = this.cursor;
    const page = Math.max(this.seen[0] - 1, 1);
    const all = event.ctrlKey || event.metaKey;
    /** @type {Record<string, Place>} */
    const places = {
      ArrowUp: [row - 1, col],
      ArrowDown: [row + 1, col],
      ArrowLeft: [row, col - 1],
      ArrowRight: [row, col + 1],
      PageUp: [Math.max(row - page, 0), col],
      PageDown: [row + page, col],
      Home: [all ? 0 : row, 0],
      End: [all ? Infinity : row, Infinity],
    };
    const to = places[event.key];
    if (!to || event.altKey) return;
    event.preventDefault();
    this.moveTo(to);
  }

  /** @param {EventTarget | null} target */
  cellOf(target) {
    return /** @type {Element} */ (target).closest(/** @type {"td"} */ ("td, th"));
  }

  /**
   * @param {HTMLTableCellElement} cell
   * @returns {Place}
   */
  placeOf(cell) {
    const line = /** @type {HTMLTableRowElement} */ (cell.parentElement);
    const row = line === this.head ? -1 : this.from[0] + line.sectionRowIndex;
    return [row, cell.cellIndex ? this.from[1] + cell.cellIndex - 1 : -1];
  }

  /** @param {EventTarget | null} target */
  point(target) {
    const cell = this.cellOf(target);
    if (cell) this.moveTo(this.placeOf(cell));
  }

  /** @param {EventTarget | null} target */
  hover(target) {
    const cell = this.cellOf(target);
    if (cell) cell.title = spelt(this.wordsFor(this.placeOf(cell)));
  }

  /* What a place is about. */

  /**
   * @param {Place} place
   * @returns {[project: Project | undefined, image: Image | undefined]}
   */
  at([row, col]) {
    return [this.rows[row], this.daemon?.images[this.cols[col]]];
  }

  tell() {
    show($("cell"), this.window.hidden ? whyHidden(this.daemon) : this.wordsFor(this.cursor));
  }

  /** @param {Place} place */
  wordsFor(place) {
    const [project, image] = this.at(place);
    if (!project) return image ? `Image ${image.name} (${image.id}).` : "Projects in rows, images in columns.";
    if (!image) return projectWords(project);
    const share = this.shares.get(`${project.id} ${image.id}`);
    const letter = project.row[this.cols[place[1]]];
    return `${image.name} in ${project.name}: ${share ? shareWords(share) : letterWords(letter)}`;
  }
}
