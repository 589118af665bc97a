/* The verdict, and the facts below it. */

const SIGNS = { good: "✓", bad: "!", wait: "…", busy: "→", idle: "‖" };
const MOVING = GRAVEST_FIRST.filter((status) => !STATUSES[status].isTrouble && status !== "converged");
const WENT_WRONG = GRAVEST_FIRST.filter((status) => STATUSES[status].wentWrong);

/** @param {number} off @param {number} desired @param {number} unknown */
function notAsDesired(off, desired, unknown) {
  const shares = many(desired, "share");
  if (!off && unknown) return `${number(desired - unknown)} of ${shares} as desired, ${number(unknown)} unknown`;
  if (!off) return desired === 1 ? "The one share is as desired" : `All ${number(desired)} shares are as desired`;
  const rest = unknown ? `, ${number(unknown)} unknown` : "";
  return `${number(off)} of ${shares} ${off === 1 ? "is" : "are"} not as desired${rest}`;
}

/**
 * Return how what could be read last was then, where that is known.
 * @param {{last_read: LastRead | null}} of
 */
function lastRead({ last_read: read }) {
  if (!read) return "";
  return `when last read, ${relative(read.at)}, ${number(read.converged)} of ${many(read.desired, "share")} as desired`;
}

/**
 * Tell whether not one project could be read: that is the verdict then, and is not said again below it.
 * @param {Daemon} daemon
 */
function isUnread({ unread, projects }) {
  return unread.length > 0 && projects.every((project) => project.unreadable);
}

/**
 * Return the tone, the verdict in one sentence, and what belongs to it.
 * @param {Daemon} daemon
 * @returns {[tone: keyof typeof SIGNS, sentence: string, aside: string]}
 */
function verdictOf(daemon) {
  const { desired, phase, counts: all } = daemon;
  const { converged, ...counts } = all;
  const off = desired - converged - counts.unknown;
  const sum = notAsDesired(off, desired, counts.unknown);
  const details = listed(counts);
  if (phase === "standing_by") {
    return ["idle", `Standing by: ${daemon.waits_for}`, "This worker takes over when that one is gone."];
  }
  if (phase === "stopping") return ["idle", "Stopping: nothing more is sent", desired ? joined(sum, details) : ""];
  if (daemon.refused.length) return ["bad", "The guards refused the plan, so nothing is sent", joined(sum, details)];
  if (!daemon.digest) {
    const begun = daemon.pass ? "The first pass is under way" : "Starting: nothing has been read yet";
    return ["idle", begun, capital(lastRead(daemon))];
  }
  const [unread] = daemon.unread;
  if (isUnread(daemon)) return ["bad", unread, details];
  if (!desired) return ["idle", "The manifest asks for nothing", ""];
  if (daemon.paused && off) return ["idle", "Paused: nothing is sent", joined(sum, details)];
  const moving = MOVING.reduce((total, status) => total + all[status], 0);
  const wrong = WENT_WRONG.some((status) => all[status]);
  if (off > moving + daemon.absent_waiting) return [wrong ? "bad" : "wait", sum, details];
  if (unread || counts.unknown) {
    return ["bad", off ? `Unknown: how ${many(counts.unknown, "share")} stand` : sum, details];
  }
  if (moving) return ["busy", sum.replace("not as desired", "on the way"), details];
  if (off) return ["good", "All shares are as desired, but for those that may wait for their owner", details];
  return ["good", sum, ""];
}

let spokenTone = "";

/** @param {Daemon} daemon */
function drawVerdict(daemon) {
  const [tone, sentence, aside] = verdictOf(daemon);
  $("state").dataset.tone = tone;
  say($("sign"), SIGNS[tone]);
  show($("sentence"), sentence);
  show($("aside"), aside);
  document.title = `${SIGNS[tone]} ${spelt(sentence.split(":")[0])} · ims-share-worker`;
  if (!daemon.pass || tone !== spokenTone) show($("announcement"), joined(sentence, aside));
  spokenTone = tone;
  drawShare(daemon);
}

