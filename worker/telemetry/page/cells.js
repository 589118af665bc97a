/* The cells of the matrix, and the words for what they are about. */

/** @param {"row" | "col"} scope */
function headCell(scope) {
  const cell = make("th");
  cell.scope = scope;
  cell.append(make("span"));
  return cell;
}

/** @param {HTMLElement} cell @param {string} letter */
function paintCell(cell, letter) {
  const status = statusOf(letter);
  cell.dataset.is = letter;
  cell.textContent = status ? STATUSES[status].sign : "";
  cell.ariaLabel = status ? words(status) : "not asked for";
}

/** @param {string} letter */
function letterWords(letter) {
  const status = statusOf(letter);
  if (!status) return "not asked for.";
  return STATUSES[status].isTrouble ? `${words(status)}.` : STATUSES[status].help;
}

/** @param {Share} share */
function shareWords({ bucket, desired, observed, reason, job_id: id }) {
  const reads = observed ? `, reads ${observed}` : "";
  const why = reason ? ` ${capital(reason)}.` : "";
  const job = id && !reason.includes(id) ? ` Job ${id}.` : "";
  return `${words(bucket)}. Wanted ${desired}${reads}.${why}${job}`;
}

/** @param {Project} project */
function projectWords(project) {
  const place = project.region ? `region ${project.region}, ` : "";
  const stands = `${number(project.converged)} of ${many(project.desired, "share")} as desired.`;
  const why = [project.unreadable, lastRead(project)].filter(Boolean).join("; ");
  const unreadable = project.unreadable ? ` It was not read: ${why}.` : "";
  return `Project ${project.name} (${project.id}), ${place}credential ${project.credential}: ${stands}${unreadable}`;
}

/** @param {Daemon | null} daemon */
function whyHidden(daemon) {
  const cells = daemon?.matrix_omitted;
  if (cells) {
    return (
      `A table of ${number(cells)} fields, projects times images, is too large to show. ` +
      "What is not as desired is listed here, and in the report of a run."
    );
  }
  return daemon?.projects.length ? "Nothing matches." : "No project is known yet.";
}
