// Draws the zoomable series of a page (uPlot). Without scripts the strips show the same.
"use strict";
(function () {
  const figure = document.querySelector(".chart");
  if (!figure || typeof uPlot === "undefined") return;
  const MOST = 12;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const COLOURS = ["--blocked", "--likely", "--ok-ink", "--down", "--quiet", "--impaired"];
  const day = new Intl.DateTimeFormat(document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang, {
    day: "numeric", month: "short", timeZone: "UTC",
  });
  const said_time = (at) => {
    const when = new Date(at * 1e3);
    return at % 86400 ? when.toISOString().slice(11, 16) : day.format(when);
  };
  const share = (line) =>
    line.judged.map((n, i) => (n ? (100 * line.failing[i]) / n : null));
  const draw = (said) => {
    const lines = said.series.slice(0, MOST);
    if (!lines.length) return;
    figure.hidden = false;
    const width = () => figure.clientWidth;
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--quiet"), grid, ticks: grid };
    const plot = new uPlot(
      {
        width: width(),
        height: 220,
        tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
        scales: { y: { range: [0, 100] } },
        axes: [{ ...axis, values: (_, all) => all.map(said_time) }, { ...axis, values: (_, all) => all.map((v) => v + " %") }],
        series: [
          { value: "{YYYY}-{MM}-{DD} {HH}:{mm}", label: figure.dataset.time },
          ...lines.map((line, n) => ({
            label: line.name,
            stroke: colour(COLOURS[n % COLOURS.length]),
            width: 1.5,
            dash: n < COLOURS.length ? undefined : [6, 3],
            points: { size: 4 },
            // Without a time under the pointer there is no value, which is not "no data".
            value: (_, v, __, at) =>
              at === null || at === undefined ? null : v === null ? figure.dataset.none : v.toFixed(0) + " %",
          })),
        ],
      },
      [said.times.map((at) => at / 1000), ...lines.map(share)],
      figure,
    );
    addEventListener("resize", () => plot.setSize({ width: width(), height: 220 }));
  };
  fetch(figure.dataset.source + "&lang=" + document.documentElement.lang)
    .then((answer) => (answer.ok ? answer.json() : null))
    .then((said) => said && draw(said))
    .catch(() => {});
})();
