/* Asking, again and again. */

const BUSY_PAUSE = 2000;
const IDLE_PAUSE = 5000;
const HIDDEN_PAUSE = 30000;
const PATIENCE = 10000;

const matrix = new Matrix();
/** @type {Daemon | null} */
let latest = null;
let problem = "";
let timer = 0;

/** @returns {Promise<Daemon>} */
async function ask() {
  const answer = await fetch("api/status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  const body = await answer.text();
  if (!answer.ok) throw new Error(`it answers with status ${answer.status}`);
  const daemon = JSON.parse(body);
  if (!`${daemon?.schema}`.startsWith("ims-share-worker/daemon/")) throw new Error("it answers with something else");
  return daemon;
}

/** @param {unknown} error */
function whyNot(error) {
  if (error instanceof TypeError) return "no connection";
  if (!(error instanceof Error)) return String(error);
  return error.name === "TimeoutError" ? "it does not answer in time" : error.message;
}

async function poll() {
  clearTimeout(timer);
  let daemon = null;
  try {
    daemon = await ask();
    problem = "";
  } catch (error) {
    problem = whyNot(error);
  }
  timer = setTimeout(poll, pauseAfter(daemon));
  if (daemon) {
    latest = daemon;
    clock.told = Date.parse(daemon.now);
    clock.at = performance.now();
    draw(daemon);
  }
  tick();
}

/** @param {Daemon | null} daemon */
function pauseAfter(daemon) {
  if (document.hidden) return HIDDEN_PAUSE;
  return daemon?.pass || daemon?.in_flight.length ? BUSY_PAUSE : IDLE_PAUSE;
}

/** @param {Daemon} daemon */
function draw(daemon) {
  drawVerdict(daemon);
  drawFacts(daemon);
  drawNotices(daemon);
  drawGroups(daemon);
  drawSections(daemon);
  setTimeout(() => matrix.take(daemon)); // apart, so that no task is long
}

function tick() {
  drawStale();
  if (!latest) return;
  say($("pulse"), problem ? "Not up to date" : `Updated ${relative(latest.now)}`);
  if (latest.pass) say($("pass"), underWay(latest, latest.pass));
  for (const time of document.querySelectorAll("time")) say(time, relative(time.dateTime));
  reachCut();
}

function drawStale() {
  const age = Math.round((performance.now() - clock.at) / 1000) * 1000;
  const known = latest ? `What you see is ${duration(age)} old. ` : "";
  const lost = `The daemon cannot be reached (${problem}).`;
  if (problem && $("stale").hidden) say($("announcement"), lost);
  if (!problem && !$("stale").hidden) say($("announcement"), "The daemon answers again.");
  $("stale").hidden = !problem;
  document.body.classList.toggle("stale", Boolean(problem));
  if (!problem) return;
  say($("stale"), `${lost} ${known}It is asked again every ${IDLE_PAUSE / 1000} s.`);
  say($("sign"), "?");
  document.title = "? The daemon cannot be reached · ims-share-worker";
}

document.addEventListener("visibilitychange", () => document.hidden || poll());
setInterval(tick, 1000);
poll();
