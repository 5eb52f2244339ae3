"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement, tip = document.getElementById("tip");
const draws = []; // one function a chart: called when the size, the theme or a control changes
const cursors = []; // one function a chart: shows the place of a step, or hides it for null

// ---- elements

const svgNames = "http://www.w3.org/2000/svg";
function element(name, attributes, ...inside) {
  const made = name.startsWith("svg:") ? document.createElementNS(svgNames, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}
const colour = index => `var(--c${index % 8})`;

// ---- numbers

function short(value) {
  if (value === null || value === undefined) return "none";
  const size = Math.abs(value);
  if (size >= 1e9) return (value / 1e9).toPrecision(3) + " G";
  if (size >= 1e6) return (value / 1e6).toPrecision(3) + " M";
  if (size >= 1e4) return (value / 1e3).toPrecision(3) + " k";
  if (size !== 0 && size < 1e-4) return value.toExponential(3).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}
const percent = value => value === null || value === undefined ? "none" : Number((100 * value).toPrecision(4)) + " %";
const whole = value => Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");

/// Round numbers that cut [low, high] in about `count` parts.
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find(part => raw <= part * power * 1.0001);
  const result = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; ++at) result.push(at * step);
  return result;
}
function logTicks(low, high) {
  const result = [], wide = Math.log10(high / low) > 2.5;
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); ++power)
    for (const part of wide ? [1] : [1, 2, 5]) {
      const value = part * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) result.push(value);
    }
  return result;
}

/// Exponential means from both sides, so that a slope is not moved to either; places without a value keep none.
function smooth(values, share) {
  const keep = share === 0 ? 0 : 1 - 1 / (1 + share * share * Math.max(2, values.length * 0.04));
  const sums = values.map(() => 0), weights = values.map(() => 0);
  for (const backwards of [false, true]) {
    let sum = 0, weight = 0;
    for (let k = 0; k < values.length; ++k) {
      const i = backwards ? values.length - 1 - k : k;
      if (values[i] === null) continue;
      if (backwards) { sums[i] += keep * sum; weights[i] += keep * weight; } // the place itself counts once
      sum = keep * sum + values[i];
      weight = keep * weight + 1;
      if (!backwards) { sums[i] += sum; weights[i] += weight; }
    }
  }
  return values.map((value, i) => (value === null ? null : sums[i] / weights[i]));
}

// ---- what the pointer reads

function showTip(event, title, rows) {
  tip.replaceChildren(element("b", {}, title));
  const table = element("table");
  for (const row of rows) {
    const name = element("td", {});
    if (row.colour) { const mark = element("i"); mark.style.background = row.colour; name.append(mark); }
    name.append(row.name);
    table.append(element("tr", {}, name, element("td", {class: "n"}, row.value)));
  }
  tip.append(table);
  tip.hidden = false;
  const box = tip.getBoundingClientRect(), gap = 16;
  const left = event.clientX + gap + box.width > innerWidth ? event.clientX - gap - box.width : event.clientX + gap;
  tip.style.left = Math.max(4, left) + "px";
  tip.style.top = Math.max(4, Math.min(event.clientY - box.height / 2, innerHeight - box.height - 4)) + "px";
}
function hide() { tip.hidden = true; for (const show of cursors) show(null); }

/// The place in a growing list that is nearest to a value.
function nearest(list, value) {
  let low = 0, high = list.length - 1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (list[middle] < value) low = middle; else high = middle; }
  return high >= 0 && Math.abs(list[high] - value) < Math.abs(list[low] - value) ? high : Math.max(low, 0);
}

// ---- charts

const state = {smoothing: 0.6, log: false};
const lastStep = Math.max(2, data.step.length ? data.step[data.step.length - 1] : 2);

