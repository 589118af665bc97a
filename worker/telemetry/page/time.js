/* Time, by the daemon's clock: that of the reader may be wrong. */

const clock = {
  told: 0,
  at: 0,
  now() {
    return this.told + performance.now() - this.at;
  },
};

/** @param {number} milliseconds */
function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  if (whole < 60) return `${whole} s`;
  if (minutes < 60) return `${minutes} m ${whole % 60} s`;
  if (hours < 24) return `${hours} h ${minutes % 60} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** @param {string} iso */
function relative(iso) {
  const away = Date.parse(iso) - clock.now();
  const seconds = Math.round(Math.abs(away) / 1000);
  if (seconds < 1) return "now";
  const text = age(seconds);
  return away > 0 ? `in ${text}` : `${text} ago`;
}

/** @param {number} seconds */
function age(seconds) {
  if (seconds >= 86400) return `${Math.floor(seconds / 86400)} d`;
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} m` : ""}`;
  if (minutes) return `${minutes} m${minutes < 10 && seconds % 60 ? ` ${seconds % 60} s` : ""}`;
  return `${seconds} s`;
}

/** @param {Element} node @param {string} iso */
function showTime(node, iso) {
  const time = node.querySelector("time") ?? node.appendChild(make("time"));
  if (time.dateTime !== iso) {
    time.dateTime = iso;
    time.title = `${iso.slice(0, 19).replace("T", " ")} UTC`;
  }
  say(time, relative(iso));
}

/**
 * Say something that ends in a time, where there is one.
 * @param {Element} node
 * @param {string} text
 * @param {string | null | undefined} iso
 */
function fact(node, text, iso) {
  const before = node.firstChild ?? node.appendChild(document.createTextNode(""));
  if (before.nodeValue !== text) before.nodeValue = text;
  if (iso) showTime(node, iso);
  else node.querySelector("time")?.remove();
}
