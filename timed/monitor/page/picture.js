// How sections read a picture: series of the metric table by name and labels.

const fits = (series, labels) => Object.entries(labels).every(([name, value]) => series.labels[name] === value);

/** All series of a metric that carry these labels. */
export function seriesOf(picture, metric, labels = {}) {
  return (picture.metrics[metric] ?? []).filter((series) => fits(series, labels));
}

function total(list, field) {
  const found = list.map((series) => series[field]).filter((each) => each !== null && each !== undefined);
  return found.length ? found.reduce((sum, each) => sum + each, 0) : null;
}

/** The sum of the values, null without any. */
export const valueOf = (picture, metric, labels = {}) => total(seriesOf(picture, metric, labels), "value");

/** The sum of the rates per second, null without any. */
export const rateOf = (picture, metric, labels = {}) => total(seriesOf(picture, metric, labels), "rate");

/** One distribution of the last minutes. */
export function spreadOf(picture, metric, labels = {}) {
  return (picture.spreads[metric] ?? []).find((series) => fits(series, labels)) ?? null;
}