/// curves: {name, x, y, low, high, colour, smoothed, dots}. options: {wide, height, format, zero (the axis begins there), log (may be shown so)}.
function chart(parent, title, curves, options) {
  curves = curves.filter(curve => curve.y && curve.y.some(value => value !== null));
  const head = element("div", {class: "head"}, element("h2", {}, title));
  const plot = element("div", {class: "plot"});
  const card = element("section", {class: options.wide ? "card wide" : "card"}, head, plot);
  parent.append(card);
  if (!curves.length) { plot.append(element("div", {class: "empty"}, options.empty || "nothing yet")); return; }
  if (curves.length > 1 && curves.length <= 8) {
    const legend = element("div", {class: "legend"});
    for (const curve of curves) {
      const mark = element("i", curve.dots ? {class: "dot"} : {});
      mark.style[curve.dots ? "background" : "borderColor"] = curve.colour;
      legend.append(element("span", {class: "key"}, mark, curve.name));
    }
    head.append(legend);
  } else if (curves.length > 8) {
    head.append(element("div", {class: "legend"}, `${curves.length} curves; the pointer names the nearest`));
  }
  const height = options.height || 210, format = options.format || short;
  const svg = element("svg:svg", {height, role: "img", "aria-label": title});
  plot.append(svg);
  let toX = null, fromX = null, toY = null, drawn = [];

  function draw() {
    const width = plot.clientWidth, left = 52, right = 10, top = 8, bottom = 22;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    drawn = curves.map(curve => ({...curve, line: curve.smoothed ? smooth(curve.y, state.smoothing) : curve.y}));
    const all = [];
    for (const curve of drawn) for (const value of curve.y) if (value !== null) all.push(value);
    let low = all.reduce((a, b) => Math.min(a, b)), high = all.reduce((a, b) => Math.max(a, b));
    const logarithmic = options.log && state.log && low > 0;
    const fromZero = options.zero && !logarithmic;
    if (fromZero) low = Math.min(low, 0);
    if (low === high) { const by = Math.abs(low) * 0.1 || 0.5; low = logarithmic ? low / 1.1 : low - by; high += by; if (fromZero) low = Math.max(0, low); }
    const room = (high - low) * 0.04;
    if (!logarithmic) { if (!fromZero || low < 0) low = low >= 0 ? Math.max(0, low - room) : low - room; high += room; }
    const y0 = height - bottom, y1 = top;
    toY = logarithmic ? value => y0 + (Math.log(value / low) / Math.log(high / low)) * (y1 - y0) : value => y0 + ((value - low) / (high - low)) * (y1 - y0);
    toX = step => left + ((step - 1) / (lastStep - 1)) * (width - left - right);
    fromX = x => 1 + ((x - left) / (width - left - right)) * (lastStep - 1);
    for (const value of logarithmic ? logTicks(low, high) : ticks(low, high, Math.max(2, Math.round(height / 52)))) {
      const y = toY(value);
      svg.append(element("svg:line", {class: "gridline", x1: left, x2: width - right, y1: y, y2: y}),
                 element("svg:text", {x: left - 7, y: y + 4, "text-anchor": "end"}, format(value)));
    }
    svg.append(element("svg:line", {class: "axis", x1: left, x2: width - right, y1: y0, y2: y0}));
    for (const step of ticks(1, lastStep, Math.max(2, Math.round(width / 130))).filter(step => Number.isInteger(step) && step >= 1))
      svg.append(element("svg:text", {x: toX(step), y: height - 5, "text-anchor": toX(step) > width - 34 ? "end" : "middle"}, whole(step)));
    for (const curve of drawn) {
      if (curve.low && curve.low.some((value, i) => value !== curve.high[i])) {
        let there = "", back = "";
        curve.x.forEach((step, i) => {
          if (curve.low[i] === null) return;
          const x = toX(step).toFixed(1);
          there += `${there ? "L" : "M"}${x} ${Math.max(y1, toY(Math.min(curve.high[i], high))).toFixed(1)}`;
          back = `L${x} ${Math.min(y0, toY(Math.max(curve.low[i], low))).toFixed(1)}` + back;
        });
        svg.append(band(there + back + "Z", curve.colour));
      }
      if (curve.smoothed && state.smoothing > 0) svg.append(path(curve.x, curve.y, curve.colour, "raw"));
      svg.append(path(curve.x, curve.line, curve.colour, "curve"));
      if (curve.dots && curve.y.length <= 60)
        curve.y.forEach((value, i) => { if (value !== null) svg.append(element("svg:circle", {cx: toX(curve.x[i]), cy: toY(value), r: 3, style: `fill:${curve.colour}`})); });
    }
    const cursor = element("svg:line", {class: "cursor", y1, y2: y0, visibility: "hidden"});
    const marks = drawn.slice(0, 8).map(curve => element("svg:circle", {r: 3.5, visibility: "hidden", style: `fill:${curve.colour};stroke:var(--card);stroke-width:1.5`}));
    svg.append(cursor, ...marks);
    svg.onCursor = step => {
      const shown = step !== null && step <= lastStep;
      cursor.setAttribute("visibility", shown ? "visible" : "hidden");
      if (shown) { cursor.setAttribute("x1", toX(step)); cursor.setAttribute("x2", toX(step)); }
      marks.forEach((mark, i) => {
        const at = shown ? nearest(drawn[i].x, step) : 0, value = shown ? drawn[i].line[at] : null;
        mark.setAttribute("visibility", value === null ? "hidden" : "visible");
        if (value !== null) { mark.setAttribute("cx", toX(drawn[i].x[at])); mark.setAttribute("cy", toY(value)); }
      });
    };
  }
  function band(d, fill) { return element("svg:path", {class: "band", d, style: `fill:${fill}`}); }
  function path(x, y, stroke, name) {
    let d = "", pen = false;
    x.forEach((step, i) => {
      if (y[i] === null) { pen = false; return; }
      d += `${pen ? "L" : "M"}${toX(step).toFixed(1)} ${toY(y[i]).toFixed(1)}`;
      pen = true;
    });
    return element("svg:path", {class: name, d, style: `stroke:${stroke}`});
  }
  draws.push(draw);
  cursors.push(step => svg.onCursor && svg.onCursor(step));
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), step = Math.min(lastStep, Math.max(1, fromX(event.clientX - box.left)));
    const main = drawn.reduce((most, curve) => (curve.x.length > most.x.length ? curve : most));
    const place = main.x[nearest(main.x, step)];
    for (const show of cursors) show(place);
    let listed = drawn;
    if (drawn.length > 8) {
      const y = event.clientY - box.top;
      const away = curve => { const value = curve.line[nearest(curve.x, step)]; return value === null ? Infinity : Math.abs(toY(value) - y); };
      listed = [...drawn].sort((a, b) => away(a) - away(b)).slice(0, 4);
    }
    const rows = [];
    for (const curve of listed) {
      const at = nearest(curve.x, step), value = curve.line[at];
      const own = curve.dots && curve.x[at] !== place ? ` (step ${whole(curve.x[at])})` : "";
      rows.push({name: curve.name + own, value: value === null ? "none" : format(value), colour: curve.colour});
      if (curve.smoothed && state.smoothing > 0) rows.push({name: curve.name + ", as it is", value: curve.y[at] === null ? "none" : format(curve.y[at])});
    }
    const epoch = data.series.epoch ? data.series.epoch[nearest(data.step, place)] : null;
    showTip(event, `step ${whole(place)}` + (epoch === null ? "" : `, epoch ${Math.floor(epoch) + 1}`), rows);
  });
  svg.addEventListener("pointerleave", hide);
}

