/* Which projects and images of the matrix are to be seen, by the fields above it and the page's address. */

/** What the reader looks for, remembered by the address. */
class Search {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Set<string>} the letters of the statuses that alone are to be seen */
    this.checked = new Set();
    addEventListener("hashchange", () => this.readHash());
    for (const field of [$("project"), $("image"), $("drift")]) field.addEventListener("input", () => this.refine());
    $("chips").addEventListener("change", (event) => this.check(/** @type {HTMLInputElement} */ (event.target)));
    $("reset").addEventListener("click", () => this.reset());
    this.takeHash();
  }

  readHash() {
    this.takeHash();
    this.changed();
  }

  takeHash() {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return; // a place on the page, such as the one that the skip link leads to
    const wanted = new URLSearchParams(hash);
    $("project").value = wanted.get("project") ?? "";
    $("image").value = wanted.get("image") ?? "";
    $("drift").checked = wanted.has("drift");
    this.checked = new Set((wanted.get("show") ?? "").split(",").filter(Boolean));
  }

  refine() {
    const wanted = new URLSearchParams();
    if ($("project").value) wanted.set("project", $("project").value);
    if ($("image").value) wanted.set("image", $("image").value);
    if (this.checked.size) wanted.set("show", [...this.checked].join());
    if ($("drift").checked) wanted.set("drift", "1");
    history.replaceState(null, "", wanted.size ? `#${wanted}` : location.pathname + location.search);
    this.changed();
  }

  /** @param {HTMLInputElement} box */
  check(box) {
    if (box.checked) this.checked.add(box.value);
    else this.checked.delete(box.value);
    this.refine();
  }

  reset() {
    $("project").value = $("image").value = "";
    $("drift").checked = false;
    this.checked.clear();
    this.refine();
    $("project").focus();
  }

  /**
   * Return the rows and the columns that are looked for: projects, and the places of images.
   * @param {Daemon} daemon
   * @returns {[rows: Project[], cols: number[]]}
   */
  found({ projects, images }) {
    /** @param {{name: string, id: string, region?: string}} item @param {string} text */
    const matches = (item, text) =>
      [item.name, item.id, item.region].some((each) => each?.toLowerCase().includes(text));
    const [project, image] = [$("project"), $("image")].map((field) => field.value.trim().toLowerCase());
    const rows = projects.filter((each) => matches(each, project));
    const cols = [...images.keys()].filter((index) => matches(images[index], image));
    const letters = this.letters();
    return letters ? keepOnly(letters, rows, cols, images.length) : [rows, cols];
  }

  /** Return the letters that a row or a column needs to be seen; null where it needs none. */
  letters() {
    if (this.checked.size) return this.checked;
    if (!$("drift").checked) return null;
    const amiss = GRAVEST_FIRST.filter((status) => status !== "converged");
    return new Set(amiss.map((status) => STATUSES[status].letter));
  }

  /** @param {Daemon} daemon @param {Project[]} rows @param {number[]} cols */
  draw(daemon, rows, cols) {
    const { projects, images, unmanaged, counts } = daemon;
    /** @param {number} some @param {number} all @param {string} noun */
    const part = (some, all, noun) => (some === all ? many(all, noun) : `${number(some)} of ${many(all, noun)}`);
    const columns = daemon.matrix_omitted ? "too many images to show" : part(cols.length, images.length, "image");
    const others = unmanaged ? `; ${many(unmanaged, "offered share")} that nobody asked for, left alone` : "";
    say($("matrix-count"), `${part(rows.length, projects.length, "project")} × ${columns}${others}`);
    $("reset").hidden = !(this.checked.size || $("drift").checked || $("project").value || $("image").value);
    const chips = GRAVEST_FIRST.filter((status) => counts[status] || this.checked.has(STATUSES[status].letter));
    keyed(
      $("chips"),
      chips,
      (status) => status,
      newChip,
      (chip, status) => {
        const [box, , , amount] = chip.children;
        /** @type {HTMLInputElement} */ (box).checked = this.checked.has(STATUSES[status].letter);
        say(amount, number(counts[status]));
      },
    );
  }
}

/**
 * Keep the rows and columns where one of the letters is met.
 * @param {Set<string>} letters
 * @param {Project[]} rows
 * @param {number[]} cols
 * @param {number} images how many there are in a row
 * @returns {[rows: Project[], cols: number[]]}
 */
function keepOnly(letters, rows, cols, images) {
  const isWanted = new Uint8Array(128);
  const isHit = new Uint8Array(images);
  for (const letter of letters) isWanted[letter.charCodeAt(0) & 127] = 1;
  const kept = rows.filter(({ row }) => {
    const hits = cols.filter((col) => isWanted[row.charCodeAt(col) & 127]);
    for (const col of hits) isHit[col] = 1;
    return hits.length > 0;
  });
  return [kept, cols.filter((col) => isHit[col])];
}

/** @param {Status} status */
function newChip(status) {
  const { letter, sign } = STATUSES[status];
  const chip = make("label", "chip");
  const box = make("input");
  const badge = make("span", "badge", sign);
  box.type = "checkbox";
  box.value = letter;
  badge.dataset.is = letter;
  badge.ariaHidden = "true";
  chip.append(box, badge, make("span", "", words(status)), make("b"));
  return chip;
}
