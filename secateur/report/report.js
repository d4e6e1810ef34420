"use strict";
// The step explorer. It reads the trace inside the page, loads nothing, and tells the address bar and the root
// element's data attributes (step, removed, unit, errors, ready) where it stands.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  root.dataset.errors = "0";
  const fault = (text) => {
    root.dataset.errors = String(Number(root.dataset.errors) + 1);
    root.dataset.fault = text;
  };
  addEventListener("error", (event) => fault(event.message));
  addEventListener("unhandledrejection", (event) => fault(String(event.reason)));
  document.addEventListener("securitypolicyviolation", (event) => fault("blocked " + event.blockedURI));

  const $ = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const trace = JSON.parse($("trace").textContent);
  const steps = trace.steps;
  const first = steps[0].step;
  const last = steps[steps.length - 1].step;
  const resultIndex = steps.findIndex((step) => step.step === trace.result_step);

  // ---- numbers
  const whole = (value) => Number(value).toLocaleString("en-US", { maximumFractionDigits: 0 });
  const number = (value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return "n/a";
    const size = Math.abs(value);
    let text;
    if (size !== 0 && size < 1e-3) text = Number(value.toPrecision(3)).toExponential();
    else if (size < 10) text = value.toFixed(4);
    else if (size < 1e4) {
      const digits = 4 - Math.floor(Math.log10(size));
      text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    } else text = size < 1e12 ? whole(value) : value.toPrecision(4);
    return text.replace(/^-/, "−");
  };
  const signed = (value) => (Number.isFinite(value) && value !== null && value > 0 ? "+" : "") + number(value);

  // ---- units: their names, and when each went
  const names = [];
  const sites = trace.sites.map((site) => {
    const start = names.length;
    for (const run of site.units) {
      if (typeof run === "string") names.push(run);
      else for (let i = 0; i < run[2]; i++) names.push(run[0] + ":" + (run[1] + i));
    }
    return { layer: site.layer, kind: site.kind, start, size: names.length - start, left: -1 };
  });
  const removedAt = new Int32Array(names.length).fill(0x7fffffff);
  trace.order.forEach((unit, i) => { if (unit >= 0) removedAt[unit] = i + 1; });

  // ---- rows of units
  const total = names.length;
  const [least, gap] = total <= 160 ? [14, 4] : total <= 600 ? [10, 3] : total <= 1500 ? [8, 2] : total <= 5000 ? [6, 1] : total <= 15000 ? [4, 1] : [3, 1];
  let cell = least;
  let pitch = cell + gap;
  const inset = 4; // room for the ring around the unit that just went
  for (const site of sites) {
    site.row = make("div", "row" + (least < 8 ? " dense" : ""));
    site.row.setAttribute("role", "img");
    const label = make("div", "row-name");
    const layer = make("span", "layer");
    (site.layer || "units").split(".").forEach((part, i) => layer.append(...(i ? [".", make("wbr")] : []), part));
    label.append(layer);
    site.label = make("span", "row-left");
    label.append(site.label);
    site.canvas = make("canvas");
    const holder = make("div");
    holder.append(site.canvas);
    site.row.append(label, holder);
    $("rows").append(site.row);
    site.canvas.addEventListener("pointermove", (event) => hover(site, event));
    site.canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
    site.canvas.addEventListener("click", (event) => {
      const unit = unitAt(site, event);
      if (unit >= 0 && removedAt[unit] !== 0x7fffffff) { pause(); show(nearestPosition(removedAt[unit])); settle(); }
    });
  }
  const colors = {};
  const readColors = () => {
    const style = getComputedStyle(root);
    for (const name of ["leaf", "cut", "gone", "paper"]) colors[name] = style.getPropertyValue("--" + name).trim();
  };
  const layout = () => {
    const scale = Math.min(window.devicePixelRatio || 1, 3);
    for (const site of sites) {
      const width = Math.max(60, site.canvas.parentElement.clientWidth);
      let across = Math.max(1, Math.floor((width + gap) / (least + gap)));
      if (across >= 20) across -= across % 10; // whole tens are counted at a glance
      else if (across >= 10) across -= across % 5;
      cell = Math.min(Math.floor((width + gap) / across) - gap, Math.ceil(least * 1.4));
      pitch = cell + gap;
      site.across = across;
      const lines = Math.max(1, Math.ceil(site.size / across));
      site.canvas.width = Math.round((width + 2 * inset) * scale);
      site.canvas.height = Math.round((lines * pitch - gap + 2 * inset) * scale);
      site.canvas.style.height = lines * pitch - gap + 2 * inset + "px";
      site.scale = scale;
    }
  };
  const paintRow = (site, position) => {
    const pen = site.canvas.getContext("2d");
    pen.setTransform(site.scale, 0, 0, site.scale, 0, 0);
    pen.clearRect(0, 0, site.canvas.width, site.canvas.height);
    let just = -1;
    for (let i = 0; i < site.size; i++) {
      const at = removedAt[site.start + i];
      const x = inset + (i % site.across) * pitch;
      const y = inset + Math.floor(i / site.across) * pitch;
      if (at > position) {
        pen.fillStyle = colors.leaf;
        pen.fillRect(x, y, cell, cell);
      } else if (at === position) just = i;
      else if (cell >= 6) {
        pen.strokeStyle = colors.gone;
        pen.strokeRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
      } else {
        pen.fillStyle = colors.gone;
        pen.fillRect(x + cell / 2 - 0.5, y + cell / 2 - 0.5, 1, 1);
      }
    }
    if (just >= 0) {
      const x = inset + (just % site.across) * pitch;
      const y = inset + Math.floor(just / site.across) * pitch;
      pen.fillStyle = colors.cut;
      pen.fillRect(x, y, cell, cell);
      pen.strokeStyle = colors.paper;
      pen.lineWidth = 1;
      pen.strokeRect(x - 0.5, y - 0.5, cell + 1, cell + 1);
      pen.strokeStyle = colors.cut;
      pen.lineWidth = 2;
      pen.strokeRect(x - 2, y - 2, cell + 4, cell + 4);
      pen.lineWidth = 1;
    }
  };
  const unitAt = (site, event) => {
    const box = site.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - inset + gap / 2) / pitch);
    const line = Math.floor((event.clientY - box.top - inset + gap / 2) / pitch);
    const i = line * site.across + column;
    return column >= 0 && column < site.across && line >= 0 && i < site.size ? site.start + i : -1;
  };
  const hover = (site, event) => {
    const unit = unitAt(site, event);
    $("tip").hidden = unit < 0;
    if (unit < 0) return;
    const at = removedAt[unit];
    $("tip").textContent = names[unit] + (at === 0x7fffffff ? " · never removed" : " · removal " + whole(at));
    $("tip").style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - $("tip").offsetWidth - 8)) + "px";
    $("tip").style.top = event.clientY + 16 + "px";
  };

  // ---- strips: error and metrics, above the slider and in line with it
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    return element;
  };
  const strips = [["error", (step) => step.error]]
    .concat(trace.metrics.slice(0, 2).map((name) => [name, (step) => (name in step.metrics ? step.metrics[name] : null)]))
    .map(([name, value]) => {
      const values = steps.map(value);
      const finite = values.filter((v) => v !== null && Number.isFinite(v));
      const low = Math.min(...finite);
      const high = Math.max(...finite);
      const log = name === "error" && low > 0 && high / low > 20;
      const label = make("div", "strip-label");
      const now = make("b");
      label.append(make("span", "", name + (log ? " (log)" : "")), now);
      if (finite.length > 1 && high > low) label.append(make("i", "", number(low) + " to " + number(high)));
      const picture = svg("svg", { class: "strip" });
      const block = make("div");
      block.append(label, picture);
      if (finite.length) $("strips").append(block);
      const place = (v) => {
        if (!(high > low)) return 0.5;
        return log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low);
      };
      return { values, now, picture, place, drawn: finite.length > 0 };
    })
    .filter((strip) => strip.drawn);
  const share = (step) => (last > first ? (step - first) / (last - first) : 0);
  const drawStrips = () => {
    for (const strip of strips) {
      const width = strip.picture.clientWidth || 300;
      const height = strip.picture.clientHeight || 42;
      strip.x = (i) => 9 + share(steps[i].step) * (width - 18);
      strip.y = (v) => height - 5 - strip.place(v) * (height - 10);
      let path = "";
      let pen = false;
      strip.values.forEach((v, i) => {
        const good = v !== null && Number.isFinite(v);
        if (good) path += (pen ? "L" : "M") + strip.x(i).toFixed(1) + " " + strip.y(v).toFixed(1);
        pen = good;
      });
      const mark = strip.x(resultIndex).toFixed(1);
      strip.cursor = svg("line", { class: "cursor", y1: 0, y2: height });
      strip.dot = svg("circle", { r: 4 });
      strip.picture.replaceChildren(
        svg("line", { class: "base", x1: 9, x2: width - 9, y1: height - 0.5, y2: height - 0.5 }),
        svg("line", { class: "result", x1: mark, x2: mark, y1: 0, y2: height }),
        svg("path", { class: "line", d: path }), strip.cursor, strip.dot,
      );
    }
  };

  // ---- where we stand
  let index = -1;
  const show = (wanted, force) => {
    wanted = Math.max(0, Math.min(steps.length - 1, wanted));
    if (wanted === index && !force) return;
    index = wanted;
    const step = steps[index];
    const position = trace.at[index];
    const before = index > 0 && steps[index - 1].step === step.step - 1 ? steps[index - 1] : null;
    const removed = step.step - first;

    $("slider").value = step.step;
    $("now-step").textContent = "Step " + whole(step.step) + " of " + whole(last);
    $("now-unit").replaceChildren();
    if (step.unit === null) $("now-unit").textContent = "the untouched network";
    else $("now-unit").append(make("b", "", step.unit), " removed");
    $("now-mark").hidden = index !== resultIndex;
    const values = [whole(trace.units - removed) + " of " + whole(trace.units) + " units left"];
    if (step.params) values.push(whole(step.params) + " parameters (" + ((100 * step.params) / steps[0].params).toFixed(1) + "%)");
    if (step.unit !== null) {
      const measured = before && before.error !== null && step.error !== null ? signed(step.error - before.error) : "";
      const said = step.score !== null ? signed(step.score) : "";
      if (measured) values.push("change of error " + measured);
      if (said) values.push("score " + said);
    }
    for (const name of trace.metrics.slice(2)) if (name in step.metrics) values.push(name + " " + number(step.metrics[name]));
    $("now-values").replaceChildren(...values.map((text) => make("span", "", text)));
    for (const strip of strips) {
      const v = strip.values[index];
      const good = v !== null && Number.isFinite(v);
      strip.now.textContent = number(v);
      if (!strip.cursor) continue;
      const x = strip.x(index).toFixed(1);
      strip.cursor.setAttribute("x1", x);
      strip.cursor.setAttribute("x2", x);
      strip.dot.setAttribute("cx", x);
      strip.dot.setAttribute("cy", good ? strip.y(v).toFixed(1) : 0);
      strip.dot.style.display = good ? "" : "none";
    }
    for (const site of sites) {
      let left = 0;
      let touched = false;
      for (let i = site.start; i < site.start + site.size; i++) {
        if (removedAt[i] > position) left++;
        else if (removedAt[i] === position) touched = true;
      }
      if (force || left !== site.left || touched || site.touched) paintRow(site, position);
      site.touched = touched;
      site.left = left;
      site.label.textContent = whole(left) + " of " + whole(site.size) + " left";
      site.row.dataset.left = left;
      site.row.setAttribute("aria-label", site.layer + ": " + left + " of " + site.size + " units left");
    }
    const tail = trace.order.slice(Math.max(0, position - 12), position).filter((unit) => unit >= 0).reverse();
    $("recent-title").textContent = tail.length ? "Removed, the latest first:" : "Nothing is removed yet.";
    $("recent").textContent = tail.map((unit) => names[unit]).join(", ") + (position > 12 ? " …" : "");
    const spoken = strips.map((strip, i) => (i ? trace.metrics[i - 1] : "error") + " " + number(strip.values[index])).join(", ");
    $("slider").setAttribute("aria-valuetext", "step " + step.step + (step.unit === null ? "" : ", " + step.unit + " removed") + ", " + spoken);
    root.dataset.step = step.step;
    root.dataset.removed = removed;
    root.dataset.unit = step.unit === null ? "" : step.unit;
  };
  const nearest = (step) => {
    let best = 0;
    for (let i = 1; i < steps.length; i++) if (Math.abs(steps[i].step - step) < Math.abs(steps[best].step - step)) best = i;
    return best;
  };
  const nearestPosition = (position) => {
    const i = trace.at.findIndex((at) => at >= position);
    return i < 0 ? steps.length - 1 : i;
  };
  const settle = () => {
    try { history.replaceState(null, "", "#step=" + steps[index].step); } catch { /* some viewers forbid it */ }
  };
  const fromHash = () => {
    const match = /step=(\d+)/.exec(location.hash);
    return match ? nearest(Number(match[1])) : -1;
  };

  // ---- playing
  let playing = 0;
  const pause = () => {
    clearTimeout(playing);
    playing = 0;
    $("play").setAttribute("aria-pressed", "false");
    $("play").firstElementChild.textContent = "▶";
    $("play-word").textContent = "Play";
  };
  const play = () => {
    const from = index >= steps.length - 1 ? 0 : index;
    const pace = Math.max(12, Math.min(350, 12000 / steps.length)); // some twelve seconds for the whole run
    const began = performance.now();
    $("play").setAttribute("aria-pressed", "true");
    $("play").firstElementChild.textContent = "❚❚";
    $("play-word").textContent = "Pause";
    const tick = () => {
      const to = from + Math.floor((performance.now() - began) / pace);
      show(to);
      if (to >= steps.length - 1) { pause(); settle(); } else playing = setTimeout(tick, Math.max(16, pace / 2));
    };
    show(from);
    playing = setTimeout(tick, pace);
  };
  const toggle = () => { if (playing) { pause(); settle(); } else play(); };
  const go = (to) => { pause(); show(to); settle(); };

  $("slider").min = first;
  $("slider").max = last;
  $("explorer").classList.toggle("still", steps.length < 2);
  $("slider").addEventListener("input", () => { pause(); show(nearest(Number($("slider").value))); });
  $("slider").addEventListener("change", settle);
  $("play").addEventListener("click", toggle);
  $("previous").addEventListener("click", () => go(index - 1));
  $("next").addEventListener("click", () => go(index + 1));
  $("to-result").addEventListener("click", () => go(resultIndex));
  $("explorer").addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const leap = Math.max(1, Math.round(steps.length / 10));
    const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -leap, PageUp: leap, Home: -1e9, End: 1e9 };
    const onSlider = event.target === $("slider");
    if (event.key in moves && (onSlider || event.key === "ArrowLeft" || event.key === "ArrowRight")) go(index + moves[event.key]);
    else if (event.key === " " && event.target.tagName !== "BUTTON") toggle();
    else return;
    event.preventDefault();
  });
  const point = (event) => {
    const box = $("slider").getBoundingClientRect();
    pause();
    show(nearest(first + ((event.clientX - box.left - 9) / (box.width - 18)) * (last - first)));
  };
  $("strips").addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".strip")) return;
    event.target.setPointerCapture(event.pointerId);
    point(event);
  });
  $("strips").addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
  $("strips").addEventListener("pointerup", settle);
  addEventListener("hashchange", () => { const to = fromHash(); if (to >= 0) { pause(); show(to); } });

  // ---- the record
  const columns = ["step", "unit", "error", "score"].concat(trace.metrics, ["params", "bytes", "flops"]);
  const fields = (step) => [step.step, step.unit, step.error, step.score]
    .concat(trace.metrics.map((name) => (name in step.metrics ? step.metrics[name] : null)), [step.params, step.bytes, step.flops]);
  const quote = (value) => {
    if (value === null || value === undefined) return "";
    const text = String(value);
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  const download = (name, type, text) => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const csv = () => [columns].concat(steps.map(fields)).map((line) => line.map(quote).join(",")).join("\r\n") + "\r\n";
  $("csv").addEventListener("click", () => download("trace.csv", "text/csv", csv()));
  $("json").addEventListener("click", () => download("trace.json", "application/json", $("trace").textContent));
  const fillTable = () => {
    const holder = $("table").querySelector(".scroll");
    if (holder.firstChild) return;
    const table = make("table");
    const head = make("tr");
    columns.forEach((name) => { const th = make("th", "", name); th.scope = "col"; head.append(th); });
    table.append(make("thead"), make("tbody"));
    table.tHead.append(head);
    steps.forEach((step, i) => {
      const line = make("tr", i === resultIndex ? "is-result" : "");
      fields(step).forEach((value, j) => {
        const exact = j === 0 || j >= columns.length - 3;
        line.append(make("td", "", typeof value === "string" ? value : j === 1 ? "" : value === null ? "n/a" : exact ? whole(value) : number(value)));
      });
      table.tBodies[0].append(line);
    });
    holder.append(table);
  };
  $("table").addEventListener("toggle", fillTable);

  // ---- begin, and begin again when the page changes its size or colours
  const redraw = () => { readColors(); layout(); drawStrips(); show(index, true); };
  const mark = $("result-mark");
  const at = share(trace.result_step);
  mark.style.left = at * 100 + "%";
  mark.style.transform = "translateX(" + (at < 0.04 ? 0 : at > 0.96 ? -100 : -50) + "%)";
  const asked = fromHash();
  index = asked >= 0 ? asked : resultIndex;
  redraw();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => { root.classList.add("printing"); redraw(); });
  addEventListener("afterprint", () => { root.classList.remove("printing"); redraw(); });
  root.dataset.ready = "1";
})();
