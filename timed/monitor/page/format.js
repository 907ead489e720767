// Figures as people read them. What is not known is a dash, never a zero.

export const NONE = "–";

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

/** A whole number with separators. */
export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en") : NONE;
}

/** Three digits. */
export function number(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 100) return Math.round(value).toLocaleString("en");
  if (size < 0.01) return "<0.01";
  return String(Number(value.toPrecision(size >= 10 ? 3 : 2)));
}

/** A rate per second. */
export const perSecond = (value) => known(value) ? `${number(value)}/s` : NONE;

/** Bytes in powers of 1,000. */
export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  while (Math.abs(value) >= 999.5 && place < units.length - 1) { value /= 1000; place += 1; }
  return `${place && Math.abs(value) < 99.5 ? value.toFixed(1) : Math.round(value)} ${units[place]}`;
}

export const byteRate = (value) => known(value) ? `${bytes(value)}/s` : NONE;

/** A span of time: milliseconds below a second, days above two. */
export function span(seconds) {
  if (!known(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size < 0.01) return `${Number((seconds * 1000).toPrecision(2))} ms`;
  if (size < 1) return `${Math.round(seconds * 1000)} ms`;
  if (size < 10) return `${Number(seconds.toFixed(1))} s`;
  if (size < 120) return `${Math.round(seconds)} s`;
  if (size < 7200) return `${Math.round(seconds / 60)} min`;
  if (size < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** A percentile of a distribution: the bound of its bucket. */
export function percentile(spread, name) {
  if (!spread || !spread.counts.some((each) => each > 0)) return NONE;
  return spread[name] === null ? `> ${span(spread.bounds.at(-1))}` : `≤ ${span(spread[name])}`;
}

export const percent = (value) => known(value) ? `${number(100 * value)} %` : NONE;

/** The beginning of a long identity. */
export const short = (hex) => hex ? hex.slice(0, 8) : NONE;

/** The time of day of unix seconds, in the viewer's zone. */
export function clock(seconds) {
  return known(seconds) ? new Date(seconds * 1000).toLocaleTimeString("en-GB") : NONE;
}