// ---- maps of expert load

// Even load is neutral, less is blue, more is orange: told apart with every kind of colour vision.
const scales = {
  light: [[8, 48, 107], [49, 116, 180], [150, 193, 226], [241, 240, 236], [247, 188, 120], [220, 116, 28], [127, 52, 4]],
  dark: [[150, 205, 255], [72, 140, 214], [38, 76, 122], [44, 46, 50], [128, 72, 22], [226, 125, 38], [255, 208, 150]],
};
/// How often an even share an expert took -> a colour; a quarter and four times are the ends.
function heat(ratio) {
  const stops = scales[root.dataset.theme], place = ratio <= 0 ? 0 : Math.min(6, Math.max(0, 3 + 1.5 * Math.log2(ratio)));
  const under = Math.min(5, Math.floor(place)), share = place - under;
  return stops[under].map((value, i) => Math.round(value + share * (stops[under + 1][i] - value)));
}
function cellsOf(text) {
  const bytes = atob(text), cells = new Uint16Array(bytes.length / 2);
  for (let i = 0; i < cells.length; ++i) cells[i] = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8);
  return cells;
}
function scaleKey() {
  const canvas = element("canvas", {width: 168, height: 1});
  draws.push(() => {
    const context = canvas.getContext("2d"), image = context.createImageData(168, 1);
    for (let x = 0; x < 168; ++x) image.data.set([...heat(2 ** (4 * x / 167 - 2)), 255], 4 * x);
    context.putImageData(image, 0, 0);
  });
  return element("span", {class: "scale"}, "\u00bc of an even share", canvas, "4 times");
}
function map(parent, gate) {
  const experts = gate.experts, cells = cellsOf(gate.cells), columns = cells.length / experts;
  const row = Math.max(2, Math.min(22, Math.floor(300 / experts)));
  const canvas = element("canvas", {width: columns, height: experts, role: "img", "aria-label": `load of the experts of ${gate.name}`});
  canvas.style.height = row * experts + "px";
  const rows = element("div", {class: "rows"});
  rows.style.gridTemplateRows = `repeat(${experts}, ${row}px)`;
  let every = 1;
  while (every * row < 14) every *= 2;
  for (let expert = 0; expert < experts; ++expert) rows.append(element("span", {}, expert % every === 0 ? String(expert) : ""));
  const ends = element("div", {class: "under-map"}, element("span", {}, "step 1"), element("span", {}, `step ${whole(data.load.step[columns - 1])}`));
  const box = element("div", {class: "map"}, rows, canvas, ends);
  parent.append(element("section", {class: "card"},
    element("div", {class: "head"}, element("h2", {}, data.load.gates.length > 2 ? gate.name : `Load of experts: ${gate.name}`), scaleKey()), box));
  draws.push(() => {
    const context = canvas.getContext("2d"), image = context.createImageData(columns, experts);
    for (let expert = 0; expert < experts; ++expert)
      for (let column = 0; column < columns; ++column)
        image.data.set([...heat(cells[column * experts + expert] / 1024), 255], 4 * (expert * columns + column));
    context.putImageData(image, 0, 0);
  });
  canvas.addEventListener("pointermove", event => {
    const area = canvas.getBoundingClientRect();
    const column = Math.min(columns - 1, Math.max(0, Math.floor((event.clientX - area.left) / area.width * columns)));
    const expert = Math.min(experts - 1, Math.max(0, Math.floor((event.clientY - area.top) / area.height * experts)));
    const value = cells[column * experts + expert], from = column ? data.load.step[column - 1] + 1 : 1, to = data.load.step[column];
    const ratio = value / 1024;
    for (const show of cursors) show(to);
    showTip(event, `expert ${expert}, ${from === to ? `step ${whole(to)}` : `steps ${whole(from)} to ${whole(to)}`}`, [
      {name: "of an even share", value: value === 65535 ? "64 times or more" : ratio.toFixed(2) + " times"},
      {name: "of all choices", value: value === 65535 ? `${percent(64 / experts)} or more` : percent(ratio / experts)},
    ]);
  });
  canvas.addEventListener("pointerleave", hide);
}

