// Comfort only: everything works without it.
"use strict";

// What is chosen holds at once.
for (const select of document.querySelectorAll("form.choices select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// Fields that say nothing stay out of the address.
for (const form of document.querySelectorAll("form[method=get]")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
  });
}

// What happens now is asked for again, as long as somebody wants it, looks, and reads nothing else meanwhile.
const live = document.querySelector(".live");
if (live) {
  const wanted = live.querySelector("input");
  live.hidden = false;
  wanted.checked = sessionStorage.getItem("live") !== "no";
  wanted.addEventListener("change", () => sessionStorage.setItem("live", wanted.checked ? "yes" : "no"));
  setInterval(() => {
    if (wanted.checked && !document.hidden && !document.querySelector("details[open]")) location.reload();
  }, 15000);
}