/** @param {Daemon} daemon */
function drawShare({ counts }) {
  const present = GRAVEST_FIRST.filter((status) => counts[status]);
  keyed(
    $("share"),
    present,
    (status) => status,
    () => make("span"),
    (node, status) => {
      node.dataset.is = STATUSES[status].letter;
      node.style.flexGrow = String(counts[status]);
    },
  );
}

/** @param {Daemon} daemon */
function drawFacts(daemon) {
  const {
    pass,
    passes: [last],
    instructions: [asked],
  } = daemon;
  say($("version"), daemon.version);
  say($("pass"), pass ? underWay(daemon, pass) : "none under way");
  $("reading").hidden = !pass || pass.projects_read >= pass.projects;
  $("reading").max = pass?.projects || 1;
  $("reading").value = pass?.projects_read ?? 0;
  const ended = last ? `${last.result}, took ${duration(tookOf(last))}, ended ` : "none yet";
  fact($("last"), ended, last?.finished_at);
  const next = pass ? null : daemon.next_pass_at;
  fact($("next"), `${daemon.schedule}${next ? ", next pass " : ""}`, next);
  $("asked-fact").hidden = !asked;
  if (asked) fact($("asked"), `to ${asked.asked} by ${spelt(asked.by)}, `, asked.at);
  fact($("phase"), `${daemon.phase.replaceAll("_", " ")}, began `, daemon.phase_since);
}

/** @param {Pass} pass */
const tookOf = (pass) => Date.parse(pass.finished_at) - Date.parse(pass.started_at);

/** @param {Daemon} daemon @param {PassUnderWay} pass */
function underWay(daemon, pass) {
  const { to_accept: accepts, to_reject: rejects, in_flight: inFlight } = daemon.counts;
  const took = `under way for ${duration(clock.now() - Date.parse(pass.started_at))}`;
  const rest = toGo(daemon.now, pass.forecast) + newerWaits(daemon);
  if (pass.projects_read < pass.projects) {
    return `${took}: ${number(pass.projects_read)} of ${many(pass.projects, "project")} read${rest}`;
  }
  const stand = `${number(daemon.converged)} of ${number(daemon.desired)} as desired`;
  return `${took}: ${many(accepts + rejects, "share")} due, ${number(inFlight)} in flight, ${stand}${rest}`;
}

/**
 * Say what the pass waits for, and how long it takes from now on: fewer from second to second.
 * @param {string} now
 * @param {Forecast | null} forecast
 */
function toGo(now, forecast) {
  if (!forecast) return "";
  const { cause, until, seconds, at_least: atLeast } = forecast;
  const left = Date.parse(now) + (seconds ?? 0) * 1000 - clock.now();
  const over = until && Date.parse(until) <= clock.now();
  const waits = cause && !over ? `; waiting for ${cause}${until ? ` until ${moment(until)}` : ""}` : "";
  return waits + (left > 0 ? `; ${atLeast ? "at least" : "about"} ${roughly(left)} to go` : "");
}

/**
 * A time of the day that lies ahead and is never too early, in UTC as everywhere; to the second where that is soon.
 * @param {string} iso
 */
function moment(iso) {
  const [step, end] = Date.parse(iso) - clock.now() < 100000 ? [1000, 19] : [60000, 16];
  return `${new Date(Math.ceil(Date.parse(iso) / step) * step).toISOString().slice(11, end)} UTC`;
}

/** @param {number} milliseconds */
function roughly(milliseconds) {
  const seconds = Math.ceil(milliseconds / 1000);
  const minutes = Math.ceil(seconds / 60);
  if (seconds < 100) return `${seconds} s`;
  if (minutes < 100) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

/** @param {Daemon} daemon */
function newerWaits({ newer_manifest: newer }) {
  return newer ? `; a newer manifest begins after this pass, loaded ${relative(newer.loaded_at)}` : "";
}
