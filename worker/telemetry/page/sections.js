/* Jobs, limits, quarantine, what is left alone, passes, troubles. */

/** @type {Record<string, string>} */
const RESULT_SIGNS = { converged: "✓", incomplete: "…", partial: "~", failed: "!", refused: "×" };

/** @type {Table<SentBatch>} */
const jobs = new Table($("jobs"), {
  label: "Jobs in flight",
  keyOf: (job) => `${job.job_id} ${job.project_id} ${job.sent_at}`,
  empty: "No job is in flight.",
  columns: [
    ["Sent", (cell, job) => showTime(cell, job.sent_at)],
    ["Project", (cell, job) => showName(cell, job.project)],
    ["Images", (cell, job) => showName(cell, `${number(job.images)}: ${job.named}`)],
    ["To become", (cell, job) => say(cell, job.status)],
    ["Given up", (cell, job) => showTime(cell, job.given_up_at)],
    ["Job", (cell, job) => showName(cell, job.job_id ?? "its answer was lost")],
  ],
});

/** @type {Table<Limit>} */
const limits = new Table($("limits"), {
  label: "Limits",
  keyOf: (limit) => `${limit.account} ${limit.group}`,
  empty: "No account is in use.",
  columns: [
    ["Account", (cell, limit) => showName(cell, limit.account)],
    ["Calls", (cell, limit) => say(cell, limit.group)],
    ["Left now", showLeft, "nowrap"],
    [
      "Configured",
      (cell, limit) => say(cell, limit.learned ? `${limit.configured}, throttled` : limit.configured),
      "nowrap",
    ],
    ["Waiting", (cell, limit) => say(cell, number(limit.waiting)), "number"],
    [
      "Paused",
      (cell, limit) => say(cell, limit.paused_for ? `for ${duration(limit.paused_for * 1000)}` : "no"),
      "nowrap",
    ],
  ],
});

/** @type {Table<Quarantined>} */
const quarantine = new Table($("quarantine"), {
  label: "Quarantine",
  keyOf: (share) => shareKey(share),
  empty: "Nothing is in quarantine.",
  columns: [
    ["Next try", (cell, share) => showTime(cell, share.next_try)],
    ["Project", (cell, share) => showName(cell, share.project)],
    ["Image", (cell, share) => showName(cell, share.image)],
    ["Failed", (cell, share) => say(cell, many(share.attempts, "time")), "nowrap"],
    ["Why", (cell, share) => show(cell, whyOf(share)), "wide"],
    ["To try at once", (cell, share) => showCommand(cell, commandFor("release", share))],
  ],
});

/** @type {Table<NoticedBy>} */
const noticed = new Table($("noticed"), {
  label: "Left alone",
  keyOf: (each) => `${each.rule ?? ""} ${each.owner ?? ""}`,
  empty: "Nothing is offered that the manifest does not speak of, and no rule reports anything.",
  columns: [
    ["Why", (cell, each) => showName(cell, each.rule === undefined ? "nothing speaks of it" : `rule ${each.rule}`)],
    ["Owner", (cell, each) => showName(cell, each.owner ?? "")],
    ["Shares", (cell, each) => say(cell, `${number(each.shares)} in ${many(each.projects, "project")}`), "nowrap"],
    ["Images", (cell, each) => showName(cell, `${number(each.images)}: ${each.named.join(", ")}`)],
  ],
});

/** @type {Table<Pass>} */
const passes = new Table($("passes"), {
  label: "Last passes",
  keyOf: (pass) => pass.run_id,
  empty: "No pass yet.",
  columns: [
    ["Ended", (cell, pass) => showTime(cell, pass.finished_at)],
    ["Took", (cell, pass) => say(cell, duration(tookOf(pass))), "nowrap"],
    ["Result", (cell, pass) => say(cell, pass.result)],
    ["Shares", (cell, pass) => say(cell, sharesOf(pass)), "wide"],
    ["Jobs", (cell, pass) => say(cell, pass.jobs === null ? "" : number(pass.jobs)), "number"],
    ["Calls", (cell, pass) => say(cell, pass.calls ? callsOf(pass.calls) : "")],
    ["Pass", (cell, pass) => showName(cell, pass.run_id)],
  ],
});

/** @type {Table<Incident>} */
const troubles = new Table($("troubles"), {
  label: "Recent troubles",
  keyOf: (trouble) => `${trouble.at} ${trouble.what} ${trouble.reason}`,
  empty: "None.",
  columns: [
    ["When", (cell, trouble) => showTime(cell, trouble.at)],
    ["What", (cell, trouble) => show(cell, trouble.what), "wide"],
    [
      "Why",
      (cell, trouble) => showBlock(cell.firstElementChild ?? cell.appendChild(make("pre")), trouble.reason),
      "wide",
    ],
  ],
});

/** @param {Quarantined} share */
function whyOf({ first_reason: first, last_reason: last }) {
  return last + (first === last ? "" : `; at first: ${first}`);
}

/** @param {Pass} pass */
function sharesOf(pass) {
  const { desired, ...counts } = pass.counts;
  return listed(counts);
}

/** @param {Record<string, number>} calls by group */
function callsOf({ throttled, retried, ...made }) {
  const total = Object.values(made).reduce((sum, count) => sum + count, 0);
  const again = retried ? `, ${number(retried)} repeated` : "";
  return number(total) + (throttled ? `, ${number(throttled)} throttled` : "") + again;
}

/** @param {HTMLElement} cell @param {Limit} limit */
function showLeft(cell, limit) {
  const meter = cell.querySelector("meter") ?? cell.appendChild(make("meter"));
  const left = Math.min(limit.left, limit.calls);
  const [low, high] = [limit.calls * 0.2, limit.calls * 0.5];
  Object.assign(meter, { max: limit.calls, low, high, optimum: limit.calls, value: left });
  meter.ariaLabel = `Calls left for ${limit.group}`;
  const text = `${number(left)} of ${limit.rate}`;
  const beside = meter.nextSibling ?? cell.appendChild(document.createTextNode(""));
  if (beside.nodeValue !== text) beside.nodeValue = text;
}

/** @param {Pass[]} latest the newest first */
function drawPasses(latest) {
  const longest = Math.max(...latest.map(tookOf), 1);
  keyed(
    $("bars"),
    latest.toReversed(),
    (pass) => pass.run_id,
    () => make("li"),
    (bar, pass) => {
      bar.dataset.result = pass.result;
      bar.style.height = `${Math.max((tookOf(pass) / longest) * 100, 20)}%`;
      bar.title = `${pass.result}, took ${duration(tookOf(pass))}, ended ${pass.finished_at}: ${sharesOf(pass)}`;
      say(bar, RESULT_SIGNS[pass.result] ?? "");
    },
  );
  $("bars").hidden = $("history").hidden = !latest.length;
  const counted = many(latest.length, "pass", "es");
  fact($("history"), `${counted}, the longest ${duration(longest)}, the first shown `, latest.at(-1)?.finished_at);
  passes.fill(latest);
}

/** @param {Daemon} daemon */
function drawSections(daemon) {
  jobs.fill(daemon.in_flight.toSorted((one, other) => Date.parse(one.sent_at) - Date.parse(other.sent_at)));
  limits.fill(daemon.limits);
  quarantine.fill(daemon.quarantined);
  noticed.fill([...daemon.unsolicited, ...daemon.reported]);
  troubles.fill(daemon.troubles);
  drawPasses(daemon.passes);
}
