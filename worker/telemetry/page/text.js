/* Text. What comes from outside is only ever text; what would be obeyed, hidden or turned around is spelt out. */

const PLAIN = /^[ -~…]*$/; // spares the costly one almost always
const ODD = /((?:(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}])+)/u;

/**
 * @template {keyof Ids} K
 * @param {K} id
 * @returns {Ids[K]}
 */
const $ = (id) => /** @type {Ids[K]} */ (document.getElementById(id));

/** @param {Element} node */
const partsOf = (node) => /** @type {HTMLElement[]} */ ([...node.children]);

/** @param {string} text @param {string} keep a character that is left as it is */
function spelt(text, keep = "") {
  if (PLAIN.test(text)) return text;
  return Array.from(text, (char) =>
    ODD.test(char) && char !== keep ? `\\u{${char.codePointAt(0)?.toString(16)}}` : char,
  ).join("");
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {string} text
 */
function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

/** @param {Node} node @param {string} text */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @type {WeakMap<Element, string>} */
const shown = new WeakMap();

/** @param {Element} node @param {string} text */
function show(node, text) {
  if (shown.get(node) === text) return;
  shown.set(node, text);
  const bdi = make("bdi");
  const parts = PLAIN.test(text) ? [text] : text.split(ODD);
  bdi.append(...parts.map((part, index) => (index % 2 ? make("span", "odd", spelt(part)) : part)));
  node.replaceChildren(bdi);
}

/** @param {Element} cell @param {string} text */
function showName(cell, text) {
  const node = partsOf(cell)[0] ?? cell.appendChild(make("span", "name"));
  if (shown.get(node) === text) return;
  show(node, text);
  node.title = spelt(text);
}

/** @param {Element} node @param {string} text */
function showBlock(node, text) {
  say(node, spelt(text, "\n"));
}

/** Let the keyboard reach what is cut off, and only that. */
function reachCut() {
  /** @type {HTMLElement[]} */
  const nodes = [...document.querySelectorAll(/** @type {"div"} */ (".name, .scroll"))];
  const others = nodes.filter((node) => node !== document.activeElement);
  const isCut = others.map((node) => node.scrollWidth > node.clientWidth);
  for (const [index, node] of others.entries()) {
    if (isCut[index]) node.tabIndex = 0;
    else node.removeAttribute("tabindex");
  }
}

/* Words. */

const GRAVEST_FIRST = /** @type {Status[]} */ (Object.keys(STATUSES));

/** @param {string} letter */
const statusOf = (letter) => GRAVEST_FIRST.find((status) => STATUSES[status].letter === letter);

/** @param {string} status */
const words = (status) =>
  status in STATUSES ? STATUSES[/** @type {Status} */ (status)].words : status.replaceAll("_", " ");

/** @param {number} value */
const number = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

/** @param {number} count @param {string} noun @param {string} ending */
const many = (count, noun, ending = "s") => `${number(count)} ${noun}${count === 1 ? "" : ending}`;

/** @param {Record<string, number>} counts by status */
const listed = (counts) =>
  Object.entries(counts)
    .filter(([, count]) => count)
    .map(([status, count]) => `${number(count)} ${words(status)}`)
    .join(", ");

/** @param {string[]} parts */
const joined = (...parts) => parts.filter(Boolean).join(": ");

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/* Commands to copy. */

/** @param {string} verb @param {ShareId} share */
function commandFor(verb, share) {
  /** @param {string} name @param {string} id */
  const word = (name, id) => (/^\w[\w.-]*$/.test(name) ? name : id);
  return `ims-share-worker ${verb} ${word(share.image, share.image_id)} ${word(share.project, share.project_id)}`;
}

/** @param {Element} node @param {string} text */
function showCommand(node, text) {
  if (shown.get(node) === text) return;
  shown.set(node, text);
  const code = make("code", "", text);
  const button = make("button", "", "Copy");
  const box = make("span", "command");
  button.type = "button";
  button.setAttribute("aria-label", `Copy: ${text}`);
  button.onclick = () => copy(code, button);
  box.append(code, button);
  node.replaceChildren(box);
}

/** @param {HTMLElement} code @param {HTMLElement} button */
async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    say(button, "Copied");
  } catch {
    getSelection()?.selectAllChildren(code);
    say(button, "Selected");
  }
  setTimeout(say, 1500, button, "Copy");
}
