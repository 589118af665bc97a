/* What stands in the way of everything, and what is not as desired. */

const ALLOWED =
  'The manifest allows for that (when_absent = "wait"); it is taken up as soon as the owner shares the image.';

/** @param {Daemon} daemon */
function drawNotices(daemon) {
  keyed($("notices"), noticesOf(daemon), (notice) => notice.key, newNotice, fillNotice);
}

/**
 * @param {Daemon} daemon
 * @returns {Notice[]}
 */
function noticesOf(daemon) {
  const { refused, paused, reload_error: reload } = daemon;
  /** @type {Notice[]} */
  const notices = [];
  if (refused.length) {
    const title = "Refused by the guards. If this is what you want, let exactly this plan pass once:";
    const command = `ims-share-worker approve ${daemon.digest}`;
    notices.push({ key: "refused", title, lines: daemon.refusal, command });
  }
  if (paused) {
    const title = `${capital(paused.reason)}: passes plan and report, and send nothing. To have them send again:`;
    notices.push({ key: "paused", title, at: paused.at, command: "ims-share-worker resume" });
  }
  if (reload) notices.push({ key: "reload", title: `${capital(reload.what)}:`, at: reload.at, block: reload.reason });
  const unread = daemon.unread.slice(isUnread(daemon) ? 1 : 0);
  if (unread.length) {
    const title =
      "Nothing is planned for what could not be read. Check id, region and credential of these projects; " +
      "the next pass reads them again.";
    notices.push({ key: "unread", title, lines: unread });
  }
  const lines = refusedCredentials(daemon);
  if (lines.length) {
    const title =
      "The cloud refuses these credentials, so nothing is asked with them. Check their keys; " +
      "a later pass tries them anew.";
    notices.push({ key: "credentials", title, lines });
  }
  return notices;
}

/**
 * Return the names of the credentials that are refused, but for those that another line tells of.
 * @param {Daemon} daemon
 */
function refusedCredentials({ credentials, unread }) {
  /** @param {string} name */
  const isTold = (name) => unread.some((line) => line.includes(`credential "${name}"`));
  return credentials.filter(({ name, refused }) => refused && !isTold(name)).map(({ name }) => name);
}

function newNotice() {
  const box = make("div", "notice");
  const block = make("pre");
  block.tabIndex = 0;
  block.role = "group";
  block.ariaLabel = "What is wrong";
  box.append(make("h3"), make("p", "when"), make("ul"), block, make("p"));
  return box;
}

/** @param {HTMLElement} box @param {Notice} notice */
function fillNotice(box, { title, at, lines = [], block, command }) {
  const [heading, when, list, pre, run] = partsOf(box);
  show(heading, title);
  when.hidden = !at;
  if (at) showTime(when, at);
  list.hidden = !lines.length;
  keyed(
    list,
    lines,
    (line) => line,
    () => make("li"),
    show,
  );
  pre.hidden = !block;
  if (block) showBlock(pre, block);
  run.hidden = !command;
  if (command) showCommand(run, command);
}

/**
 * Return the shares by status and reason, the gravest first, and of those the largest.
 * @param {Share[]} shares
 */
function groupsOf(shares) {
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (const share of shares) {
    const own = share.job_id ? share.reason.replaceAll(share.job_id, "…") : share.reason;
    const reason = own.replace(/ \[request [^\]]*\]/g, "");
    const key = `${share.bucket} ${share.waits} ${reason}`;
    const group = groups.get(key) ?? { key, status: share.bucket, waits: share.waits, reason, shares: [] };
    group.shares.push(share);
    groups.set(key, group);
  }
  /** @param {Group} group */
  const rank = (group) => GRAVEST_FIRST.indexOf(group.status) + (group.waits ? 0.5 : 0);
  return [...groups.values()].sort((one, other) => rank(one) - rank(other) || other.shares.length - one.shares.length);
}

/** @param {Daemon} daemon */
function drawGroups(daemon) {
  const unreadable = new Set(daemon.projects.filter((project) => project.unreadable).map((project) => project.id));
  const shares = daemon.shares.filter((share) => share.bucket !== "unknown" || !unreadable.has(share.project_id));
  const groups = groupsOf(shares);
  const known = shares.filter((share) => share.bucket !== "unknown").length;
  const moving = MOVING.reduce((total, status) => total + daemon.counts[status], 0);
  const off = daemon.desired - daemon.counts.converged - daemon.counts.unknown - moving;
  const total = off + shares.length - known;
  say($("why-count"), total ? many(total, "share") : "");
  keyed($("groups"), groups.slice(0, ROWS_MORE), (group) => group.key, newGroup, fillGroup);
  if (groups.length) {
    const unlisted = Math.max(off - known, 0);
    const more = Math.max(groups.length - ROWS_MORE, 0);
    const omitted = unlisted ? `${many(unlisted, "more share")} not listed here; the matrix shows all. ` : "";
    say($("why-note"), omitted + (more ? `${many(more, "further reason")} not listed here.` : ""));
  } else if (unreadable.size) say($("why-note"), "Nothing else stands in the way.");
  else say($("why-note"), daemon.digest ? "Nothing stands in the way." : "Nothing is known yet.");
}

/**
 * What a group holds, and its table once it has been opened.
 * @type {WeakMap<Element, {group: Group, table?: Table<Share>}>}
 */
const opened = new WeakMap();

function newGroup() {
  const box = make("details");
  const summary = make("summary");
  const body = make("div");
  summary.append(make("span", "badge"), make("b"), make("span"));
  body.append(make("p", "quiet"));
  box.append(summary, body);
  box.addEventListener("toggle", () => box.open && fillShares(box));
  return box;
}

/** @param {HTMLDetailsElement} box @param {Group} group */
function fillGroup(box, group) {
  const [summary, body] = partsOf(box);
  const [badge, count, reason] = partsOf(summary);
  const { letter, sign, help } = STATUSES[group.status];
  badge.dataset.is = letter;
  say(badge, sign);
  say(count, number(group.shares.length));
  show(reason, `${words(group.status)}: ${group.reason || "no reason was given"}`);
  say(partsOf(body)[0], group.waits ? ALLOWED : help);
  opened.set(box, { ...opened.get(box), group });
  if (box.open) fillShares(box);
}

/** @param {HTMLDetailsElement} box */
function fillShares(box) {
  const held = opened.get(box);
  if (!held) return;
  const columns = shareColumns(held.group.status);
  held.table ??= new Table(partsOf(box)[1], { label: "Shares", columns, keyOf: shareKey });
  held.table.fill(held.group.shares);
}

/** @param {ShareId} share */
const shareKey = (share) => `${share.project_id} ${share.image_id}`;

/**
 * @param {Status} status
 * @returns {Column<Share>[]}
 */
function shareColumns(status) {
  /** @type {Column<Share>[]} */
  const columns = [
    ["Project", (cell, share) => showName(cell, share.project)],
    ["Image", (cell, share) => showName(cell, share.image)],
    ["Wanted", (cell, share) => say(cell, share.desired)],
    ["Reads", (cell, share) => say(cell, share.observed ?? (status === "unknown" ? "not read" : "in no list"))],
  ];
  if (status !== "quarantined" && status !== "unsettled") {
    return [...columns, ["Job", (cell, share) => showName(cell, share.job_id ?? "")]];
  }
  return [...columns, ["Release", (cell, share) => showCommand(cell, commandFor("release", share))]];
}
