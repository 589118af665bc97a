/* What the page's scripts know by name: the document of /api/status, as far as they read it, and their own records. */

type Status = keyof typeof STATUSES;

interface Daemon {
  schema: string;
  version: string;
  now: string;
  phase: string;
  phase_since: string;
  waits_for: string;
  pass: PassUnderWay | null;
  newer_manifest: { loaded_at: string } | null;
  paused: (Instruction & { reason: string }) | null;
  instructions: Instruction[];
  next_pass_at: string | null;
  schedule: string;
  desired: number;
  converged: number;
  counts: Record<Status, number>;
  unmanaged: number;
  last_read: LastRead | null;
  unread: string[];
  refused: string[];
  refusal: string[];
  digest: string;
  reload_error: Incident | null;
  troubles: Incident[];
  letters: Record<string, Status>;
  images: Image[];
  projects: Project[];
  matrix_omitted: number;
  shares: Share[];
  shares_omitted: number;
  absent_waiting: number;
  in_flight: SentBatch[];
  in_flight_omitted: number;
  quarantined: Quarantined[];
  quarantined_omitted: number;
  reported: NoticedBy[];
  unsolicited: NoticedBy[];
  limits: Limit[];
  batch_sizes: LearnedSize[];
  credentials: { name: string; refused: boolean }[];
  passes: Pass[];
}

interface PassUnderWay {
  run_id: string;
  started_at: string;
  projects: number;
  projects_read: number;
  forecast: Forecast | null;
}

interface Forecast {
  calls: number;
  seconds: number | null;
  at_least: boolean;
  cause: string | null;
  until: string | null;
}

interface Instruction {
  asked: string;
  by: string;
  at: string | null;
  until: string | null;
}

interface LastRead {
  at: string;
  desired: number;
  converged: number;
}

interface Incident {
  at: string;
  what: string;
  reason: string;
}

interface Image {
  id: string;
  name: string;
}

interface Project extends Image {
  region: string;
  credential: string;
  desired: number;
  converged: number;
  unreadable: string;
  last_read: LastRead | null;
  row: string;
}

interface ShareId {
  project_id: string;
  project: string;
  image_id: string;
  image: string;
}

interface Share extends ShareId {
  desired: string;
  observed: string | null;
  bucket: Status;
  reason: string;
  job_id: string | null;
  waits: boolean;
}

interface Quarantined extends ShareId {
  status: string;
  attempts: number;
  first_reason: string;
  last_reason: string;
  next_try: string;
}

interface NoticedBy {
  rule?: string;
  owner?: string;
  images: number;
  shares: number;
  projects: number;
  named: string[];
}

interface SentBatch {
  job_id: string | null;
  project_id: string;
  project: string;
  status: string;
  vault_id: string | null;
  images: number;
  named: string;
  sent_at: string;
  given_up_at: string;
  run_id: string;
}

interface Limit {
  account: string;
  group: string;
  rate: string;
  calls: number;
  left: number;
  waiting: number;
  paused_for: number;
  configured: string;
  learned: { rate: string; stated: boolean; learned_at: string } | null;
}

interface LearnedSize {
  account: string;
  region: string;
  max_images: number | null;
  refused: number | null;
  learned_at: string | null;
}

interface Pass {
  run_id: string;
  started_at: string;
  finished_at: string;
  result: string;
  counts: Record<string, number>;
  jobs: number | null;
  calls: Record<string, number> | null;
}

/** A row and a column of the matrix. */
type Place = [row: number, col: number];

interface Notice {
  key: string;
  title: string;
  at?: string | null;
  lines?: string[];
  block?: string;
  command?: string;
}

/** Shares of one status for one reason. */
interface Group {
  key: string;
  status: Status;
  waits: boolean;
  reason: string;
  shares: Share[];
}

type Column<T> = [title: string, fill: (cell: HTMLTableCellElement, item: T) => void, className?: string];

interface TableOf<T> {
  label: string;
  columns: Column<T>[];
  keyOf: (item: T) => string;
  empty?: string;
}
