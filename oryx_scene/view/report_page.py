"""The page of a report: markup, style and script; place holders for plotly and the data.

The policy in its head forbids every connection, so that "loads nothing" is enforced, not promised.
Values reach the page through ``textContent`` only.
"""

from __future__ import annotations

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; font-src data:;
 worker-src blob:; connect-src 'none'; form-action 'none'; base-uri 'none'">
<title>oryx_scene replay</title>
"""

_STYLE = """<style>
:root{--bg:#f5f6f8;--card:#fff;--ink:#1c2026;--quiet:#69707d;--line:#e2e5ea;--mark:#dc1e1e;
--accent:#1f6feb;--warn:#8a5a00;--warnbg:#fff4d9;--bad:#b3261e;--badbg:#fde8e6;--plot:#181a1f}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
header{background:var(--card);border-bottom:1px solid var(--line);padding:14px 22px}
h1{font-size:19px;margin:0 0 2px}h2{font-size:13px;margin:0 0 8px;color:var(--quiet);
text-transform:uppercase;letter-spacing:.05em;font-weight:600}
.sub{color:var(--quiet)}
#line{display:block;width:100%;height:34px;margin-top:10px}
#line .axis{stroke:var(--line);stroke-width:4;stroke-linecap:round}
#line circle{fill:#9aa3b2;cursor:pointer}#line circle.on{fill:var(--accent)}
#line circle.error{fill:var(--bad)}
main{display:grid;grid-template-columns:310px minmax(0,1fr);gap:18px;padding:18px 22px;
max-width:1680px;margin:0 auto}
nav{display:flex;flex-direction:column;gap:8px;max-height:calc(100vh - 150px);overflow-y:auto;
position:sticky;top:12px;padding-right:4px}
nav button{text-align:left;background:var(--card);border:1px solid var(--line);border-radius:9px;
padding:9px 11px;font:inherit;color:inherit;cursor:pointer}
nav button.on{border-color:var(--accent);box-shadow:0 0 0 1px var(--accent)}
nav .time{color:var(--quiet);font-size:12px;font-variant-numeric:tabular-nums}
nav .q{font-weight:600;overflow-wrap:anywhere}nav .a{color:var(--quiet);overflow-wrap:anywhere;
display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
nav .error .a{color:var(--bad)}
section{background:var(--card);border:1px solid var(--line);border-radius:11px;padding:15px 17px;
margin-bottom:16px}
.question{color:var(--quiet);overflow-wrap:anywhere}
.text{font-size:18px;margin:4px 0 8px;overflow-wrap:anywhere;white-space:pre-wrap}
.badge{display:inline-block;border-radius:99px;padding:1px 10px;margin:0 6px 4px 0;font-size:13px;
background:#eaf1fe;color:#174ea6}
.badge.mark{background:var(--mark);color:#fff}
.warning{background:var(--warnbg);color:var(--warn);border-radius:7px;padding:5px 10px;margin:5px 0;
overflow-wrap:anywhere}
.failure{background:var(--badbg);color:var(--bad);border-radius:7px;padding:8px 12px}
#plot{height:520px;background:var(--plot);border-radius:9px;overflow:hidden}
.views{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:12px}
figure{margin:0}figure img{width:100%;border-radius:8px;display:block;background:#ddd}
figcaption{color:var(--quiet);font-size:13px;margin-top:3px;font-variant-numeric:tabular-nums}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:16px}
.columns section{margin:0;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--quiet);font-weight:600;border-bottom:1px solid var(--line)}
td,th{padding:4px 10px 4px 0;vertical-align:top;overflow-wrap:anywhere}
tr.named td:first-child{color:var(--mark);font-weight:700}
.bar{height:9px;border-radius:4px;background:var(--accent);min-width:1px}
code{font-size:12px;color:var(--quiet)}
@media(max-width:900px){main{grid-template-columns:1fr}nav{position:static;max-height:260px}}
</style></head>
"""

_BODY = """<body><header><h1 id="title">oryx_scene replay</h1><div class="sub" id="about"></div>
<svg id="line" role="img" aria-label="timeline of answers"></svg></header>
<noscript><p style="padding:20px">This page needs JavaScript; it loads nothing from the network.</p>
</noscript>
<main><nav id="list" aria-label="answers"></nav><div id="content">
<section id="words"></section>
<section><h2>Scene in 3D</h2><div id="plot"></div></section>
<section><h2>What the model was shown</h2><div class="views" id="views"></div></section>
<div class="columns">
<section><h2>Evidence</h2><table id="evidence"></table></section>
<section><h2>Marks</h2><table id="marks"></table></section>
<section><h2>Time</h2><table id="timings"></table></section>
<section><h2>Provenance</h2><table id="provenance"></table></section>
</div></div></main>
"""

_SCRIPT = """<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);
function add(parent, tag, text, cls) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (cls) node.className = cls;
  parent.append(node);
  return node;
}
const fixed = (value, digits) =>
  value === null || value === undefined ? "" : Number(value).toFixed(digits);
const place = values => values ? values.map(v => v.toFixed(2)).join(", ") : "";
function rows(table, head, lines) {
  table.replaceChildren();
  if (head.length) { const tr = add(table, "tr"); head.forEach(h => add(tr, "th", h)); }
  lines.forEach(line => { const tr = add(table, "tr"); line.forEach(c => add(tr, "td", c)); });
}
function bytes(text) { return Uint8Array.from(atob(text), c => c.charCodeAt(0)); }
function cloudTrace(cloud) {
  const xyz = new Int16Array(bytes(cloud.points).buffer), rgb = bytes(cloud.colors);
  const x = [], y = [], z = [], color = [];
  for (let i = 0; i < cloud.count; i++) {
    x.push(cloud.middle[0] + xyz[3 * i] * cloud.scale);
    y.push(cloud.middle[1] + xyz[3 * i + 1] * cloud.scale);
    z.push(cloud.middle[2] + xyz[3 * i + 2] * cloud.scale);
    color.push(`rgb(${rgb[3 * i]},${rgb[3 * i + 1]},${rgb[3 * i + 2]})`);
  }
  return {type: "scatter3d", mode: "markers", name: "cloud", x, y, z, hoverinfo: "skip",
          marker: {size: 2.2, color, line: {width: 0}, opacity: 1}};
}
function lineTrace(name, color, width, segments, show) {
  const x = [], y = [], z = [];
  segments.forEach(([a, b]) => {
    x.push(a[0], b[0], null); y.push(a[1], b[1], null); z.push(a[2], b[2], null);
  });
  return {type: "scatter3d", mode: "lines", name, x, y, z, hoverinfo: "skip", showlegend: show,
          legendgroup: name, line: {color, width: 2 * width}};
}
function boxSegments(mark) {
  const corner = i => [0, 1, 2].map(k => mark.position[k] + (i >> k & 1 ? .5 : -.5) * mark.size[k]);
  const out = [];
  for (let a = 0; a < 8; a++) for (const bit of [1, 2, 4])
    if (!(a & bit)) out.push([corner(a), corner(a | bit)]);
  return out;
}
function textTrace(name, items, color, size, mode, marker) {
  return {type: "scatter3d", mode, name, showlegend: mode !== "text",
          x: items.map(i => i.at[0]), y: items.map(i => i.at[1]), z: items.map(i => i.at[2]),
          text: items.map(i => i.text), textfont: {color, size}, textposition: "middle center",
          hovertext: items.map(i => i.hover),
          hoverinfo: items.some(i => i.hover) ? "text" : "skip", ...(marker && {marker})};
}
// Plotly reads a little markup in texts; angle brackets would be taken for it.
const plain = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
// On top of its box: inside, the object's own points would hide it.
const above = (mark, up) => mark.position.map(
  (value, k) => value + up[k] * (mark.size ? mark.size[k] / 2 + .03 : 0));
function traces(answer, scene) {
  const found = [];
  if (scene.cloud.count) found.push(cloudTrace(scene.cloud));
  const seen = new Set();
  scene.lines.forEach(line => {
    found.push(lineTrace(line.layer === "frusta" ? "cameras" : line.layer, line.color, line.width,
                         line.ends, !seen.has(line.layer)));
    seen.add(line.layer);
  });
  const names = scene.names.map(n => ({text: plain(n.text), at: n.at}));
  found.push(textTrace("names", names, "#cfd6e4", 11, "text"));
  const placed = answer.marks.filter(mark => mark.position);
  const boxes = placed.filter(mark => mark.size).flatMap(boxSegments);
  if (boxes.length) found.push(lineTrace("boxes", "rgb(240,60,60)", 1.5, boxes, true));
  const discs = placed.map(mark => ({
    text: `<b>${mark.number}</b>`, at: above(mark, scene.up),
    hover: `mark ${mark.number} ${plain(mark.label)}<br>${place(mark.position)} m`}));
  if (discs.length) found.push(textTrace("marks", discs, "#fff", 12, "markers+text",
    {size: placed.map(m => m.named ? 21 : 16), color: "rgb(220,30,30)",
     line: {color: placed.map(m => m.named ? "#fff" : "rgb(220,30,30)"), width: 2}}));
  const at = new Map(placed.map(mark => [mark.number, mark.position]));
  const lines = answer.relations.filter(r => at.has(r.first) && at.has(r.second));
  for (const stated of [false, true]) {
    const some = lines.filter(r => r.stated === stated);
    if (!some.length) continue;
    const color = stated ? "rgb(255,120,220)" : "rgb(250,200,40)";
    found.push(lineTrace(stated ? "stated by the model" : "measured", color, 1.2,
                         some.map(r => [at.get(r.first), at.get(r.second)]), true));
    found.push(textTrace("words", some.map(r => ({
      text: plain(r.words),
      at: [0, 1, 2].map(k => .5 * (at.get(r.first)[k] + at.get(r.second)[k]))})),
      color, 11, "text"));
  }
  return found;
}
const axis = {showbackground: false, gridcolor: "#333842", zerolinecolor: "#444a56",
              tickfont: {color: "#8b93a3", size: 10}, titlefont: {color: "#8b93a3"}};
let drawn = null;
function plot(answer, scene) {
  const node = byId("plot"), up = scene.up, eye = scene.looking.map(v => -1.5 * v);
  const layout = {
    paper_bgcolor: "#181a1f", margin: {l: 0, r: 0, t: 0, b: 0}, uirevision: answer.scene,
    legend: {font: {color: "#cfd6e4"}, bgcolor: "rgba(20,22,26,.7)", x: 0, y: 1},
    scene: {aspectmode: "data", xaxis: {...axis, title: {text: "x [m]"}},
            yaxis: {...axis, title: {text: "y [m]"}}, zaxis: {...axis, title: {text: "z [m]"}},
            camera: {up: {x: up[0], y: up[1], z: up[2]}, eye: {x: eye[0], y: eye[1], z: eye[2]}}}};
  if (answer.scene === drawn && node.layout) layout.scene.camera = node.layout.scene.camera;
  drawn = answer.scene;
  const config = {displaylogo: false, responsive: true};
  try {
    Plotly.react(node, traces(answer, scene), layout, config).then(() => {
      document.body.dataset.plot = node.querySelector("canvas") ? "drawn" : "empty";
    });
  } catch (error) {
    node.replaceChildren();
    add(node, "p", "The 3D view cannot be drawn (it needs WebGL): " + error.message, "failure");
    document.body.dataset.plot = "failed";
  }
}
function words(answer) {
  const box = byId("words");
  box.replaceChildren();
  add(box, "div", "Q: " + answer.question.text, "question");
  if (answer.error) {
    add(box, "div", answer.error.message, "failure");
    if (answer.error.hint) add(box, "div", answer.error.hint, "sub");
    return;
  }
  add(box, "div", answer.text || "(no words)", "text");
  if (answer.verdict) add(box, "span", answer.verdict, "badge");
  if (answer.choice >= 0) add(box, "span", answer.question.choices[answer.choice], "badge");
  if (answer.confidence !== null)
    add(box, "span", "confidence " + fixed(answer.confidence, 2), "badge");
  answer.marks.filter(m => m.named).forEach(
    m => add(box, "span", `mark ${m.number} ${m.label}`, "badge mark"));
  add(box, "div", `${answer.compression}x, ${answer.visual_tokens} visual of ` +
    `${answer.prompt_tokens} prompt tokens, ${answer.generated_tokens} generated, ` +
    `${answer.stop_reason}`, "sub");
  if (answer.scratchpad) {
    const details = add(box, "details");
    add(details, "summary", "working", "sub");
    add(details, "div", answer.scratchpad, "question");
  }
  const all = [...answer.warnings, ...data.scenes[answer.scene].warnings];
  const told = new Map(all.map(item => [warningLine(item), item]));
  told.forEach((item, line) => { add(box, "div", line, "warning").title = item.advice; });
}
function warningLine(item) {
  const stamp = item.stamp_ns === null ? "" : `at ${(item.stamp_ns / 1e9).toFixed(3)} s`;
  const where = [item.camera, item.topic, stamp].filter(part => part).join(" ");
  return `${item.severity} [${item.code}]: ${where ? where + ": " : ""}${item.text}`;
}
function tables(answer) {
  rows(byId("evidence"), ["camera", "age", "size", "source", "sha256"], answer.evidence.map(
    e => [e.camera, fixed(e.age_s, 3) + " s", e.size, e.topic, e.sha256.slice(0, 16)]));
  rows(byId("marks"), ["", "label", "x, y, z [m]", "size [m]", "views"], answer.marks.map(
    m => [m.number, m.label, place(m.position), place(m.size), m.views]));
  [...byId("marks").rows].slice(1).forEach(
    (row, index) => { if (answer.marks[index].named) row.className = "named"; });
  const times = Object.entries(answer.timings_s), longest = Math.max(1e-9, ...times.map(t => t[1]));
  rows(byId("timings"), ["stage", "s", ""], times.map(([name, s]) => [name, fixed(s, 3), ""]));
  [...byId("timings").rows].slice(1).forEach((row, index) => {
    add(row.cells[2], "div", null, "bar").style.width = 160 * times[index][1] / longest + "px";
  });
  rows(byId("provenance"), [], Object.entries(answer.provenance));
}
function show(index) {
  const answer = data.answers[index];
  [...byId("list").children].forEach((node, i) => node.classList.toggle("on", i === index));
  byId("list").children[index].scrollIntoView({block: "nearest"});
  [...byId("line").querySelectorAll("circle")].forEach(
    (node, i) => node.classList.toggle("on", i === index));
  words(answer);
  document.querySelectorAll("#content > :not(#words)").forEach(
    node => node.style.display = answer.error ? "none" : "");
  current = index;
  document.body.dataset.answer = index;
  if (answer.error) return;
  const scene = data.scenes[answer.scene];
  byId("views").replaceChildren();
  scene.views.forEach((view, i) => {
    const figure = add(byId("views"), "figure"), image = add(figure, "img");
    image.src = view.src;
    image.alt = "view of camera " + view.camera;
    add(figure, "figcaption", `${view.camera}, ${fixed(answer.evidence[i].age_s, 2)} s old`);
  });
  tables(answer);
  plot(answer, scene);
}
function timeline() {
  const svg = byId("line"), ns = "http://www.w3.org/2000/svg";
  const width = svg.clientWidth || 1000, span = Math.max(data.length_s, 1e-9);
  svg.replaceChildren();
  const axis = document.createElementNS(ns, "line");
  for (const [key, value] of Object.entries({x1: 8, x2: width - 8, y1: 17, y2: 17, class: "axis"}))
    axis.setAttribute(key, value);
  svg.append(axis);
  const used = new Map();
  data.answers.forEach((answer, index) => {
    const dot = document.createElementNS(ns, "circle"), again = used.get(answer.at_s) || 0;
    used.set(answer.at_s, again + 1);
    const x = 8 + (width - 16) * answer.at_s / span;
    dot.setAttribute("cx", Math.max(8, Math.min(width - 8, x) - 13 * again));
    dot.setAttribute("cy", 17);
    dot.setAttribute("r", 6);
    if (answer.error) dot.setAttribute("class", "error");
    dot.addEventListener("click", () => go(index));
    const title = document.createElementNS(ns, "title");
    title.textContent = `${answer.at_s.toFixed(2)} s: ${answer.question.text}`;
    dot.append(title);
    svg.append(dot);
  });
}
let current = 0;
function go(index) {
  const wanted = Math.max(0, Math.min(data.answers.length - 1, index));
  history.replaceState(null, "", "#" + (wanted + 1));
  show(wanted);
}
function start() {
  const r = data.recording, s = data.summary;
  byId("title").textContent = "Replay of " + r.name;
  byId("about").textContent = `${data.answers.length} answers, ${data.length_s.toFixed(1)} s, ` +
    `cameras ${r.cameras.join(", ")}, ${r.frames} frames, model ${data.asked.model}` +
    (s && s.real_time_factor ? `, ${s.real_time_factor.toFixed(2)} times real time` : "") +
    `, oryx_scene ${data.software_version}`;
  data.answers.forEach((answer, index) => {
    const button = add(byId("list"), "button", null, answer.error ? "error" : "");
    add(button, "div", `${answer.at_s.toFixed(2)} s  ${answer.id}`, "time");
    add(button, "div", answer.question.text, "q");
    add(button, "div", answer.error ? answer.error.message : answer.text, "a");
    button.addEventListener("click", () => go(index));
  });
  timeline();
  document.addEventListener("keydown", event => {
    if (event.key === "ArrowRight" || event.key === "ArrowDown") go(current + 1);
    else if (event.key === "ArrowLeft" || event.key === "ArrowUp") go(current - 1);
    else return;
    event.preventDefault();
  });
  window.addEventListener("resize", () => {
    timeline();
    byId("line").querySelectorAll("circle")[current].classList.add("on");
  });
  const wanted = parseInt(location.hash.slice(1), 10);
  show(wanted >= 1 && wanted <= data.answers.length ? wanted - 1 : 0);
}
start();
</script>
"""

PAGE = (
    _HEAD
    + _STYLE
    + _BODY
    + '<script type="application/json" id="data">/*DATA*/</script>\n'
    + "<script>/*PLOTLY*/</script>\n"
    + _SCRIPT
    + "</body></html>\n"
)