// ---- the page

const charts = document.getElementById("charts"), series = data.series;
chart(charts, "Loss", [
  {name: "training", x: data.step, y: series.loss, low: series.loss_low, high: series.loss_high, colour: colour(0), smoothed: true},
  {name: "validation", x: data.evaluations.step, y: data.evaluations.loss, colour: colour(1), dots: true},
], {wide: true, height: 300, log: true, empty: "no step is done yet"});
if (data.evaluations.accuracy)
  chart(charts, "Accuracy of validation", [{name: "accuracy", x: data.evaluations.step, y: data.evaluations.accuracy, colour: colour(1), dots: true}], {format: percent});
chart(charts, "Learning rate", [{name: "learning rate", x: data.step, y: series.learning_rate, colour: colour(2)}], {zero: true});
chart(charts, "Norm of the gradient", [{name: "norm", x: data.step, y: series.gradient_norm, colour: colour(3), smoothed: true}], {log: true, zero: true});
chart(charts, data.unit[0].toUpperCase() + data.unit.slice(1) + " a second", [{name: data.unit, x: data.step, y: series.tokens_per_second, colour: colour(5), smoothed: true}], {zero: true});
/// Curves of one kind over the layers stand in one chart: their names differ before the last dot.
const kinds = new Map();
for (const [path, values] of Object.entries(data.aux)) {
  const kind = path.slice(path.lastIndexOf(".") + 1);
  if (!kinds.has(kind)) kinds.set(kind, []);
  kinds.get(kind).push({name: path.slice(0, Math.max(0, path.length - kind.length - 1)) || path, y: values});
}
for (const [kind, curves] of kinds)
  chart(charts, `Auxiliary loss: ${kind}`, curves.map((curve, i) => ({...curve, x: data.aux_step, colour: colour(i), smoothed: true})), {});
const dropped = Object.entries(data.dropped);
if (dropped.length)
  chart(charts, "Choices that no expert took", dropped.map(([name, y], i) => ({name, x: data.aux_step, y, colour: colour(i), smoothed: true})), {zero: true, format: percent});
const maps = document.getElementById("maps");
if (data.load.gates.length > 2) { // side by side under a common title
  maps.before(element("h2", {class: "title"}, "Load of experts over time, by gate"));
  maps.classList.add("grid");
}
for (const gate of data.load.gates) map(maps, gate);
if (charts.querySelectorAll(".card:not(.wide)").length % 2) charts.lastElementChild.classList.add("wide");

function redraw() { for (const draw of draws) draw(); }
root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", event => { root.dataset.theme = event.matches ? "dark" : "light"; redraw(); });
document.getElementById("theme").addEventListener("click", () => { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; redraw(); });
document.getElementById("smoothing").addEventListener("input", event => { state.smoothing = event.target.value / 100; redraw(); });
document.getElementById("log").addEventListener("change", event => { state.log = event.target.checked; redraw(); });
new ResizeObserver(redraw).observe(charts);
redraw();
})();
