"use strict";
(() => {
  const allowed = ["left", "unsure", "right"];
  const named = { left: "left", unsure: "can’t tell", right: "right" };
  const keys = { ArrowLeft: "left", ArrowDown: "unsure", ArrowRight: "right" };
  const find = (id) => document.getElementById(id);
  const pack = document.body.dataset.pack;
  const slot = "undertow.review/" + pack;
  const pairs = [...document.querySelectorAll(".pair")];
  const jumps = [...document.querySelectorAll("#jumps button")];
  const answers = load();
  // One place after the last pair is the end.
  let place = pairs.findIndex((pair) => !answers.has(pair.dataset.pair));
  if (place < 0) place = pairs.length;

  function load() {
    const known = new Set(pairs.map((pair) => pair.dataset.pair));
    try {
      const stored = Object.entries(JSON.parse(localStorage.getItem(slot)) || {});
      return new Map(stored.filter(([pair, answer]) => known.has(pair) && allowed.includes(answer)));
    } catch {
      return new Map();
    }
  }

  function save() {
    try {
      localStorage.setItem(slot, JSON.stringify(Object.fromEntries(answers)));
    } catch {
      find("kept").textContent = "This browser keeps nothing: download before you close the page.";
    }
  }

  function choose(pair, answer) {
    answers.set(pair.dataset.pair, answer);
    save();
    find("said").textContent = `Pair ${pair.dataset.pair}: ${named[answer]}. ↑ goes back.`;
    go(pairs.indexOf(pair) + 1);
  }

  function go(to) {
    place = Math.min(Math.max(to, 0), pairs.length);
    draw();
    scrollTo(0, 0);
  }

  function draw() {
    pairs.forEach((pair, index) => {
      pair.classList.toggle("current", index === place);
      const answer = answers.get(pair.dataset.pair);
      for (const input of pair.querySelectorAll("input")) input.checked = input.value === answer;
    });
    jumps.forEach((jump, index) => {
      const answer = answers.get(pairs[index].dataset.pair);
      jump.classList.toggle("answered", answer !== undefined);
      jump.classList.toggle("unsure", answer === "unsure");
      jump.toggleAttribute("aria-current", index === place);
    });
    const missing = pairs.length - answers.size;
    find("end").classList.toggle("current", place === pairs.length);
    find("missing").textContent = missing
      ? `${missing} of ${pairs.length} pairs have no answer yet.`
      : `All ${pairs.length} pairs have an answer.`;
    find("count").textContent = `${answers.size} of ${pairs.length} answered`;
    find("bar").value = answers.size;
    find("back").disabled = place === 0;
    find("next").disabled = place === pairs.length;
  }

  function download() {
    const lines = pairs.map((pair) => {
      const number = pair.dataset.pair;
      return `${pack},${number},${answers.get(number) || ""}\n`;
    });
    const file = new Blob(["pack,pair,answer\n", ...lines], { type: "text/csv" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = "answers.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  document.addEventListener("change", (event) => {
    const pair = event.target.closest(".pair");
    if (pair) choose(pair, event.target.value);
  });
  document.addEventListener("keydown", (event) => {
    // Alt and an arrow are the browser's own, and a key held down is one answer, not ten.
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!(event.key in keys) && event.key !== "ArrowUp") return;
    event.preventDefault();
    if (event.repeat) return;
    if (event.key === "ArrowUp") go(place - 1);
    else if (place < pairs.length) choose(pairs[place], keys[event.key]);
  });
  jumps.forEach((jump, index) => jump.addEventListener("click", () => go(index)));
  find("back").addEventListener("click", () => go(place - 1));
  find("next").addEventListener("click", () => go(place + 1));
  for (const button of document.querySelectorAll(".download")) button.addEventListener("click", download);
  find("clear").addEventListener("click", () => {
    if (!confirm("Forget every answer on this page?")) return;
    answers.clear();
    save();
    find("said").textContent = "";
    go(0);
  });
  document.documentElement.classList.add("scripted");
  draw();
})();
