// Figures as people read them, each with its unit. What is not known is NONE.

export const NONE = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);
const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 1,234 up to 99,999; then 1.23 M. */
export function count(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e9) return `${trim(value / 1e9)}\u00a0G`;
  if (size >= 1e6) return `${trim(value / 1e6)}\u00a0M`;
  if (size >= 100 || Number.isInteger(value)) return grouped.format(value);
  return trim(value);
}

export const exact = (value) => (known(value) ? grouped.format(value) : NONE);

function trim(value) {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.995 ? 2 : size >= 0.0995 ? 2 : 3;
  return String(Number(value.toFixed(digits)));
}

export const rate = (value) => (known(value) ? `${count(value)}/s` : NONE);

export function percent(share) {
  if (!known(share)) return NONE;
  const value = share * 100;
  return `${value > 0 && value < 99.95 ? value.toFixed(1) : value.toFixed(0)}\u00a0%`;
}

/** For axes. */
export const wholePercent = (share) => `${Math.round(share * 100)}\u00a0%`;

export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < 4) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : trim(value)}\u00a0${units[unit]}`;
}

/** A time that something took. */
export function seconds(value) {
  if (!known(value)) return NONE;
  if (value === 0) return "0\u00a0s";
  if (value < 1e-3) return `${trim(value * 1e6)}\u00a0µs`;
  if (value < 1) return `${trim(value * 1e3)}\u00a0ms`;
  return value < 120 ? `${trim(value)}\u00a0s` : duration(value);
}

/** Where a time lies that is only known to a bucket { from, to } in seconds. */
export function within(bucket) {
  if (!bucket) return NONE;
  if (bucket.to === null) return `above ${seconds(bucket.from)}`;
  return bucket.from === 0 ? `below ${seconds(bucket.to)}` : `${seconds(bucket.from)} to ${seconds(bucket.to)}`;
}

/** A long time, in its two largest units. */
export function duration(value) {
  if (!known(value)) return NONE;
  const left = Math.max(0, Math.round(value));
  const parts = [
    [Math.floor(left / 86400), "d"],
    [Math.floor(left / 3600) % 24, "h"],
    [Math.floor(left / 60) % 60, "min"],
    [left % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return "0\u00a0s";
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount}\u00a0${unit}`)
    .join(" ");
}

export function money(value, currency = "USD") {
  if (!known(value)) return NONE;
  const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 0.1 || value === 0 ? 2 : Math.abs(value) >= 0.001 ? 4 : 6;
  try {
    return new Intl.NumberFormat("en", {
      style: "currency",
      currency,
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    }).format(value);
  } catch {
    return `${value.toFixed(digits)} ${currency}`;
  }
}

/** The time of day of Unix seconds, with the date if it is another day. */
export function clock(time, withSeconds = true) {
  if (!known(time)) return NONE;
  const date = new Date(time * 1000);
  const pad = (value) => String(value).padStart(2, "0");
  const day =
    date.toDateString() === new Date().toDateString()
      ? ""
      : `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} `;
  return `${day}${pad(date.getHours())}:${pad(date.getMinutes())}${withSeconds ? `:${pad(date.getSeconds())}` : ""}`;
}

export const plural = (amount, one, many = `${one}s`) => `${count(amount)} ${amount === 1 ? one : many}`;

export function ago(time) {
  const passed = Date.now() / 1000 - time;
  return passed < 2 ? "now" : `${duration(passed)} ago`;
}
