
"use strict";
// Everything on the page is text from models and files: it is only ever written with textContent.
{
  const root = document.documentElement;
  root.classList.add("js");
  for (const hidden of document.querySelectorAll(".tools, .choose, #theme, .controls, .hint")) hidden.hidden = false;

  const fold = (text) => text.normalize("NFKD").toLowerCase();
  const words = (input) => fold(input.value).split(/\s+/).filter(Boolean);

  /* Theme: the system's, light or dark; remembered where the browser allows it. */
  const themes = ["auto", "light", "dark"];
  const toggle = document.getElementById("theme");
  const setTheme = (name) => {
    if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
    toggle.firstElementChild.textContent = name;
  };
  let theme = "auto";
  try { theme = localStorage.getItem("harness-ext-theme") ?? "auto"; } catch { /* no storage for this page */ }
  setTheme(theme = themes.includes(theme) ? theme : "auto");
  toggle.addEventListener("click", () => {
    setTheme(theme = themes[(themes.indexOf(theme) + 1) % themes.length]);
    try { localStorage.setItem("harness-ext-theme", theme); } catch { /* no storage for this page */ }
  });

  /* Tables: a click sorts up, then down, then as it was; rows without a number stay last. */
  for (const table of document.querySelectorAll("article.table")) {
    const body = table.querySelector("tbody");
    const original = [...body.rows];
    const texts = original.map((row) => fold(row.textContent));
    const heads = [...table.querySelectorAll("thead th")];
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      const numeric = head.classList.contains("number");
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort ?? "none"];
        for (const other of heads) other.removeAttribute("aria-sort");
        if (next !== "none") head.setAttribute("aria-sort", next);
        body.append(...(next === "none" ? original : sorted(original, at, numeric, next === "ascending" ? 1 : -1)));
        body.querySelectorAll(".first").forEach((row) => row.classList.toggle("first", next === "none"));
        if (next === "none") boundaries.forEach((row) => row.classList.add("first"));
      });
    });
    const boundaries = original.filter((row) => row.classList.contains("first"));
    const input = table.querySelector("input");
    const count = table.querySelector("output");
    const filter = () => {
      const wanted = words(input);
      let shown = 0;
      original.forEach((row, at) => {
        row.hidden = !wanted.every((word) => texts[at].includes(word));
        shown += !row.hidden;
      });
      const all = `${original.length} ${original.length === 1 ? "row" : "rows"}`;
      count.textContent = shown === original.length ? all : `${shown} of ${all}`;
    };
    input.addEventListener("input", filter);
    filter();
  }

  function sorted(rows, at, numeric, sign) {
    const key = (row) => {
      const cell = row.cells[at];
      if (!numeric) return cell.textContent.trim();
      return cell.dataset.value ? Number(cell.dataset.value) : NaN;
    };
    const keyed = rows.map((row) => [key(row), row]);
    keyed.sort(([a], [b]) => {
      if (!numeric) return sign * a.localeCompare(b, "en", { numeric: true });
      return Number.isNaN(a) - Number.isNaN(b) || (Number.isNaN(a) ? 0 : sign * (a - b));
    });
    return keyed.map(([, row]) => row);
  }

  /* Figures with a choice show one run at a time. */
  for (const select of document.querySelectorAll(".choose select")) {
    const choices = select.closest("figure").querySelectorAll(".choice");
    const show = () => choices.forEach((choice, at) => { choice.hidden = at !== select.selectedIndex; });
    select.addEventListener("change", show);
    show();
  }

  /* Samples: read from the page only when the viewer comes near, drawn a page at a time. */
  const stored = document.getElementById("sample-data");
  if (stored) {
    const viewer = document.getElementById("samples");
    const form = viewer.querySelector("form");
    const status = viewer.querySelector(".status");
    const facts = viewer.querySelector(".facts");
    const cards = viewer.querySelector(".cards");
    const pager = viewer.querySelector(".pager");
    const { task, run, other, show, order, words: search, failed } = form.elements;
    const PAGE = 20;
    let data = null, folded = null, found = [], page = 0, current = null;

    const make = (name, className, text) => {
      const element = document.createElement(name);
      if (className) element.className = className;
      if (text !== undefined) element.textContent = text;
      return element;
    };
    const text = (number) => data.texts[number];
    const matches = (number, word) => (folded[number] ??= fold(text(number))).includes(word);
    const chosen = () => data.runs[run.value];
    const beside = () => other.value === "" ? null : data.runs[other.value];

    /* A sample is wrong if a filter's answer is, right if none is wrong and one is right, and else neither. */
    const verdict = (sample) => {
      const marks = sample.filters.map((filter) => filter.failed ? false : filter.right);
      return marks.includes(false) ? false : marks.includes(true) ? true : null;
    };
    const score = (sample) => sample.filters.map((filter) => filter.score).find((value) => value !== null) ?? null;
    /* The same document of the other run, if it was asked the same. */
    const twin = (sample) => beside()?.docs.get(sample.doc);
    const differs = (sample) => { const own = twin(sample); return Boolean(own) && (own.answer !== sample.answer || verdict(own) !== verdict(sample)); };
    const showing = {
      all: ["all", () => true],
      wrong: ["wrong only", (sample) => verdict(sample) === false],
      right: ["right only", (sample) => verdict(sample) === true],
      changed: ["changed", differs],
      gained: ["right here, wrong beside", (sample) => verdict(sample) === true && verdict(twin(sample) ?? sample) === false],
      lost: ["wrong here, right beside", (sample) => verdict(sample) === false && verdict(twin(sample) ?? sample) === true],
    };
    const orders = { asked: "as asked", up: "lowest score first", down: "highest score first" };

    const open = () => {
      if (data) return;
      data = JSON.parse(stored.textContent);
      folded = new Array(data.texts.length);
      for (const one of data.runs) one.docs = new Map(one.samples.map((sample) => [sample.doc, sample]));
      for (const name of new Set(data.runs.map((one) => one.task))) task.append(new Option(name, name));
      for (const [name, words] of Object.entries(orders)) order.append(new Option(words, name));
      const first = Math.max(0, data.runs.findIndex((one) => one.samples.length));
      choose(first);
    };
    const choose = (at) => {
      task.value = data.runs[at].task;
      listRuns();
      run.value = String(at);
      listOthers();
    };
    const listRuns = () => {
      const before = run.selectedOptions[0]?.textContent;
      const options = data.runs.flatMap((one, at) => one.task === task.value ? [new Option(one.label, at)] : []);
      run.replaceChildren(...options);
      for (const option of options) if (option.textContent === before) option.selected = true;
      listOthers();
    };
    const listOthers = () => {
      const before = other.selectedOptions[0]?.textContent;
      const options = [...run.options].filter((option) => option.value !== run.value).map((option) => new Option(option.textContent, option.value));
      other.replaceChildren(new Option("none", ""), ...options);
      for (const option of options) if (option.textContent === before) option.selected = true;
      other.closest("label").hidden = !options.length;
      listShown();
    };
    const listShown = () => {
      const before = show.value;
      const marked = chosen().samples.some((sample) => verdict(sample) !== null);
      const names = ["all", ...(marked ? ["wrong", "right"] : []), ...(beside() ? ["changed", ...(marked ? ["gained", "lost"] : [])] : [])];
      show.replaceChildren(...names.map((name) => new Option(showing[name][0], name)));
      show.value = names.includes(before) ? before : "all";
      show.closest("label").hidden = names.length === 1;
      order.closest("label").hidden = !chosen().measure;
      if (!chosen().measure) order.value = "asked";
      list();
    };
    const list = () => {
      const wanted = words(search);
      found = chosen().samples.filter((sample) =>
        (!failed.checked || sample.filters.some((filter) => filter.failed)) && showing[show.value][1](sample) &&
        wanted.every((word) => fold(sample.id).includes(word) || ["prompt", "answer", "gold"].some((field) => matches(sample[field], word))));
      const sign = { up: 1, down: -1 }[order.value];
      if (sign) found.sort((a, b) => (score(a) === null) - (score(b) === null) || sign * (score(a) - score(b)));
      page = 0;
      draw();
    };
    const draw = () => {
      const { samples, total, measure, why_withheld: why } = chosen();
      const pages = Math.max(1, Math.ceil(found.length / PAGE));
      const all = samples.length < total ? `, the first ${samples.length} of ${total} documents` : "";
      const counted = samples.map(verdict).filter((mark) => mark !== null);
      const right = counted.length ? ` ${counted.filter(Boolean).length} of ${counted.length} right.` : "";
      const by = measure ? ` Score: ${measure}.` : "";
      status.textContent = why ? `Not shown: ${why}.` : `${found.length} of ${samples.length} samples${all}.`;
      facts.textContent = `${right}${by}`.trim();
      cards.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(card));
      current = null;
      pager.hidden = pages === 1;
      pager.querySelector("span").textContent = `Page ${page + 1} of ${pages}`;
      const [previous, next] = pager.querySelectorAll("button");
      previous.disabled = page === 0;
      next.disabled = page === pages - 1;
    };
    const mark = (sample) => {
      const state = verdict(sample);
      const unparsed = sample.filters.some((filter) => filter.failed);
      const [sign, word] = unparsed ? ["∅", "unparsed"] : state === null ? ["·", "no verdict"] : state ? ["✓", "right"] : ["✗", "wrong"];
      const element = make("span", `verdict ${unparsed ? "unread" : state === null ? "open" : word}`, sign);
      element.title = word;
      element.setAttribute("role", "img");
      element.setAttribute("aria-label", word);
      return element;
    };
    const card = (sample) => {
      const details = make("details");
      details.dataset.doc = sample.doc;
      const summary = make("summary");
      const right = make("span", "gold", `gold ${text(sample.gold) || "–"}`);
      if (sample.filters.some((filter) => filter.failed)) right.prepend(make("span", "tag", "unparsed"), " ");
      summary.append(make("span", "id", sample.id), mark(sample), short(sample), right);
      details.append(summary);
      details.addEventListener("toggle", () => {
        if (details.open && details.children.length === 1) details.append(body(sample));
        if (details.open) history.replaceState(null, "", address(sample));
      });
      return details;
    };
    const short = (sample) => {
      const own = twin(sample);
      const line = make("span", "short", text(sample.answer).slice(0, 300));
      if (!own) return line;
      const both = make("span", "both");
      const second = make("span", "short", text(own.answer).slice(0, 300));
      second.prepend(mark(own), " ");
      if (own.answer !== sample.answer) second.classList.add("changed");
      both.append(line, second);
      return both;
    };

    /* Deep links: #run/task/doc, each as it would stand in an address. */
    const address = (sample, of = chosen()) => `#${[of.label, of.task, sample.doc].map(encodeURIComponent).join("/")}`;
    const follow = () => {
      const parts = location.hash.slice(1).split("/");
      if (parts.length !== 3) return;
      let label, name, doc;
      try { [label, name, doc] = parts.map(decodeURIComponent); } catch { return; }
      open();
      const at = data.runs.findIndex((one) => one.label === label && one.task === name);
      if (at < 0 || !data.runs[at].docs.has(doc)) return;
      search.value = "";
      failed.checked = false;
      show.value = "all";
      choose(at);
      show.value = "all";
      list();
      reach(found.findIndex((sample) => sample.doc === doc));
    };
    /* Open the sample at a place in the list, on whatever page it is. */
    const reach = (at) => {
      if (at < 0 || at >= found.length) return;
      if (Math.floor(at / PAGE) !== page) { page = Math.floor(at / PAGE); draw(); }
      if (current) current.open = false;
      current = cards.children[at % PAGE];
      current.open = true;
      current.scrollIntoView({ block: "start" });
      current.querySelector("summary").focus({ preventScroll: true });
    };
    const place = () => {
      const focused = document.activeElement?.closest(".cards details") ?? current;
      return focused ? page * PAGE + [...cards.children].indexOf(focused) : -1;
    };

    const part = (title, content, className) => {
      const section = make("section", className);
      section.append(make("h4", "", title), content);
      return section;
    };
    const body = (sample) => {
      const own = twin(sample);
      const block = make("div", own ? "body paired" : "body");
      block.append(part("Prompt", marked(text(sample.prompt)), "wide"));
      if (own) block.append(side(chosen(), sample, make("div", "side"), true), side(beside(), own, make("div", "side"), true));
      else side(chosen(), sample, block);
      const link = make("a", "link", "Link to this sample");
      link.href = address(sample);
      block.append(link);
      return block;
    };
    const side = (of, sample, block, titled = false) => {
      if (titled) {
        const title = make("h3", "", of.label);
        title.prepend(mark(sample), " ");
        block.append(title);
      }
      block.append(sample.options.length ? part("Options, the likeliest first", options(sample)) : part("Answer", marked(text(sample.answer))));
      for (const filter of sample.filters) {
        const suffix = sample.filters.length > 1 || filter.name !== "none" ? ` (${filter.name})` : "";
        if (filter.parse >= 0 || !sample.options.length) block.append(part(`Parse${suffix}`, filter.parse < 0 ? make("p", "asis", "the answer as it stands") : marked(text(filter.parse))));
        const scores = make("dl");
        for (const [names, value] of filter.scores) scores.append(make("dt", "", names), make("dd", "", value));
        block.append(part(`Score${suffix}`, scores));
      }
      if (of.judge) block.append(part("Judge", make("div", "", of.judge)));
      return block;
    };
    const options = (sample) => {
      const listed = make("ul", "options");
      const most = sample.options[0][1];
      const weights = sample.options.map(([, likelihood]) => Math.exp(likelihood - most));
      const all = weights.reduce((sum, weight) => sum + weight, 0);
      sample.options.forEach(([label, likelihood], at) => {
        const line = make("li", label === sample.gold ? "gold" : "");
        const share = make("meter");
        share.max = 1;
        share.value = weights[at] / all;
        share.title = `${(100 * share.value).toFixed(1)} % of the options' likelihood`;
        line.append(make("span", "label", text(label)), share, make("span", "likelihood", likelihood <= -1e9 ? "−∞" : likelihood.toFixed(2)));
        if (label === sample.gold) line.append(make("span", "tag", "gold"));
        listed.append(line);
      });
      return listed;
    };
    const marked = (content) => {
      const pre = make("pre");
      pre.tabIndex = 0;
      const wanted = words(search).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      if (!wanted.length) { pre.textContent = content; return pre; }
      content.split(new RegExp(`(${wanted.join("|")})`, "giu")).forEach((piece, at) => pre.append(at % 2 ? make("mark", "", piece) : piece));
      return pre;
    };

    task.addEventListener("change", listRuns);
    run.addEventListener("change", listOthers);
    other.addEventListener("change", listShown);
    for (const control of [failed, show, order]) control.addEventListener("change", list);
    search.addEventListener("input", list);
    form.addEventListener("submit", (event) => event.preventDefault());
    pager.addEventListener("click", (event) => {
      const step = Number(event.target.dataset?.step ?? 0);
      if (!step) return;
      page += step;
      draw();
      viewer.scrollIntoView();
      cards.querySelector("summary")?.focus({ preventScroll: true });
    });
    const keys = document.getElementById("keys");
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const typing = event.target.closest?.("input, select, textarea, [contenteditable]");
      if (typing && event.key === "Escape") typing.blur();
      if (typing || (keys.open && event.key !== "?")) return;
      const act = {
        j: () => reach(place() + 1),
        k: () => reach(Math.max(0, place() - 1)),
        w: () => { show.value = show.value === "wrong" ? "all" : "wrong"; if (!show.value) show.value = "all"; list(); viewer.scrollIntoView(); },
        "/": () => { viewer.scrollIntoView(); search.focus({ preventScroll: true }); },
        "?": () => { if (keys.open) keys.close(); else keys.showModal(); },
      }[event.key];
      if (!act) return;
      event.preventDefault();
      open();
      act();
    });
    window.addEventListener("hashchange", follow);

    /* A page that is built again while a run is under way shows the same place after it was loaded again. */
    const controls = { task, run, other, show, order };
    window.addEventListener("pagehide", () => {
      if (!data || !root.dataset.refresh) return;
      const kept = Object.entries(controls).map(([name, control]) => [name, control.selectedOptions[0]?.textContent]);
      try { sessionStorage.setItem("harness-ext-samples", JSON.stringify(kept)); } catch { /* no storage for this page */ }
    });
    const restore = () => {
      let kept = null;
      try { kept = JSON.parse(sessionStorage.getItem("harness-ext-samples")); } catch { /* no storage for this page */ }
      if (!root.dataset.refresh || !Array.isArray(kept)) return;
      open();
      for (const [name, words] of kept) {
        const option = [...controls[name]?.options ?? []].find((one) => one.textContent === words);
        if (option && !option.selected) { option.selected = true; controls[name].dispatchEvent(new Event("change")); }
      }
    };
    restore();
    follow();
    new IntersectionObserver((entries, observer) => {
      if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); open(); }
    }, { rootMargin: "600px" }).observe(viewer);
  }

  /* While a run is under way the page's file is built again: load it when nobody has touched the page for a while. */
  const seconds = Number(root.dataset.refresh ?? 0);
  if (seconds) {
    let touched = Date.now();
    for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "scroll", "touchstart"]) {
      window.addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
    }
    setInterval(() => {
      if (Date.now() - touched >= seconds * 1000 && document.visibilityState === "visible") location.reload();
    }, 1000);
  }
}
